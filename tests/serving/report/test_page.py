"""The report: its content, that it is self-contained, and that no customer id can break it."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.errors import UsageError
from features.outputs.manifests import manifest_text
from serving.language.messages import get_language
from serving.report import drivers, inputs
from serving.report import page as report
from serving.report.text import report_wording
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.score_tables import MANIFEST, read_scores, write_score_parts
from tests.browser import chromium, needs_chromium
from training.artifact.spread import Spread
from training.evaluation.evaluate import Evaluation

CUTOFF = date(2024, 3, 1)
NASTY = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\"'><img src=x onerror=alert(1)>",
    "Ünïcode 客户",
    "{{ 7*7 }}",
]
SPREAD = Spread(0.8, 0.8, (0.0, 1.0), (1.0,), ((0.0, 2.0),), (1.4,), 0.05)
NUMBERS = ["number-customers", "number-at-risk", "number-value", "number-trust", "number-next"]
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
    return pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA)


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

    def make(n: int = 80, money: bool = True, quality: Evaluation | None = None) -> Config:
        config = make_config()
        folder = config.output / "scores" / f"cutoff={CUTOFF}"
        folder.mkdir(parents=True)
        scores_manifest = manifest(money) | {"customers": n, "parts": write_score_parts(table(n, money), folder, 33)}
        (folder / MANIFEST).write_text(json.dumps(scores_manifest), encoding="utf-8")
        monkeypatch.setattr(inputs, "load_evaluation", lambda config, run: quality or evaluation(money))
        return config

    yield make


def read(config: Config) -> str:
    return report.write_report(config).read_text(encoding="utf-8")


def test_the_page_is_written_under_reports_with_its_five_numbers(scored: Callable[..., Config]) -> None:
    config = scored()
    path = report.write_report(config, CUTOFF)
    assert path == config.output / "reports" / "cutoff=2024-03-01.html"
    page = Tags(path.read_text(encoding="utf-8"))
    assert [a["id"] for a in page.named("li") if (a.get("id") or "").startswith("number-")] == NUMBERS
    assert page.named("html") == [{"lang": "en"}]
    assert "customer lifetime value, LTV, over the horizon of 90 days" in page.text
    assert "9.1 of 10" in page.text
    assert "2024-05-29" in page.text, "the last day of the horizon"
    interval = re.search(
        r"in the 90 days \(([\d,.]+) to ([\d,.]+) with a probability of 80%\); if nobody left", page.text
    )
    assert interval
    low, high = (float(end.replace(",", "")) for end in interval.groups())
    table = read_scores(config, CUTOFF).table()
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


def test_customer_ids_are_text_and_nothing_else(scored: Callable[..., Config]) -> None:
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
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; base-uri 'none'; "
        r"form-action 'none'",
        policy["content"] or "",
    )


def test_features_are_named_by_their_phrases(scored: Callable[..., Config]) -> None:
    text = read(scored())
    assert not any(name in text for name in FEATURES)
    assert "days since the last order &lt;i&gt;&amp;: 5.0 points, higher values: higher risk" in text
    assert "orders in the last 90 days &lt;i&gt;&amp;: 2.5 points, it depends" in text
    assert "said already by its family" not in text


def test_a_driver_of_levels_names_the_extreme_ones(scored: Callable[..., Config]) -> None:
    wording = report_wording(read_scores(scored(), CUTOFF), False, 0.0, get_language("en"))
    row = {"phrase": "plan", "strength": 0.05, "direction": 0.0, "highest": "gold for ever and ever", "lowest": "basic"}
    assert drivers.driver_bar(wording, row, "churn").note == "5.0 points, highest for gold for ever…, lowest for basic"


def test_every_chart_says_in_words_what_it_shows(scored: Callable[..., Config]) -> None:
    drawn = Tags(read(scored())).named("svg")
    assert len(drawn) == 8
    assert all(a["role"] == "group" and len(a["aria-label"] or "") > 40 for a in drawn)


def test_the_baselines_are_worse_not_significantly_different_or_better(scored: Callable[..., Config]) -> None:
    text = Tags(read(scored())).text
    for words in ("▲ our model is better", "● no significant difference", "▼ our model is worse"):
        assert text.count(words) == 1
    assert "in 3 comparisons with simpler models, ours was better in 1" in text


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
    assert ids == ["number-customers", "number-first", "number-trust", "number-next"]
    for word in ("value at risk", "Value at risk", "LTV", "currency", "nan", "None", "Expected value"):
        assert word not in page.text, word
    assert "The 50 customers with the highest risk" in page.text


@pytest.mark.parametrize("part", ["all", "metrics", "differences", "rivals", "run"])
def test_a_part_of_the_evaluation_may_be_missing(scored: Callable[..., Config], monkeypatch: Any, part: str) -> None:
    complete = evaluation()
    partial = {
        "all": Evaluation(complete.metrics.head(0), complete.differences.head(0), complete.groups.head(0)),
        "metrics": Evaluation(
            complete.metrics[complete.metrics.metric == "mae"], complete.differences, complete.groups.head(0)
        ),
        "differences": Evaluation(complete.metrics, complete.differences.head(0), complete.groups),
        "rivals": Evaluation(
            complete.metrics[complete.metrics.model == "regulars"], complete.differences.head(0), complete.groups
        ),
        "run": complete,
    }[part]
    config = scored(quality=partial)
    if part == "run":
        monkeypatch.setattr(inputs, "load_evaluation", _gone)
    text = Tags(read(config)).text
    assert ("cannot say how good" in text) == (part in ("all", "run"))
    assert ("not known" in text) == (part in ("all", "metrics", "run"))


def _gone(config: Config, run: str) -> Evaluation:
    raise UsageError("the run is gone")


def test_an_audit_of_other_data_is_told(scored: Callable[..., Config]) -> None:
    config = scored()
    assert "has not been checked yet: run regulars check" in Tags(read(config)).text
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    text = Tags(read(config)).text
    assert "12,345 rows read" in text and "5 rows, no customer" in text and "9 days from 2023-05-05" in text
    assert "This data check is of other data" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": 1}'])
def test_a_broken_audit_is_a_sentence(scored: Callable[..., Config], content: str) -> None:
    config = scored()
    (config.output / "audit.json").write_text(content, encoding="utf-8")
    assert "cannot be read, or an older version wrote it: run regulars check again" in Tags(read(config)).text


def test_scores_without_starting_points_and_intervals_make_a_page(scored: Callable[..., Config]) -> None:
    config = scored()
    folder = config.output / "scores" / f"cutoff={CUTOFF}"
    bare = {**manifest(True), "customers": 80, "bases": {}}
    rows = table(80, True)
    for name in ("value_low", "value_high"):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.nulls(80, pa.float64()))
    bare["parts"] = write_score_parts(rows, folder, 33)
    (folder / MANIFEST).write_text(json.dumps(bare), encoding="utf-8")
    assert "The starting point is" not in Tags(read(config)).text


def test_few_customers_make_a_page_too(scored: Callable[..., Config]) -> None:
    assert "The 2 customers with most value at risk" in read(scored(n=2))


def test_the_same_scores_make_the_same_bytes(scored: Callable[..., Config]) -> None:
    config = scored()
    first = report.write_report(config).read_bytes()
    assert first == report.write_report(config).read_bytes()


def test_a_cutoff_that_was_not_scored_is_named(scored: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=r"cutoff 2020-01-01 is not scored.*2024-03-01"):
        report.write_report(scored(), date(2020, 1, 1))


def test_the_templates_lie_beside_the_module() -> None:
    assert {"report.html.j2", "report.css", "report.js"} <= {path.name for path in Path(report.TEMPLATES).iterdir()}


GAPS = {
    "segments": "Lifecycle stages, RFM groups, micro-segments and transitions are missing",
    "plans": "There is no plan for this cutoff",
    "measured": "No plan has been measured yet",
    "monitor": "This cutoff has not been monitored yet",
}


def test_what_is_missing_is_named_with_its_command(scored: Callable[..., Config]) -> None:
    text = Tags(read(scored())).text
    for gap in GAPS.values():
        assert gap in text
    for command in ("segments --cutoff 2024-03-01", "plan --cutoff 2024-03-01 --budget B", "measure PLAN", "monitor"):
        assert f"regulars {command}" in text


def test_half_written_folders_are_sentences_too(scored: Callable[..., Config]) -> None:
    config = scored()
    for place in ("segments/cutoff=2024-03-01", "plans/cutoff=2024-03-01/x", "monitor/cutoff=2024-03-01"):
        (config.output / place).mkdir(parents=True)
        for name in ("manifest.json", "monitor.json"):
            (config.output / place / name).write_text('{"models": 3, "cutoff": "2024')
    text = Tags(read(config)).text
    assert "The segments of this cutoff cannot be read" in text
    assert "The plan of this cutoff cannot be read" in text
    assert "The monitoring results cannot be read" in text


def card(name: str, by: str, features: list[str]) -> dict[str, Any]:
    return {
        "segmentation": by, "segment": name, "customers": 40, "share": 0.5, "churn_probability": 0.4, "value": 90.0,
        "value_at_risk": 9.0, "value_low": 80.0, "value_high": 95.0, "left_cutoff": "2023-12-01", "left_of": 30,
        "left_share": 0.2, "left_low": 0.1, "left_high": 0.3, "rule": "r 5", "sets_apart": features,
        "treatment": "write",
    }  # fmt: skip


def write_segments(config: Config, names: list[str], fingerprint: str = "abc") -> None:
    folder = config.output / "segments" / f"cutoff={CUTOFF}"
    folder.mkdir(parents=True)
    segments_manifest = {"models": {"churn": "test-churn/1", "value": "test-value/1"}, "data_fingerprint": fingerprint}
    (folder / "manifest.json").write_text(
        json.dumps({**segments_manifest, "cutoff": str(CUTOFF), "customers": 80, "left_out": []})
    )
    cards = [card(name, by, ["<b>days</b>: 3 against 9"]) for by in ("stage", "segment") for name in names]
    pq.write_table(pa.Table.from_pylist(cards), folder / "segments.parquet")
    moves = [
        {"segmentation": by, "from_cutoff": date(2024, 2, 1), "to_cutoff": CUTOFF, "from_segment": start,
         "to_segment": end, "customers": 7 if start == end else 3, "share": 0.7 if start == end else 0.3}
        for by in ("stage", "segment") for start in names for end in names[:3]
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(moves), folder / "transitions.parquet")


def test_segments_have_sizes_movement_and_cards(scored: Callable[..., Config]) -> None:
    config = scored()
    write_segments(config, ["new", "<script>x</script>"])
    page = Tags(read(config))
    for words in (
        "Left within 90 days of 2023-12-01", "20% of 30", "10% to 30%", "<b>days</b>: 3 against 9",
        "70% of 20 customers stayed in their group", "3 from new to <script>x</script> (30% of the group)",
    ):  # fmt: skip
        assert words in page.text, words
    assert sum("stayed" in (a.get("class") or "") for a in page.named("td")) == 4
    assert len(page.named("script")) == 1
    assert "other data or models" not in page.text


def test_segments_of_other_data_are_told(scored: Callable[..., Config]) -> None:
    config = scored()
    write_segments(config, ["new"], fingerprint="older")
    assert "These segments come from other data or models than the scores" in Tags(read(config)).text


def test_many_groups_stay_under_five_megabytes(scored: Callable[..., Config]) -> None:
    config = scored(n=2000)
    write_segments(config, [f"group {n} " + "of customers " * 5 for n in range(125)])
    assert len(read(config).encode()) < 5_000_000


PLANNED = {
    "segments": {}, "rules": {"campaign": "spring"}, "campaign": "spring", "cutoff": str(CUTOFF), "horizon_days": 90,
    "objective": "margin", "bound": 100.0, "gain": 90.0, "gain_low": 50.0, "gain_high": 130.0, "interval": 0.8,
    "loss_probability": 0.07, "break_even": 0.4,
    "spent": 60.0, "budget": 60.0, "assumed": True, "holdout": {"share": 0.1},
    "customers": {"scored": 80, "eligible": 70, "held_out": 7, "with_action": 30},
    "design": {"power": 0.8, "all": {"return": {"detects": 0.12, "expected": 0.01, "power": 0.1}}},
    "actions": {"<i>mail</i>": {"customers": 30, "held_out": 3, "cost": 60.0, "gain": 90.0, "source": "assumed",
                                "save_rate": 0.1}},
}  # fmt: skip


def effect(outcome: str, action: str, low: float | None, **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "action": action, "estimator": "adjusted", "family": "all", "effect": 0.1, "low": low,
            "high": 0.2, "anytime_low": -9.0, "anytime_high": 9.0, "treated": 30, "held": 3, **more}  # fmt: skip


MEASURED = {
    "effects": [effect("return", "all", 0.05), effect("value", "all", 0.05)],
    "campaign": "spring", "cutoff": "2023-11-01", "log": {},
    "returns": {"all": {"gain": [12.0, 5.0, 20.0]}}, "mature": True, "customers": {},
    "sample_ratio": {"alarm": False}, "contamination": {"contacted": 2, "held_out": 9},
    "exposure": {"mail": {"meant": 10, "got": 2, "share": 0.2}},
}  # fmt: skip


def write_plan(config: Config, cutoff: str = str(CUTOFF), measured: Mapping[str, Any] | None = None) -> Path:
    folder = config.output / "plans" / f"cutoff={cutoff}" / "spring"
    folder.mkdir(parents=True)
    parts = json.loads((config.output / "scores" / f"cutoff={CUTOFF}" / MANIFEST).read_text())["parts"]
    rows = [
        {"customer_id": NASTY[0], "segment": "maintain", "holdout": False,
         "action": "<i>mail</i>", "would_have": "<i>mail</i>",
         "expected_gain": 3.0, "source": "assumed", "assignment": "gets mail"},
        {"customer_id": NASTY[1], "segment": "let go", "holdout": True,
         "action": None, "would_have": "<i>mail</i>", "expected_gain": 0.0,
         "source": "assumed", "assignment": "held out"},
        {"customer_id": NASTY[2], "segment": "let go", "holdout": False,
         "action": None, "would_have": None, "expected_gain": 0.0,
         "source": None, "assignment": "left out: <u>asked</u>"},
    ]  # fmt: skip
    points = [{"budget": b, "gain": 1.5 * b, "price": 3 - b / 30, "customers": int(b)} for b in (30.0, 60.0, 90.0)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "plan.parquet")
    pq.write_table(pa.Table.from_pylist(points), folder / "curve.parquet")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("plan.parquet", "curve.parquet")
    }
    plan_manifest = {**PLANNED, "cutoff": cutoff, "files": files, "scores": {"parts": parts}}
    (folder / "manifest.json").write_text(json.dumps(plan_manifest))
    if measured:
        (folder / "measured.json").write_text(json.dumps(measured))
    return folder


def test_the_plan_says_whom_what_for_and_where_it_is_assumed(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config)
    page = Tags(read(config))
    for words in (
        "30 of them get an action, for 60.00 of a budget of 60.00",
        "90.00 (80% credible interval, from the errors of the effects: 50.00 to 130.00)",
        "The probability that the plan loses money is 7%.",
        "assumed: keeps 10.0% of those who would leave", "Expected gain (assumed)",
        "<i>mail</i> (expected gain +3.00, assumed)",
        "holdout: do not contact (would have <i>mail</i>)", "left out: <u>asked</u>",
        "customers get an action in the plan 'spring': load its plan.csv into the campaign tool",
        "can be measured from 2024-05-30 on", "The plan 'spring' contacts 1 of them.",
    ):  # fmt: skip
        assert words in page.text, words
    assert any("one more unit adds" in (a["aria-label"] or "") for a in page.named("svg"))


def test_a_plan_of_other_scores_is_not_followed(scored: Callable[..., Config]) -> None:
    config = scored()
    path = write_plan(config) / "manifest.json"
    path.write_text(manifest_text(json.loads(path.read_text()) | {"scores": {"parts": []}}))
    text = Tags(read(config)).text
    assert "scored again after this plan was made" in text and "expected gain +3" not in text
    assert "load its plan.csv" not in text and "The plan 'spring' contacts" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {},
            (
                "▲ significant positive effect",
                "+12.00 (+5.00 to +20.00)",
                "+90.00 (assumed)",
                "2 of 9 customers in the holdout were contacted",
            ),
        ),
        ({"mature": False}, ("● not significant", "immature")),
        ({"sample_ratio": {"alarm": True}}, ("▲▲ not valid: sample-ratio mismatch",)),
        ({"effects": [effect("value", "all", -3.0, effect=-2.0, high=-1.0)]}, ("▼ significant negative effect",)),
        ({"effects": [effect("return", "all", None, effect=None)]}, ("● too few customers",)),
        (
            {
                "counted_up_to": {"value": 40.0},
                "withheld": [
                    {"family": "action", "outcome": outcome, "action": "mail", "needed": needed, "held": 3}
                    for outcome, needed in (("value", 1_234), ("return", 55))
                ],
            },
            (
                "effects on value count at most 40.00 of each customer",
                "mail is too small to tell an effect on value (3 held out; about 1,234 would do)",
                "mail is too small to tell an effect on the return rate (3 held out; about 55 would do)",
            ),
        ),
    ],
)
def test_past_plans_have_a_verdict(
    scored: Callable[..., Config], change: Mapping[str, Any], words: tuple[str, ...]
) -> None:
    config = scored()
    write_plan(config, "2023-11-01", {**MEASURED, **change})
    text = Tags(read(config)).text
    for each in ("2023-11-01 spring", *words):
        assert each in text, each


def test_a_plan_that_is_due_is_the_next_step(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config, "2023-11-01")
    assert "measurethe plan 'spring' of 2023-11-01: its horizon is over" in re.sub(r"\n", "", Tags(read(config)).text)


def test_a_grave_alert_goes_before_everything_else(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config)
    folder = config.output / "monitor" / f"cutoff={CUTOFF}"
    folder.mkdir(parents=True)
    alert = {"id": "a", "severity": "critical", "title": "the log <b>stopped</b>", "text": "no rows", "todo": "look"}
    seen = {
        "cutoff": str(CUTOFF),
        "alerts": [{**alert, "severity": "warning", "title": "less grave"}, {**alert, "since": "2024-02-20"}],
        "data": [{"name": "rows", "value": 3, "low": 100, "high": 200.5, "ok": False, "note": ""}],
        "drift": [{"name": "recency_days", "phrase": "days since", "psi": 0.4, "noise": 0.02, "moved": True}],
    }
    (folder / "monitor.json").write_text(json.dumps(seen))
    text = Tags(read(config)).text
    assert "What to do next▲▲ critical" in re.sub(r"\n", "", text)
    for words in (
        "the log <b>stopped</b>: look",
        "Since 2024-02-20.",
        "100 to 200.5",
        "▲ unusual",
        "days since: data drift",
    ):
        assert words in text, words


def test_the_page_speaks_every_language(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config, measured=MEASURED)
    write_segments(config, ["new", "mature"])
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    for code in ("en", "zh"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            page = Tags(read(config.model_copy(update={"language": code})))
        assert page.named("html") == [{"lang": code}]
        ours = {"en": "Glossary", "zh": "术语表"}
        assert [text in page.text for text in ours.values()] == [known == code for known in ours]


def test_a_business_in_chinese_is_drawn_without_a_warning(scored: Callable[..., Config]) -> None:
    config = scored()
    path = config.output / "scores" / f"cutoff={CUTOFF}" / MANIFEST
    scores_manifest = json.loads(path.read_text())
    scores_manifest["drivers"]["churn"][0] |= {"phrase": "会员等级", "highest": "黄金会员 🏅", "lowest": "普通会员"}
    path.write_text(json.dumps(scores_manifest), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = read(config)
    assert text.count("会员等级") == 3, "in the drawing, its tooltip and its alternative text"
    assert "黄金会员 🏅" in text


SMALLEST_TEXT = """Math.min(...Array.from(document.querySelectorAll(".chart text"), text => {
  const box = text.ownerSVGElement;
  return parseFloat(getComputedStyle(text).fontSize) * box.clientWidth / box.viewBox.baseVal.width;
}))"""  # in pixels of the screen


@needs_chromium
def test_the_list_sorts_and_searches_offline_and_by_keyboard(scored: Callable[..., Config], tmp_path: Path) -> None:
    config = scored()
    write_plan(config, measured=MEASURED)
    write_segments(config, ["new", "mature"])
    path, problems, asked = report.write_report(config), [], []
    with chromium(tmp_path) as browser:
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        ids, head = page.locator("#customers tbody td.id"), page.locator("#customers th", has_text="Customer")
        first = ids.first.inner_text()
        head.locator("[role=button]").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending" and ids.first.inner_text() != first
        page.keyboard.press(" ")
        assert head.get_attribute("aria-sort") == "descending"
        page.fill("#search", "Ünïcode")
        assert page.locator("#customers tbody tr:visible").count() == 1
        assert page.inner_text("#found") == "1 of 50 shown"
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        page.locator("#trust .chart .mark").first.focus()
        page.keyboard.press("End")
        assert page.inner_text(".chart-tip").startswith("risk group 10: left ")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate(SMALLEST_TEXT) >= 11
    assert not problems and asked == [path.as_uri()] and wide <= 0
