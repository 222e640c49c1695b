"""Whether a model tells customers apart: its order against chance, its probabilities against everybody alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from training.evaluation.baselines import EVERYBODY_ALIKE
from training.evaluation.evaluate import OURS, Evaluation

NO_BETTER = "no better than treating everybody alike"
CHANCE = 0.5  # the AUC of a random order


@dataclass(frozen=True)
class Skill:
    """What one cutoff says of a model's skill.

    Attributes:
        auc: AUC with its 95% confidence interval, as (estimate, low, high).
        brier: The model's Brier score.
        alike: The Brier score of treating everybody alike.
        difference: The first minus the second with its paired 95% confidence interval, as (estimate, low, high).
    """

    auc: tuple[float, float, float]
    brier: float
    alike: float
    difference: tuple[float, float, float]

    @property
    def shown(self) -> bool:
        """Whether the order is better than chance, and the Brier score better than that of everybody alike.

        The AUC's interval must lie above 0.5. Of the Brier score the estimate decides: its interval needs four times
        as many customers for the same model, since a model gains the variance of its probabilities only.

        >>> good, worse = (-0.01, -0.02, 0.001), (0.01, -0.001, 0.02)
        >>> [Skill(auc, 0.2, 0.2, gap).shown for auc, gap in (
        ...     ((0.6, 0.55, 0.65), good), ((0.6, 0.49, 0.7), good), ((0.6, 0.55, 0.65), worse))]
        [True, False, False]
        """
        return self.auc[1] > CHANCE and self.difference[0] < 0

    def __str__(self) -> str:
        auc, gap = self.auc, self.difference
        against = f"{self.alike:.4f} of the baseline {EVERYBODY_ALIKE!r}"
        return (
            f"AUC {auc[0]:.3f} ({auc[1]:.3f} to {auc[2]:.3f}; {CHANCE} is chance), Brier score {self.brier:.4f} "
            f"against {against}, difference {gap[0]:+.4f} ({gap[1]:+.4f} to {gap[2]:+.4f})"
        )


def assess_skill(evaluation: Evaluation, cutoff: date | str, model: str = OURS) -> Skill | None:
    """The skill of an evaluated model at one cutoff.

    Args:
        evaluation: With the baseline 'everybody alike'; its differences are those of `model`.
        cutoff: The cutoff.
        model: Whose figures.

    Returns:
        The skill; None if AUC or that baseline was not measured, as by earlier versions.
    """
    metrics, differences = (
        table[table.cutoff.astype(str).str[:10] == str(cutoff)]
        for table in (evaluation.metrics, evaluation.differences)
    )
    figures = metrics[metrics.segment == "all"].set_index(["model", "metric"])
    gaps = differences[(differences.metric == "brier") & (differences.against == EVERYBODY_ALIKE)]
    if gaps.empty or any(key not in figures.index for key in ((model, "auc"), (model, "brier"))):
        return None
    auc, gap = figures.loc[(model, "auc")], gaps.iloc[0]
    return Skill(
        (float(auc.value), float(auc.low), float(auc.high)),
        float(figures.value[model, "brier"]),
        float(figures.value[EVERYBODY_ALIKE, "brier"]),
        (float(gap.difference), float(gap.low), float(gap.high)),
    )
