"""The wording of a report: its language, its number formats, and its terms for churn."""

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
    """The wording of a report.

    Attributes:
        tr: The language.
        form: How numbers are written.
        words: The terms for leaving and staying.
        money: Whether the scores have a value.
        contractual: Whether churn is a cancellation.
        cutoff: The cutoff of the scores.
        last: The last day of the horizon.
        days: The length of the horizon.
        interval: The probability of the prediction intervals of value.
        skill: Whether the scores tell customers apart.
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
    skill: bool

    def name(self, name: str) -> str:
        """Translate the name of a group, an action or a reason; names of the user stay as they are."""
        return self.tr(name)

    def severity(self, name: str) -> str:
        """Format the severity of an alert as a sign and a word."""
        return f"{MARKS.get(name, '●')} {self.tr(SEVERITIES.get(name, name))}"

    def points(self, change: float) -> str:
        """Format a contribution to risk in percentage points."""
        return self.tr("{n} points", n=f"{100 * change:+.1f}".replace("-", "−"))


def report_wording(scores: Scores, money: bool, mean: float, tr: Language) -> ReportWording:
    """Choose the wording of the report for some scores.

    Args:
        scores: The scores; their manifest names the task.
        money: Whether the scores have a value.
        mean: The mean absolute value of a customer, which sets the digits of money.
        tr: The language.

    Returns:
        The wording.
    """
    task = scores.manifest.models["churn"]["task"]
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
        interval=scores.manifest.interval,
        skill=scores.manifest.skill,
    )
