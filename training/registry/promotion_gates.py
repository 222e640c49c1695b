"""Promotion gates of `[training.promote]`: decide from metrics on the last cutoff if a challenger becomes champion.

A challenger without skill (`training.evaluation.skill`) never does, whatever else it beats. Everybody alike becomes
champion in its place, unless the present champion has skill on the last cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from features.config.load import Config
from training.artifact.bundle import ModelBundle
from training.data.time_split import Sample
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.evaluation.skill import NO_BETTER, assess_skill
from training.registry.aliases import CHAMPION
from training.registry.champion_challenger import (
    TITLES,
    ChampionComparison,
    CurrentChampions,
    champion_skill,
    compare_with_champions,
    rows_at_cutoff,
)


@dataclass(frozen=True)
class PromotionGate:
    """A condition that a challenger must meet.

    Attributes:
        kind: 'churn' or 'value'.
        metric: The metric to compare.
        against: 'champion', or the name of a baseline.
        required: The least standing that passes: 'better', 'ahead', 'level' or 'any'.
        min_gain: How much better it must be, in the metric's unit.
        reference: Figure of the champion or baseline.
        challenger: Figure of the challenger.
        difference: Challenger minus reference (of absolute values for total_error).
        low: Lower end of the difference's 95% confidence interval.
        high: Upper end.
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
        """Low, middle and high of the gain: above 0 the challenger is better, whatever the metric.

        >>> PromotionGate("churn", "brier", "champion", "ahead", 0.0, 0.20, 0.19, -0.01, -0.03, 0.02).gains
        (-0.02, 0.01, 0.03)
        """
        if self.metric in HIGHER_IS_BETTER:
            return self.low, self.difference, self.high
        return -self.high, -self.difference, -self.low

    @property
    def standing(self) -> str:
        """The best standing that holds: 'better', 'ahead', 'level', or 'behind'.

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
        """Whether the standing is at least the required one."""
        order = ("better", "ahead", "level", "behind")
        return self.required == "any" or order.index(self.standing) <= order.index(self.required)

    def __str__(self) -> str:
        more = f" by {self.min_gain:.4g} or more" if self.min_gain else ""
        against = self.against if self.against == CHAMPION else f"baseline {self.against!r}"
        return (
            f"{self.kind}, {TITLES[self.metric]}: {self.challenger:.4g} against {self.reference:.4g} "
            f"of the {against}, {self.difference:+.4g} ({self.low:+.4g} to {self.high:+.4g}); "
            f"asked for {self.required!r}{more}, found {self.standing!r}"
        )


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a challenger is promoted, and why.

    Attributes:
        promoted: Whether its models become champions.
        gates: All gates.
        comparison: Comparison with the champion; None if there is no champion, or the models are identical.
        reasons: Why it is not promoted, with figures; empty if it is.
        note: What a user should know about a promotion; may be empty.
        alike: Whether everybody alike becomes champion in place of the challengers, which have no skill.
    """

    promoted: bool
    gates: tuple[PromotionGate, ...] = ()
    comparison: ChampionComparison | None = None
    reasons: tuple[str, ...] = ()
    note: str = ""
    alike: bool = False


@dataclass(frozen=True)
class AlikeChallengers:
    """Everybody alike as models, in the place of challengers without skill.

    Attributes:
        models: By kind.
        evaluated: From what was known at the last cutoff.
    """

    models: Mapping[str, ModelBundle]
    evaluated: ModelBundle


def decide_promotion(
    evaluation: Evaluation, challengers: Mapping[str, ModelBundle], evaluation_bundle: ModelBundle, truth: Sample,
    cutoff: date, champions: CurrentChampions, config: Config, own: str = "", alike: AlikeChallengers | None = None,
) -> PromotionDecision:  # fmt: skip
    """Decide by the gates of `[training.promote]` if challengers become champions.

    Args:
        evaluation: Evaluation of the challenger and the baselines at `cutoff`.
        challengers: The new models by kind; empty if all are identical to the champions.
        evaluation_bundle: The model that was evaluated: it was not fitted on `cutoff`.
        truth: The customers of `cutoff` with their labels.
        cutoff: The last mature cutoff.
        champions: The champions.
        config: The business, with gates, seed and resamples.
        own: Digest of the user's own features in `truth`.
        alike: Everybody alike; None if the challengers have skill.

    Returns:
        The decision, with all gates and reasons.
    """
    if not challengers:
        return PromotionDecision(True)
    decision = _decide_by_gates(evaluation, challengers, evaluation_bundle, truth, cutoff, champions, config, own)
    skill = assess_skill(evaluation, cutoff)
    if skill is None or skill.shown or alike is None:
        return decision
    why = f"it is {NO_BETTER}: {skill}"
    stays, note = _champions_or_alike(alike, evaluation_bundle, truth, cutoff, champions, config, own)
    reasons = (why, *filter(None, [stays]), *decision.reasons)
    return replace(decision, promoted=False, reasons=reasons, note=note, alike=not stays)


def _champions_or_alike(
    alike: AlikeChallengers, evaluation_bundle: ModelBundle, truth: Sample, cutoff: date, champions: CurrentChampions,
    config: Config, own: str,
) -> tuple[str, str]:  # fmt: skip
    """Why the champions stay, or "" if everybody alike takes their place; and then what a user should know."""
    note = (
        "the new models are no better than treating everybody alike, so that is champion now: the same risk and value "
        "for every customer, without reasons. `regulars promote` makes the new models champions by hand"
    )
    if problem := next(_different_classifiers(alike.models, champions, config), champions.problem):
        return f"the champion stays: {problem}", ""
    labels = " and ".join(model.version.label for model in champions.models.values())
    if not any(model.bundle.skill for model in champions.models.values()):
        return "", note
    skill = champion_skill(evaluation_bundle, alike.evaluated, truth, cutoff, champions, config, own)
    if skill is None:
        return f"the champion {labels} stays: it cannot be evaluated at {cutoff}", ""
    if skill.shown:
        return f"the champion {labels} stays: at {cutoff} it still tells customers apart: {skill}", ""
    return "", f"{note}. The champion before, {labels}, was no better at {cutoff} either: {skill}"


def _decide_by_gates(
    evaluation: Evaluation, challengers: Mapping[str, ModelBundle], evaluation_bundle: ModelBundle, truth: Sample,
    cutoff: date, champions: CurrentChampions, config: Config, own: str,
) -> PromotionDecision:  # fmt: skip
    """As `decide_promotion`, by the gates alone."""
    settings, kinds = config.training.promote, tuple(challengers)
    first = not champions.models and not champions.problem
    baseline_gates = tuple(
        _baseline_gates(evaluation, cutoff, kinds, config, settings.first if first else settings.ladder)
    )
    if first:
        return _decision(baseline_gates, None, _first_model_warning(evaluation, cutoff, kinds, config))
    comparison = compare_with_champions(evaluation_bundle, truth, cutoff, champions, config, evaluation, own)
    gates = (*_champion_gates(comparison, kinds, champions, config), *baseline_gates)
    problems = [*_different_classifiers(challengers, champions, config)]
    if comparison.problem and settings.champion != "any":
        problems.append(f"it cannot be compared with the champion: {comparison.problem}")
    return _decision(gates, comparison, "", problems)


def gates_text(decision: PromotionDecision) -> str:
    """Return champion against challenger as a table for a terminal, and the verdict of each gate."""
    comparison = decision.comparison
    if comparison is None:
        return "there is no champion to compare with" if decision.gates else "identical to the champion"
    if comparison.problem:
        return f"champion and challenger cannot be compared: {comparison.problem}"
    lines = [
        f"champion against challenger on {comparison.customers:,} customers at {comparison.cutoff} "
        f"(the champion: {comparison.how})",
        "",
        f"{'':<26}{'champion':>14}{'challenger':>14}   difference (95% confidence interval)",
    ]
    for row in comparison.table.itertuples():
        better = "higher is better" if row.metric in HIGHER_IS_BETTER else "closer to 0 is better"
        gap = f"{row.difference:+,.4g} ({row.low:+,.4g} to {row.high:+,.4g})"
        lines.append(f"{TITLES[row.metric]:<26}{row.champion:>14,.4g}{row.challenger:>14,.4g}   {gap:<42}{better}")
    return "\n".join([*lines, "", *(f"{'passed' if gate.passed else 'FAILED'}  {gate}" for gate in decision.gates)])


def _decision(
    gates: tuple[PromotionGate, ...], comparison: ChampionComparison | None, note: str, problems: Sequence[str] = ()
) -> PromotionDecision:
    reasons = (*problems, *(str(gate) for gate in gates if not gate.passed))
    return PromotionDecision(not reasons, gates, comparison, reasons, "" if reasons else note)


def _baseline_gates(
    evaluation: Evaluation, cutoff: date, kinds: tuple[str, ...], config: Config, required: str
) -> Iterator[PromotionGate]:
    """One gate for each kind, against the baseline with the best figure."""
    for kind in kinds:
        metric: str = getattr(config.training.promote, kind)
        d, m = rows_at_cutoff(evaluation.differences, cutoff), rows_at_cutoff(evaluation.metrics, cutoff)
        m = m[(m.metric == metric) & (m.segment == "all")].set_index("model")["value"]
        baselines = d[(d.metric == metric) & d.against.isin(m.index)]
        if baselines.empty or OURS not in m.index:
            continue
        sizes = [m[name] if metric in HIGHER_IS_BETTER else -abs(m[name]) for name in baselines.against]
        best = baselines.iloc[int(np.argmax(sizes))]
        yield PromotionGate(
            kind, metric, best.against, required, 0.0, float(m[best.against]), float(m[OURS]),
            float(best.difference), float(best.low), float(best.high),
        )  # fmt: skip


def _champion_gates(
    comparison: ChampionComparison, kinds: tuple[str, ...], champions: CurrentChampions, config: Config
) -> Iterator[PromotionGate]:
    """One gate for each kind that has a champion and was evaluated."""
    settings = config.training.promote
    for kind in kinds:
        metric: str = getattr(settings, kind)
        rows = comparison.table[comparison.table.metric == metric]
        if rows.empty or kind not in champions.models:
            continue
        row = rows.iloc[0]
        min_gain = settings.gain * abs(row.champion)
        yield PromotionGate(
            kind, metric, CHAMPION, settings.champion, min_gain, float(row.champion), float(row.challenger),
            float(row.difference), float(row.low), float(row.high),
        )  # fmt: skip


def _first_model_warning(evaluation: Evaluation, cutoff: date, kinds: tuple[str, ...], config: Config) -> str:
    """A warning if a first model does not beat the baselines; else empty."""
    gates = _baseline_gates(evaluation, cutoff, kinds, config, "ahead")
    behind = [str(gate) for gate in gates if not gate.passed]
    if not behind:
        return ""
    return (
        "it is champion only because there was no champion before: a simple baseline does as well or better. "
        + "; ".join(behind)
        + ". [training.promote] first = 'ahead' would refuse it"
    )


def _different_classifiers(
    challengers: Mapping[str, ModelBundle], champions: CurrentChampions, config: Config
) -> Iterator[str]:
    """A message for each champion that would stay and uses another classifier of returning."""
    classifiers = {bundle.classifier_digest for bundle in challengers.values()}
    for kind, model in champions.models.items():
        if kind not in challengers and model.bundle.classifier_digest not in classifiers:
            yield (
                f"{model.version.label} would stay champion beside it with another classifier of returning, and their "
                "predictions would contradict each other; `regulars train` trains both"
            )
