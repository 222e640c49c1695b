"""What-if on the page, with the champions of the trained shop: the same answer as `regulars explain`."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from threading import Event

import pyarrow as pa
import pytest

from features.config.load import Config
from serving.customer_report import explain_customer
from serving.scoring.run import score_customers
from serving.web import live_queries
from serving.web.parts.output_reader import open_site
from serving.web.parts.slow_queries import SlowQueries
from serving.web.routes import create_application
from serving.web.security import LOCAL
from tests.webpages import app_of, fetch, in_language
from training.train import TrainingRun

CUTOFF = date(2023, 10, 1)


def test_what_if_is_that_of_explain(shop: Config, trained: TrainingRun) -> None:
    scores = score_customers(shop, CUTOFF)
    table = scores.table()
    who = table["customer_id"][
        int(pa.compute.index(table["churn_probability"], pa.compute.max(table["churn_probability"])).as_py())
    ].as_py()
    answer = fetch(app_of(shop), f"/customer/what-if?id={who}&cutoff={CUTOFF}&below=60")
    assert answer.status == 200 and "champion is" not in answer.text
    explanation = explain_customer(shop, who, CUTOFF, below=0.6)
    risks = re.findall(r"<li><b>([^<]+)</b>", answer.text)
    lines = re.findall(r"^ +([\d.]+)%  (?:nearest: )?\S", explanation[explanation.index("what if") :], re.MULTILINE)
    assert risks and len(risks) == len(lines)
    for shown, exact in zip(risks, lines, strict=True):
        assert abs(float(shown.rstrip("%").split()[-1]) - float(exact)) <= 0.51
    nobody = fetch(app_of(shop), f"/customer/what-if?id=nobody&cutoff={CUTOFF}")
    assert nobody.status == 404 and "The log has no such customer" in nobody.text


def test_the_test_of_a_model_is_drawn_and_a_lost_run_is_told(
    shop: Config, trained: TrainingRun, webpages: Config
) -> None:  # fmt: skip
    score_customers(shop, CUTOFF)
    answer = fetch(app_of(in_language(shop, "zh")), f"/models/test?cutoff={CUTOFF}")
    assert answer.status == 200 and answer.text.count("<svg") == 4
    assert "风险最高的 10% 客户" in answer.text and "Gains" not in answer.text
    assert "/models/test?cutoff=" in fetch(app_of(webpages), "/models").text
    lost = fetch(app_of(webpages), "/models/test")
    assert lost.status == 503 and "regulars train" in lost.text


@pytest.mark.parametrize("code", ["en", "zh"])
def test_too_many_and_too_slow_questions_are_told_and_other_pages_answer(
    webpages: Config, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"en": ("Others are asking", "longer than a page"), "zh": ("其他人正在提问", "超过了页面的等待时间")}[code]
    site, go = open_site(in_language(webpages, code)), Event()
    slow = replace(site, slow_queries=SlowQueries(waiting=1, patience=0.05))
    monkeypatch.setattr(live_queries, "_counterfactual", lambda *_: go.wait(30) and {})
    app = create_application(slow, LOCAL)
    answer = fetch(app, "/customer/what-if?id=c010", {"x-part": "1"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "30") and words[1] in answer.text
    full = create_application(replace(site, slow_queries=SlowQueries(waiting=0)), LOCAL)
    for page in ("what-if", "history"):
        answer = fetch(full, f"/customer/{page}?id=c010", {"x-part": "1"})
        assert (answer.status, answer.headers["retry-after"]) == (503, "15") and words[0] in answer.text
        assert "Traceback" not in answer.text
    assert fetch(app, "/customers").status == 200
    go.set()
