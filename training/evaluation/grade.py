"""How far to trust a model, as one grade from A to D: its order, its level, and how stable both are over cutoffs.

Each part is graded by the worst that its 95% confidence interval includes, so a small test cannot earn a high grade by
luck. The grade is that of the weakest part; a model without skill (`training.evaluation.skill`) is D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from training.evaluation.evaluate import CONFIDENCE, OURS, Evaluation
from training.evaluation.skill import assess_skill

ORDER = {"A": 0.70, "B": 0.60}  # the least AUC
LEVEL = {"A": 0.15, "B": 0.30}  # the largest error of the leavers and of the total value, as a share
STABLE_CUTOFFS = 3  # evaluated cutoffs that it takes to show that a model is stable
Translate = Callable[..., str]  # from an English message, with slots in braces, to the reader's language


@dataclass(frozen=True)
class Grade:
    """A grade and what it rests on.

    Attributes:
        skill: Whether the model tells customers apart.
        auc: The AUC at the newest evaluated cutoff.
        auc_low: The lower end of its 95% confidence interval.
        level_error: The largest error of the number of leavers, or of the total value, that its 95% confidence interval
            includes; as a share of the smaller of leavers and stayers, or of the actual total.
        cutoffs: How many cutoffs were evaluated.
        worst_auc: The lowest AUC at any of them.
        worst_error: The largest error of the number of leavers, or of the total value, at any of them.
    """

    skill: bool
    auc: float
    auc_low: float
    level_error: float
    cutoffs: int
    worst_auc: float
    worst_error: float

    @property
    def order(self) -> str:
        """The grade of the ranking by risk: A, B or C."""
        return _letter(ORDER, self.auc_low, above=True)

    @property
    def level(self) -> str:
        """The grade of the sums: how many leave, and what all bring."""
        return _letter(LEVEL, self.level_error)

    @property
    def stability(self) -> str:
        """The grade of the worst evaluated cutoff; B at best where too few were evaluated to show it."""
        worst = max(_letter(ORDER, self.worst_auc, above=True), _letter(LEVEL, self.worst_error))
        return worst if self.cutoffs >= STABLE_CUTOFFS else max(worst, "B")

    @property
    def letter(self) -> str:
        """The grade of the weakest part; D without skill.

        >>> Grade(True, 0.88, 0.86, 0.17, 4, 0.87, 0.10).letter, Grade(False, 0.52, 0.48, 0.1, 1, 0.52, 0.1).letter
        ('B', 'D')
        """
        return max(self.order, self.level, self.stability) if self.skill else "D"


def _letter(least: Mapping[str, float], figure: float, above: bool = False) -> str:
    """The best letter whose threshold a figure reaches, else C."""
    return next((letter for letter, end in least.items() if (figure >= end if above else figure <= end)), "C")


def grade_evaluation(evaluation: Evaluation | None) -> Grade | None:
    """Grade the newest cutoff of an evaluation; None if it did not measure the order and the leavers."""
    if evaluation is None or evaluation.metrics.empty:
        return None
    cutoffs = evaluation.metrics["cutoff"].astype(str).str[:10]
    ours = evaluation.metrics.assign(cutoff=cutoffs)[
        (evaluation.metrics["model"] == OURS) & (evaluation.metrics["segment"] == "all")
    ]
    orders = ours[ours["metric"] == "auc"].set_index("cutoff").sort_index()
    errors = {cutoff: _level_errors(evaluation.groups, ours, cutoff) for cutoff in orders.index}
    if orders.empty or not errors[orders.index[-1]]:
        return None
    newest = orders.index[-1]
    skill = assess_skill(evaluation, newest)
    return Grade(
        skill=skill is None or skill.shown,
        auc=float(orders["value"][newest]),
        auc_low=float(orders["low"][newest]),
        level_error=max(max(abs(low), abs(high)) for _, low, high in errors[newest]),
        cutoffs=len(orders),
        worst_auc=float(orders["value"].min()),
        worst_error=max(abs(error) for of_cutoff in errors.values() for error, _, _ in of_cutoff),
    )


def read_grade(figures: Mapping[str, Any] | None) -> Grade | None:
    """Read a grade from a manifest; None if there is none, or another version wrote it."""
    try:
        return None if figures is None else Grade(**figures)
    except TypeError:
        return None


def _level_errors(groups: pd.DataFrame, ours: pd.DataFrame, cutoff: str) -> list[tuple[float, float, float]]:
    """The errors of the number of leavers and of the total value at a cutoff, each with its interval."""
    total = ours[(ours["metric"] == "total_error") & (ours["cutoff"] == cutoff)]
    money = [
        (float(row.value), float(row.low), float(row.high)) for row in total.itertuples() if np.isfinite(row.value)
    ]
    if groups.empty:
        return []
    churn = groups[(groups["number"] == "churn") & (groups["cutoff"].astype(str).str[:10] == cutoff)]
    if "segment" in churn:
        churn = churn[churn["segment"] == "all"]
    expected, observed = (float(churn[name] @ churn["customers"]) for name in ("predicted", "actual"))
    return [*_leavers_error(expected, observed, float(churn["customers"].sum())), *money]


def _leavers_error(expected: float, observed: float, customers: float) -> list[tuple[float, float, float]]:
    """Expected less observed leavers with the confidence interval, as shares of the smaller of leavers and stayers.

    The number of leavers varies by chance as that of independent customers does (normal approximation).

    >>> [[round(figure, 2) for figure in error] for error in _leavers_error(110.0, 100.0, 1000.0)]
    [[0.1, -0.09, 0.29]]
    """
    smaller = min(observed, customers - observed)
    if not smaller > 0:
        return []
    error = (expected - observed) / smaller
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * float(np.sqrt(observed * (1 - observed / customers))) / smaller
    return [(error, error - half, error + half)]


def evaluation_figures(evaluation: Evaluation) -> dict[str, Any]:
    """The grade and our metrics at the newest evaluated cutoff, with their intervals, as values of JSON."""
    metrics, grade = evaluation.metrics, grade_evaluation(evaluation)
    ours = metrics[(metrics["model"] == OURS) & (metrics["segment"] == "all")].dropna(subset=["value", "low", "high"])
    last = ours[ours["cutoff"].astype(str) == ours["cutoff"].astype(str).max()]
    figures = {row["metric"]: [float(row[end]) for end in ("value", "low", "high")] for row in last.to_dict("records")}
    graded = None if grade is None else {"letter": grade.letter, **asdict(grade)}
    return {"evaluated_at": str(last["cutoff"].iloc[0])[:10] if len(last) else "", "grade": graded, "metrics": figures}


def grade_text(grade: Grade, tr: Translate = str.format) -> str:
    """Say a grade in one plain sentence, in the language of `tr`.

    >>> grade_text(Grade(True, 0.88, 0.86, 0.17, 4, 0.87, 0.10))
    'The ranking by risk is reliable, totals may be off by up to 17%, and results were stable over 4 cutoffs.'
    """
    if not grade.skill:
        return tr("The models are no better than treating everybody alike: do not choose customers by these scores.")
    return tr("{order}, {level}, and {stability}.", order=_order(grade, tr), level=_level(grade, tr),
              stability=_stability(grade, tr))  # fmt: skip


def grade_lines(evaluation: Evaluation) -> list[str]:
    """The grade of an evaluation as lines for a terminal, an empty one at the end; none if it was not measured."""
    grade = grade_evaluation(evaluation)
    return [] if grade is None else [f"Grade {grade.letter} (A to D): {grade_text(grade)}", ""]


def _order(grade: Grade, tr: Translate) -> str:
    if grade.order == "A":
        return tr("The ranking by risk is reliable")
    if grade.order == "B":
        return tr("The ranking by risk is useful, but often wrong for single customers")
    return tr("The ranking by risk is only a little better than chance")


def _level(grade: Grade, tr: Translate) -> str:
    if grade.level == "C":
        return tr("totals may be off by more than {share}", share=f"{LEVEL['B']:.0%}")
    return tr("totals may be off by up to {share}", share=f"{grade.level_error:.0%}")


def _stability(grade: Grade, tr: Translate) -> str:
    if grade.cutoffs < STABLE_CUTOFFS:
        return tr("too few cutoffs were tested to know whether this lasts")
    if grade.stability > max(grade.order, grade.level):
        return tr("one of {n} tested cutoffs was worse", n=grade.cutoffs)
    return tr("results were stable over {n} cutoffs", n=grade.cutoffs)
