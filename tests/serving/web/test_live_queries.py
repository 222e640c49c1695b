"""What-if on the page, with the champions of the trained shop: the same answer as `regulars explain`."""

from __future__ import annotations

import re
from datetime import date

import pyarrow as pa

from features.config.load import Config
from serving.customer_report import explain_customer
from serving.scoring.run import score_customers
from tests.webpages import app_of, fetch
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
