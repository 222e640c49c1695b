"""The first page of the report: its numbers, what happened, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from features.config.load import Config
from serving.report import page as report
from serving.scoring.score_tables import read_scores
from tests.report_samples import CUTOFF, Tags, read, write_plan

NUMBERS = ["number-customers", "number-at-risk", "number-value", "number-trust"]


def test_the_page_is_written_under_reports_with_its_numbers(scored: Callable[..., Config]) -> None:
    config = scored()
    path = report.write_report(config, CUTOFF)
    assert path == config.output / "reports" / "cutoff=2024-03-01.html"
    page = Tags(path.read_text(encoding="utf-8"))
    assert [a["id"] for a in page.named("li") if (a.get("id") or "").startswith("number-")] == NUMBERS
    assert page.named("html") == [{"lang": "en"}]
    assert "customer lifetime value, LTV, over the horizon of 90 days" in page.text
    assert "9.1 of 10" in page.text
    assert "Grade C" in page.text and "too few cutoffs were tested" in page.text
    beside = (path.parent / "cutoff=2024-03-01_customers.csv").read_text(encoding="utf-8").splitlines()
    assert len(beside) == 81 and beside[0].startswith('"customer_id","cutoff","churn_probability","value"')
    assert "cutoff=2024-03-01_customers.csv" in [a.get("href") for a in page.named("a")]
    assert "2024-05-29" in page.text, "the last day of the horizon"
    interval = re.search(
        r"in the 90 days \(([\d,.]+) to ([\d,.]+) with a probability of 80%\); if nobody left", page.text
    )
    assert interval
    low, high = (float(end.replace(",", "")) for end in interval.groups())
    table = read_scores(config, CUTOFF).table()
    assert low < sum(table["value"].to_pylist()) < high


def test_without_money_there_is_no_word_of_it(scored: Callable[..., Config]) -> None:
    page = Tags(read(scored(money=False)))
    ids = [a["id"] for a in page.named("li") if (a.get("id") or "").startswith("number-")]
    assert ids == ["number-customers", "number-first", "number-trust"]
    for word in ("value at risk", "Value at risk", "LTV", "currency", "nan", "None", "Expected value"):
        assert word not in page.text, word
    assert "The 50 customers with the highest risk" in page.text


def test_a_plan_that_is_due_is_the_next_step(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config, "2023-11-01")
    assert "measure the plan 'spring' of 2023-11-01: its horizon is over" in re.sub(r"\n", "", Tags(read(config)).text)


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
    assert "What to do▲▲ critical" in re.sub(r"\n", "", text)
    for words in (
        "the log <b>stopped</b>: look",
        "Since 2024-02-20.",
        "100 to 200.5",
        "▲ unusual",
        "The monitor found 1 unusual figure; 1 feature with data drift among 1 checks.",
        "days since: data drift",
    ):
        assert words in text, words
