"""The page: what it says, that it stands alone, and that nothing a customer is called can break it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.config import Config
from features.errors import UsageError
from serving import report
from serving.score import COLUMNS, MANIFEST, write_parts
from serving.wording import Forms
from training.bundle import Spread
from training.evaluate import Evaluation

CUTOFF = date(2024, 3, 1)
NASTY = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\"'><img src=x onerror=alert(1)>",
    "Ünïcode 客户",
    "{{ 7*7 }}",
]
SPREAD = Spread(0.8, 0.8, (0.0, 1.0), (1.0,), ((0.0, 2.0),), (1.4,), 0.05)
NUMBERS = ["number-customers", "number-at-risk", "number-value", "number-trust", "number-first"]
FEATURES = {"recency_days": "days since the last order", "orders_count_90d": "orders in the last 90 days"}


class Tags(HTMLParser):
    """All tags with their attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def reasons(money: bool) -> list[dict[str, Any]]:
    size = 40.0 if money else 0.123
    return [
        {
            "feature": "recency_days",
            "phrase": "x",
            "reading": "last order 74 days ago & counting",
            "contribution": size,
        },
        {"feature": "orders_count_90d", "phrase": "x", "reading": "<b>no order</b> in 90 days", "contribution": -size},
    ]


def table(n: int, money: bool) -> pa.Table:
    risk = np.linspace(0.02, 0.98, n)
    spend = 1000.0 + np.arange(n)
    ids = [f"customer {place}" for place in range(n)]
    ids[-len(NASTY) :] = NASTY[-n:]
    columns: dict[str, Any] = {
        "customer_id": ids,
        "cutoff": [datetime.combine(CUTOFF, datetime.min.time())] * n,
        "churn_probability": risk,
        "lifecycle": ["active", "dormant"] * (n // 2),
        "tier": ["high", "low"] * (n // 2),
        "segment": ["save first", "maintain"] * (n // 2),
        "churn_reasons": [reasons(False)] * n,
        "value_reasons": [reasons(True) if money else []] * n,
        "churn_model": ["test-churn/1"] * n,
    }
    if money:
        value = (1 - risk) * spend
        columns |= {"value": value, "value_low": value / 2, "value_high": value * 2, "value_at_risk": risk * spend}
        columns["value_model"] = ["test-value/1"] * n
    return pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in COLUMNS}, schema=COLUMNS)


def manifest(money: bool) -> dict[str, Any]:
    rows = [
        {"feature": name, "phrase": f"{phrase} <i>&", "family": name, "strength": 0.05 / place, "direction": direction}
        for place, ((name, phrase), direction) in enumerate(zip(FEATURES.items(), (0.9, -0.1), strict=True), start=1)
    ]
    rows.append({**rows[0], "feature": "overdue_ratio", "phrase": "said already by its family", "strength": 0.001})
    kinds = ["churn", "value"] if money else ["churn"]
    task = {"horizon": "90d", "active_within": "365d"}
    return {
        "name": "test",
        "cutoff": str(CUTOFF),
        "interval": 0.8,
        "spread": asdict(SPREAD) if money else None,
        "segment_rules": 1,
        "data_fingerprint": "abc",
        "models": {k: {"label": f"test-{k}/1", "run_id": "run", "digest": "d", "task": task} for k in kinds},
        "bases": {k: 0.2 for k in kinds},
        "drivers": {k: rows for k in kinds},
    }


def evaluation(money: bool = True) -> Evaluation:
    names = ["auc", "brier", "log_loss"] + (["gini", "total_error", "mae", "coverage"] if money else [])
    figure = {"value": 0.875, "low": 0.8, "high": 0.9, "segment": "all", "customers": 500}
    rows = [
        {"model": model, "metric": name, "cutoff": cutoff, **figure}
        for model in ("regulars", "recency alone")
        for name in names
        for cutoff in ("2023-11-01", "2023-12-01")
    ]
    gaps = [("auc", 0.01, 0.05), ("brier", -0.02, 0.01), ("mae", 0.1, 0.3)]
    differences = [
        {"metric": m, "against": "recency alone", "difference": low, "low": low, "high": high, "cutoff": "2023-12-01"}
        for m, low, high in gaps
    ]
    groups = [
        {"number": "churn", "group": n, "customers": 50, "predicted": n / 12, "actual": n / 11, "cutoff": "2023-12-01"}
        for n in range(1, 11)
    ]
    return Evaluation(pd.DataFrame(rows), pd.DataFrame(differences), pd.DataFrame(groups))


AUDIT = {
    "rows_read": 12345,
    "rows": 12340,
    "customers": 80,
    "orders": 999,
    "first": "2022-01-01",
    "last": "2024-02-29",
    "set_aside": [{"reason": "no customer", "rows": 5, "customers": ["<u>x</u>"]}],
    "duplicate_rows": 0,
    "duplicates_dropped": 0,
    "refund_rows_share": None,
    "refund_amount_share": None,
    "one_time_buyers_share": 0.2,
    "gaps": [{"from": "2023-05-05", "days": 9}],
    "breaches": [],
    "notes": [],
    "fingerprint": "other",
    "complete_until": "2024-03-01",
    "net_amount": None,
    "late_rows": 0,
    "months": [],
    "sides": [],
    "customer_table": None,
    "contracts": None,
}


@pytest.fixture
def scored(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Config]]:
    """Writes fake scores of so many customers, with an evaluation, and returns the config."""

    def make(n: int = 80, money: bool = True, judged: Evaluation | None = None) -> Config:
        config = make_config()
        folder = config.output / "scores" / f"cutoff={CUTOFF}"
        folder.mkdir(parents=True)
        said = manifest(money) | {"customers": n, "parts": write_parts(table(n, money), folder, 33)}
        (folder / MANIFEST).write_text(json.dumps(said), encoding="utf-8")
        monkeypatch.setattr(report, "evaluation_of", lambda config, run: judged or evaluation(money))
        return config

    yield make


def read(config: Config) -> str:
    return report.write(config).read_text(encoding="utf-8")


def test_the_page_is_written_under_reports_with_its_five_numbers(scored: Callable[..., Config]) -> None:
    config = scored()
    path = report.write(config, CUTOFF)
    assert path == config.output / "reports" / "cutoff=2024-03-01.html"
    page = Tags(path.read_text(encoding="utf-8"))
    assert [a["id"] for a in page.named("li") if (a.get("id") or "").startswith("number-")] == NUMBERS
    assert page.named("html") == [{"lang": "en"}]
    assert "customer lifetime value, LTV, over the horizon of 90 days" in page.text
    assert "9.1 of 10" in page.text
    assert "2024-05-29" in page.text, "the last day of the horizon"
    told = re.search(r"in the 90 days, ([\d,.]+) to ([\d,.]+) with a probability of 80%; if nobody left", page.text)
    assert told
    low, high = (float(end.replace(",", "")) for end in told.groups())
    table = report.read(config, CUTOFF).table()
    assert low < sum(table["value"].to_pylist()) < high


def test_the_page_needs_nothing_from_elsewhere(scored: Callable[..., Config]) -> None:
    text = read(scored())
    for tag, attributes in Tags(text).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "image", "img")
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "http://" not in text and "https://" not in text
    assert not re.search(r"url\((?!#)|@import", text)
    assert len(text.encode()) < 5_000_000


def test_what_customers_are_called_is_text_and_nothing_else(scored: Callable[..., Config]) -> None:
    config = scored()
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    text = read(config)
    page = Tags(text)
    assert len(page.named("script")) == 1
    for tag in ("img", "i", "u"):
        assert not page.named(tag)
    for name in NASTY:
        assert name in page.text
    assert "<script>alert" not in text


def test_only_our_own_script_may_run(scored: Callable[..., Config]) -> None:
    policy = next(a for a in Tags(read(scored())).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'", policy["content"] or ""
    )


def test_features_are_named_by_their_phrases(scored: Callable[..., Config]) -> None:
    text = read(scored())
    assert not any(name in text for name in FEATURES)
    assert "days since the last order &lt;i&gt;&amp;: 5.0 points, more of it: higher risk" in text
    assert "orders in the last 90 days &lt;i&gt;&amp;: 2.5 points, depends" in text
    assert "said already by its family" not in text


def test_a_driver_of_levels_names_the_extreme_ones() -> None:
    row = {"phrase": "plan", "strength": 0.05, "direction": 0.0, "highest": "gold for ever and ever", "lowest": "basic"}
    assert report._bar(row, "churn", Forms(1.0)).note == "5.0 points, most with gold for ever…, least basic"


def test_every_chart_says_in_words_what_it_shows(scored: Callable[..., Config]) -> None:
    drawn = Tags(read(scored())).named("svg")
    assert len(drawn) == 5
    assert all(a["role"] == "img" and len(a["aria-label"] or "") > 40 for a in drawn)


def test_the_ladder_says_better_no_clear_difference_or_worse(scored: Callable[..., Config]) -> None:
    text = Tags(read(scored())).text
    for words in ("▲ ours is better", "● no clear difference", "▼ ours is worse"):
        assert text.count(words) == 1
    assert "In 3 comparisons ours was better in 1" in text


def test_the_list_holds_fifty_by_value_at_risk_with_reasons(scored: Callable[..., Config]) -> None:
    page = Tags(read(scored()))
    listed = [float(a["data-sort"] or 0) for a in page.named("td") if "data-sort" in a]
    at_risk = listed[2::3]
    assert len(at_risk) == 50 and at_risk == sorted(at_risk, reverse=True)
    assert "+12.3 points" in page.text and "−40" in page.text
    assert "last order 74 days ago & counting" in page.text and "<b>no order</b> in 90 days" in page.text


def test_without_money_there_is_no_word_of_it(scored: Callable[..., Config]) -> None:
    page = Tags(read(scored(money=False)))
    ids = [a["id"] for a in page.named("li") if (a.get("id") or "").startswith("number-")]
    assert ids == ["number-customers", "number-trust", "number-first"]
    for word in ("value at risk", "Value at risk", "LTV", "currency", "nan", "None"):
        assert word not in page.text, word
    assert "The 50 customers with the highest risk" in page.text


@pytest.mark.parametrize("part", ["all", "metrics", "differences", "rivals", "run"])
def test_a_part_of_the_evaluation_may_be_missing(scored: Callable[..., Config], monkeypatch: Any, part: str) -> None:
    whole = evaluation()
    left = {
        "all": Evaluation(whole.metrics.head(0), whole.differences.head(0), whole.groups.head(0)),
        "metrics": Evaluation(whole.metrics[whole.metrics.metric == "mae"], whole.differences, whole.groups.head(0)),
        "differences": Evaluation(whole.metrics, whole.differences.head(0), whole.groups),
        "rivals": Evaluation(whole.metrics[whole.metrics.model == "regulars"], whole.differences.head(0), whole.groups),
        "run": whole,
    }[part]
    config = scored(judged=left)
    if part == "run":
        monkeypatch.setattr(report, "evaluation_of", _gone)
    text = Tags(read(config)).text
    assert ("cannot say how good" in text) == (part in ("all", "run"))
    assert ("not known" in text) == (part in ("all", "metrics", "run"))


def _gone(config: Config, run: str) -> Evaluation:
    raise UsageError("the run is gone")


def test_an_audit_of_other_data_is_told(scored: Callable[..., Config]) -> None:
    config = scored()
    assert "The data behind it" not in read(config)
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    text = Tags(read(config)).text
    assert "12,345 rows read" in text and "5 rows, no customer" in text and "9 days from 2023-05-05" in text
    assert "This audit is of other data" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": 1}'])
def test_a_broken_audit_is_one_message(scored: Callable[..., Config], content: str) -> None:
    config = scored()
    (config.output / "audit.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="regulars check"):
        report.write(config)
    assert not (config.output / "reports").exists()


def test_few_customers_make_a_page_too(scored: Callable[..., Config]) -> None:
    assert "The 2 customers with most value at risk" in read(scored(n=2))


def test_the_same_scores_make_the_same_bytes(scored: Callable[..., Config]) -> None:
    config = scored()
    assert report.write(config).read_bytes() == report.write(config).read_bytes()


def test_a_cutoff_that_was_not_scored_is_named(scored: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=r"cutoff 2020-01-01 is not scored.*2024-03-01"):
        report.write(scored(), date(2020, 1, 1))


def test_the_templates_lie_beside_the_module() -> None:
    assert {"report.html.j2", "report.css", "report.js"} <= {path.name for path in Path(report.TEMPLATES).iterdir()}
