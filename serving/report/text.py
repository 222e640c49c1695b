"""How a page speaks, for all of its parts: its language, how numbers are written, what leaving is called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from features.task import Window
from serving.language.formats import ChurnTerms, NumberFormat, churn_terms
from serving.language.messages import N_, Language
from serving.scoring.score_tables import Scores

SEVERITIES = {"critical": N_("critical"), "warning": N_("warning"), "info": N_("notice")}
MARKS = {"critical": "▲▲", "warning": "▲", "info": "●"}


@dataclass(frozen=True)
class ReportWording:
    """How a page speaks.

    Attributes:
        tr: Its language.
        form: How its numbers are written.
        words: What leaving and staying are called.
        money: Whether there is value.
        contractual: Whether leaving is a cancellation.
        cutoff: Of the scores.
        last: The last day of the horizon.
        days: Of the horizon.
        interval: Probability inside the ranges of values.
    """

    tr: Language
    form: NumberFormat
    words: ChurnTerms
    money: bool
    contractual: bool
    cutoff: date
    last: date
    days: int
    interval: float

    def name(self, name: str) -> str:
        """A name of a group, an action or a reason, in the language where it is one of ours."""
        return self.tr(name)

    def severity(self, name: str) -> str:
        """How grave an alert is, as a sign and a word."""
        return f"{MARKS.get(name, '●')} {self.tr(SEVERITIES.get(name, name))}"

    def points(self, change: float) -> str:
        """A contribution to risk in percentage points."""
        return self.tr("{n} points", n=f"{100 * change:+.1f}".replace("-", "−"))


def report_wording(scores: Scores, money: bool, mean: float, tr: Language) -> ReportWording:
    """How the page of some scores speaks; `mean` is the mean size of a customer's value."""
    task = scores.manifest["models"]["churn"]["task"]
    days, active = Window.parse(task["horizon"]).days, Window.parse(task["active_within"]).days
    churn = task.get("churn", "inactive")
    return ReportWording(
        tr=tr,
        form=NumberFormat(mean, tr),
        words=churn_terms(churn, days, active, tr),
        money=money,
        contractual=churn == "cancelled",
        cutoff=scores.cutoff,
        last=scores.cutoff + timedelta(days - 1),
        days=days,
        interval=float(scores.manifest["interval"]),
    )
