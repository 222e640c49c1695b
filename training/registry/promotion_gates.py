"""Whether a challenger becomes champion: the gates of `[training.promote]`, asked of figures on the last cutoff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from features.config.load import Config
from training.artifact.bundle import ModelBundle
from training.data.time_split import Sample
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.registry.aliases import CHAMPION
from training.registry.champion_challenger import (
    TITLES,
    ChampionComparison,
    CurrentChampions,
    compare_with_champions,
    rows_at_cutoff,
)


@dataclass(frozen=True)
class PromotionGate:
    """One thing that is asked of a challenger.

    Attributes:
        kind: 'churn' or 'value'.
        metric: By which it is judged.
        against: 'champion', or a rule of the ladder.
        required: 'better', 'ahead', 'level' or 'any'.
        min_gain: How much better it must be, in the metric's own unit.
        theirs, ours: The two figures.
        difference, low, high: Ours less theirs, with its 95% interval (of sizes for total_error).
    """

    kind: str
    metric: str
    against: str
    required: str
    min_gain: float
    reference: float
    challenger: float
    difference: float
    low: float
    high: float

    @property
    def gains(self) -> tuple[float, float, float]:
        """Low, middle and high of what is gained: above 0 is better, whatever the metric.

        >>> PromotionGate("churn", "brier", "champion", "ahead", 0.0, 0.20, 0.19, -0.01, -0.03, 0.02).gains
        (-0.02, 0.01, 0.03)
        """
        if self.metric in HIGHER_IS_BETTER:
            return self.low, self.difference, self.high
        return -self.high, -self.difference, -self.low

    @property
    def standing(self) -> str:
        """The best that can be said: 'better', 'ahead', 'level', or 'behind'.

        >>> PromotionGate("churn", "brier", "champion", "ahead", 0.0, 0.20, 0.19, -0.01, -0.03, 0.02).standing
        'ahead'
        """
        low, middle, high = self.gains
        if low > self.min_gain:
            return "better"
        if middle >= self.min_gain:
            return "ahead"
        return "level" if high >= self.min_gain else "behind"

    @property
    def passed(self) -> bool:
        """Whether it stands where it must."""
        order = ("better", "ahead", "level", "behind")
        return self.required == "any" or order.index(self.standing) <= order.index(self.required)

    def __str__(self) -> str:
        more = f" by {self.min_gain:.4g} or more" if self.min_gain else ""
        return (
            f"{self.kind}, {TITLES[self.metric]}: {self.challenger:.4g} against {self.reference:.4g} "
            f"of the {self.against}, {self.difference:+.4g} ({self.low:+.4g} to {self.high:+.4g}); "
            f"asked for {self.required!r}{more}, found {self.standing!r}"
        )


@dataclass(frozen=True)
class PromotionDecision:
    """What became of a challenger, and why.

    Attributes:
        promoted: Whether its models are to be champions.
        gates: All that was asked.
        comparison: With the champion; None where there is none, or it is equal in every bit.
        reasons: Why not, in words and figures; empty where it is promoted.
        note: What a user should know of a promotion; may be empty.
    """

    promoted: bool
    gates: tuple[PromotionGate, ...] = ()
    comparison: ChampionComparison | None = None
    reasons: tuple[str, ...] = ()
    note: str = ""


def decide_promotion(
    evaluation: Evaluation, challengers: Mapping[str, ModelBundle], judge: ModelBundle, truth: Sample, cutoff: date,
    rivals: CurrentChampions, config: Config, own: str = "",
) -> PromotionDecision:  # fmt: skip
    """Asks the gates of `[training.promote]`.

    Args:
        evaluation: Of the challenger, with its ladder, at `cutoff`.
        challengers: The shipped models that are new, by kind; empty where all are equal to the champions.
        judge: What was judged: it has not seen `cutoff`.
        truth: The customers of `cutoff`, and what they did.
        cutoff: The last mature one.
        rivals: The champions.
        config: Gates, seed and resamples.
        own: The digest of the user's own features that `truth` holds.
    """
    if not challengers:
        return PromotionDecision(True)
    settings, kinds = config.training.promote, tuple(challengers)
    first = not rivals.models and not rivals.problem
    ladder = tuple(_ladder_gates(evaluation, cutoff, kinds, config, settings.first if first else settings.ladder))
    if first:
        return _decided(ladder, None, _loud(evaluation, cutoff, kinds, config))
    comparison = compare_with_champions(judge, truth, cutoff, rivals, config, evaluation, own)
    gates = (*_champion_gates(comparison, kinds, rivals, config), *ladder)
    problems = [*_apart(challengers, rivals, config)]
    if comparison.problem and settings.champion != "any":
        problems.append(f"it cannot be compared with the champion: {comparison.problem}")
    return _decided(gates, comparison, "", problems)


def gates_text(decision: PromotionDecision) -> str:
    """Champion against challenger as a table for a terminal, and the verdict of each gate."""
    found = decision.comparison
    if found is None:
        return "there is no champion to compare with" if decision.gates else "equal to the champion in every bit"
    if found.problem:
        return f"champion and challenger cannot be compared: {found.problem}"
    lines = [
        f"champion against challenger on {found.customers:,} customers at {found.cutoff} (the champion: {found.how})",
        "",
        f"{'':<24}{'champion':>14}{'challenger':>14}   difference (95% interval)",
    ]
    for row in found.table.itertuples():
        better = "higher is better" if row.metric in HIGHER_IS_BETTER else "nearer 0 is better"
        gap = f"{row.difference:+,.4g} ({row.low:+,.4g} to {row.high:+,.4g})"
        lines.append(f"{TITLES[row.metric]:<24}{row.champion:>14,.4g}{row.challenger:>14,.4g}   {gap:<42}{better}")
    return "\n".join([*lines, "", *(f"{'passed' if gate.passed else 'FAILED'}  {gate}" for gate in decision.gates)])


def _decided(
    gates: tuple[PromotionGate, ...], comparison: ChampionComparison | None, note: str, problems: Sequence[str] = ()
) -> PromotionDecision:
    reasons = (*problems, *(str(gate) for gate in gates if not gate.passed))
    return PromotionDecision(not reasons, gates, comparison, reasons, "" if reasons else note)


def _ladder_gates(
    evaluation: Evaluation, cutoff: date, kinds: tuple[str, ...], config: Config, asked: str
) -> Iterator[PromotionGate]:
    """One gate a kind, against the rule with the best figure."""
    for kind in kinds:
        metric: str = getattr(config.training.promote, kind)
        d, m = rows_at_cutoff(evaluation.differences, cutoff), rows_at_cutoff(evaluation.metrics, cutoff)
        m = m[(m.metric == metric) & (m.segment == "all")].set_index("model")["value"]
        rules = d[(d.metric == metric) & d.against.isin(m.index)]
        if rules.empty or OURS not in m.index:
            continue
        sizes = [m[name] if metric in HIGHER_IS_BETTER else -abs(m[name]) for name in rules.against]
        best = rules.iloc[int(np.argmax(sizes))]
        yield PromotionGate(
            kind, metric, best.against, asked, 0.0, float(m[best.against]), float(m[OURS]),
            float(best.difference), float(best.low), float(best.high),
        )  # fmt: skip


def _champion_gates(
    found: ChampionComparison, kinds: tuple[str, ...], rivals: CurrentChampions, config: Config
) -> Iterator[PromotionGate]:
    """One gate a kind that has a champion and was measured."""
    settings = config.training.promote
    for kind in kinds:
        metric: str = getattr(settings, kind)
        rows = found.table[found.table.metric == metric]
        if rows.empty or kind not in rivals.models:
            continue
        row = rows.iloc[0]
        least = settings.gain * abs(row.champion)
        yield PromotionGate(
            kind, metric, CHAMPION, settings.champion, least, float(row.champion), float(row.challenger),
            float(row.difference), float(row.low), float(row.high),
        )  # fmt: skip


def _loud(evaluation: Evaluation, cutoff: date, kinds: tuple[str, ...], config: Config) -> str:
    """What a first model that does not beat the ladder is told."""
    gates = _ladder_gates(evaluation, cutoff, kinds, config, "ahead")
    behind = [str(gate) for gate in gates if not gate.passed]
    if not behind:
        return ""
    return (
        "it is champion only because there was none: a simple rule does as well or better. "
        + "; ".join(behind)
        + ". [training.promote] first = 'ahead' would refuse it"
    )


def _apart(challengers: Mapping[str, ModelBundle], rivals: CurrentChampions, config: Config) -> Iterator[str]:
    """A champion that stays and has another gate."""
    gates = {bundle.classifier_digest for bundle in challengers.values()}
    for kind, model in rivals.models.items():
        if kind not in challengers and model.bundle.classifier_digest not in gates:
            yield (
                f"{model.version.label} would stay champion beside it with another gate, and their numbers would "
                "contradict each other; `regulars train` makes both"
            )
