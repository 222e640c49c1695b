"""Whether a challenger becomes champion: both judged on the last cutoff, which neither has seen, by the config's gates.

Differences are paired: both are asked about the same customers, on the same resamples (see `evaluate`). Where the
champion cannot be asked on the new columns, its logged figures at the same cutoff of the same data are taken; their
difference has the interval of two figures that are not paired (Zou and Donner, Statistics in Medicine 27, 2008), which
is too wide rather than too narrow where both err on the same customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from features.config import Config
from features.task import Window
from training.baselines import Prediction
from training.bundle import BundleError, ModelBundle
from training.evaluate import BETTER_HIGH, OURS, Evaluation, evaluate
from training.registry import ALIAS, Champion
from training.split import Sample

TITLES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "spearman": "Spearman",
    "gini": "Gini (normalised)",
    "deviance": "Tweedie deviance 1.5",
    "decile_error": "error over deciles",
    "total_error": "error of the total",
    "mae": "MAE",
}


@dataclass(frozen=True)
class Gate:
    """One thing that is asked of a challenger.

    Attributes:
        kind: 'churn' or 'value'.
        metric: By which it is judged.
        against: 'champion', or a rule of the ladder.
        asked: 'better', 'ahead', 'level' or 'any'.
        least: How much better it must be, in the metric's own unit.
        theirs, ours: The two figures.
        difference, low, high: Ours less theirs, with its 95% interval (of sizes for total_error).
    """

    kind: str
    metric: str
    against: str
    asked: str
    least: float
    theirs: float
    ours: float
    difference: float
    low: float
    high: float

    @property
    def gains(self) -> tuple[float, float, float]:
        """Low, middle and high of what is gained: above 0 is better, whatever the metric.

        >>> Gate("churn", "brier", "champion", "ahead", 0.0, 0.20, 0.19, -0.01, -0.03, 0.02).gains
        (-0.02, 0.01, 0.03)
        """
        if self.metric in BETTER_HIGH:
            return self.low, self.difference, self.high
        return -self.high, -self.difference, -self.low

    @property
    def standing(self) -> str:
        """The best that can be said: 'better', 'ahead', 'level', or 'behind'.

        >>> Gate("churn", "brier", "champion", "ahead", 0.0, 0.20, 0.19, -0.01, -0.03, 0.02).standing
        'ahead'
        """
        low, middle, high = self.gains
        if low > self.least:
            return "better"
        if middle >= self.least:
            return "ahead"
        return "level" if high >= self.least else "behind"

    @property
    def passed(self) -> bool:
        """Whether it stands where it must."""
        order = ("better", "ahead", "level", "behind")
        return self.asked == "any" or order.index(self.standing) <= order.index(self.asked)

    def __str__(self) -> str:
        more = f" by {self.least:.4g} or more" if self.least else ""
        return (
            f"{self.kind}, {TITLES[self.metric]}: {self.ours:.4g} against {self.theirs:.4g} of the {self.against}, "
            f"{self.difference:+.4g} ({self.low:+.4g} to {self.high:+.4g}); asked for {self.asked!r}{more}, "
            f"found {self.standing!r}"
        )


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same cutoff.

    Attributes:
        table: metric, champion, challenger, difference, low, high: one row a metric.
        cutoff: Which.
        customers: How many were asked about.
        how: What the champion's figures are of, in words.
        problem: Why they cannot be compared; the table is then empty.
    """

    table: pd.DataFrame
    cutoff: date
    customers: int
    how: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Decision:
    """What became of a challenger, and why.

    Attributes:
        promoted: Whether its models are to be champions.
        gates: All that was asked.
        comparison: With the champion; None where there is none, or it is equal in every bit.
        reasons: Why not, in words and figures; empty where it is promoted.
        note: What a user should know of a promotion; may be empty.
    """

    promoted: bool
    gates: tuple[Gate, ...] = ()
    comparison: Comparison | None = None
    reasons: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Rivals:
    """The champions of a business as far as they can be read.

    Attributes:
        models: By kind.
        problem: Why one of them cannot be read.
        logged: Gives the figures that the champions' training logged, where they are of the same data, else None.
    """

    models: Mapping[str, Champion] = field(default_factory=dict)
    problem: str = ""
    logged: Callable[[], Evaluation | None] = lambda: None


def decide(
    evaluation: Evaluation, challengers: Mapping[str, ModelBundle], judge: ModelBundle, truth: Sample, cutoff: date,
    rivals: Rivals, config: Config, own: str = "",
) -> Decision:  # fmt: skip
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
        return Decision(True)
    settings, kinds = config.training.promote, tuple(challengers)
    first = not rivals.models and not rivals.problem
    ladder = tuple(_ladder_gates(evaluation, cutoff, kinds, config, settings.first if first else settings.ladder))
    if first:
        return _decided(ladder, None, _loud(evaluation, cutoff, kinds, config))
    comparison = compare(judge, truth, cutoff, rivals, config, evaluation, own)
    gates = (*_champion_gates(comparison, kinds, rivals, config), *ladder)
    problems = [*_apart(challengers, rivals, config)]
    if comparison.problem and settings.champion != "any":
        problems.append(f"it cannot be compared with the champion: {comparison.problem}")
    return _decided(gates, comparison, "", problems)


def compare(
    judge: ModelBundle, truth: Sample, cutoff: date, rivals: Rivals, config: Config, evaluation: Evaluation,
    own: str = "",
) -> Comparison:  # fmt: skip
    """Champion and challenger on one cutoff's customers, which neither has seen; arguments as of `decide`."""
    problem, how, theirs = rivals.problem, "", None
    if not problem:
        problem, how, theirs = _asked(rivals, judge, truth, cutoff, own)
    if theirs is not None:
        said = {OURS: _prediction(judge.predict(truth.features)), ALIAS: theirs}
        settings = config.training
        found = evaluate(said, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
        return Comparison(_paired(found), cutoff, len(truth), how)
    logged = rivals.logged()
    if logged is not None and len(table := _unpaired(evaluation, logged, cutoff)):
        return Comparison(table, cutoff, len(truth), f"its logged figures at this cutoff, not paired, since {problem}")
    return Comparison(_paired(None), cutoff, len(truth), problem=problem)


def describe(decision: Decision) -> str:
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
        better = "higher is better" if row.metric in BETTER_HIGH else "nearer 0 is better"
        gap = f"{row.difference:+,.4g} ({row.low:+,.4g} to {row.high:+,.4g})"
        lines.append(f"{TITLES[row.metric]:<24}{row.champion:>14,.4g}{row.challenger:>14,.4g}   {gap:<42}{better}")
    return "\n".join([*lines, "", *(f"{'passed' if gate.passed else 'FAILED'}  {gate}" for gate in decision.gates)])


def _decided(
    gates: tuple[Gate, ...], comparison: Comparison | None, note: str, problems: Sequence[str] = ()
) -> Decision:
    reasons = (*problems, *(str(gate) for gate in gates if not gate.passed))
    return Decision(not reasons, gates, comparison, reasons, "" if reasons else note)


def _ladder_gates(
    evaluation: Evaluation, cutoff: date, kinds: tuple[str, ...], config: Config, asked: str
) -> Iterator[Gate]:
    """One gate a kind, against the rule with the best figure."""
    for kind in kinds:
        metric: str = getattr(config.training.promote, kind)
        d, m = _at(evaluation.differences, cutoff), _at(evaluation.metrics, cutoff)
        m = m[(m.metric == metric) & (m.segment == "all")].set_index("model")["value"]
        rules = d[(d.metric == metric) & d.against.isin(m.index)]
        if rules.empty or OURS not in m.index:
            continue
        sizes = [m[name] if metric in BETTER_HIGH else -abs(m[name]) for name in rules.against]
        best = rules.iloc[int(np.argmax(sizes))]
        yield Gate(
            kind, metric, best.against, asked, 0.0, float(m[best.against]), float(m[OURS]),
            float(best.difference), float(best.low), float(best.high),
        )  # fmt: skip


def _champion_gates(found: Comparison, kinds: tuple[str, ...], rivals: Rivals, config: Config) -> Iterator[Gate]:
    """One gate a kind that has a champion and was measured."""
    settings = config.training.promote
    for kind in kinds:
        metric: str = getattr(settings, kind)
        rows = found.table[found.table.metric == metric]
        if rows.empty or kind not in rivals.models:
            continue
        row = rows.iloc[0]
        least = settings.gain * abs(row.champion)
        yield Gate(
            kind, metric, ALIAS, settings.champion, least, float(row.champion), float(row.challenger),
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


def _apart(challengers: Mapping[str, ModelBundle], rivals: Rivals, config: Config) -> Iterator[str]:
    """A champion that stays and has another gate."""
    gates = {bundle.gate_digest for bundle in challengers.values()}
    for kind, model in rivals.models.items():
        if kind not in challengers and model.bundle.gate_digest not in gates:
            yield (
                f"{model.version.label} would stay champion beside it with another gate, and their numbers would "
                "contradict each other; `regulars train` makes both"
            )


def _asked(
    rivals: Rivals, judge: ModelBundle, truth: Sample, cutoff: date, own: str
) -> tuple[str, str, Prediction | None]:
    """What the champions say of customers whose cutoff they had not seen; or why they cannot be asked."""
    said, told = {}, []
    for kind, model in rivals.models.items():
        label = model.version.label
        problem = _other_question(model.bundle, judge, own)
        if problem:
            return f"{label} {problem}", "", None
        bundle, how = _unseen(model, cutoff)
        if bundle is None:
            return f"{label} has seen what came to the customers of {cutoff}, and so has what was judged then", "", None
        try:
            said[kind] = bundle.predict(truth.features)
        except BundleError as problem_found:
            return f"{problem_found}; the config changed since it was trained", "", None
        told.append(f"{label} {how}")
    churn = said.get("churn", said.get("value", {}))["churn_probability"]
    return "", "; ".join(dict.fromkeys(told)), Prediction(churn, said.get("value", {}).get("value"))


def _unseen(model: Champion, cutoff: date) -> tuple[ModelBundle | None, str]:
    """The champion itself where its labels end by the cutoff, else what was judged in its stead, if that has not."""
    for bundle, how in ((model.bundle, "as it scores"), (model.judge, "as it was judged, from earlier cutoffs")):
        if bundle is not None and _last_seen(bundle) <= cutoff:
            return bundle, how
    return None, ""


def _last_seen(bundle: ModelBundle) -> date:
    """The end of the last label that a bundle learned from."""
    newest = max(date.fromisoformat(str(cutoff)) for cutoff in bundle.facts["cutoffs"])
    return newest + Window.parse(str(bundle.task["horizon"])).delta


def _other_question(bundle: ModelBundle, judge: ModelBundle, own: str) -> str:
    """Why the answers of two bundles cannot be compared; empty where they can."""
    for key in ("horizon", "churn"):
        if bundle.task.get(key) != judge.task.get(key):
            return f"was trained for [task] {key} = {bundle.task.get(key)!r}, now it is {judge.task.get(key)!r}"
    theirs = bundle.facts.get("own_features", "")
    return "learned from other features of your own" if theirs and theirs != own else ""


def _prediction(said: Mapping[str, np.ndarray]) -> Prediction:
    return Prediction(said["churn_probability"], said.get("value"))


def _paired(found: Evaluation | None) -> pd.DataFrame:
    columns = ["metric", "champion", "challenger", "difference", "low", "high"]
    if found is None:
        return pd.DataFrame(columns=columns)
    figures = found.metrics[found.metrics.segment == "all"].pivot_table(
        index="metric", columns="model", values="value", sort=False
    )
    rows = found.differences[found.differences.metric.isin(TITLES)].set_index("metric")
    both = rows.join(figures.rename(columns={ALIAS: "champion", OURS: "challenger"})).reset_index()
    order = {name: place for place, name in enumerate(TITLES)}
    return both.sort_values("metric", key=lambda names: names.map(order), ignore_index=True)[columns]


def _unpaired(ours: Evaluation, theirs: Evaluation, cutoff: date) -> pd.DataFrame:
    """Two evaluations of the same cutoff, each with intervals of its own."""
    rows = []
    for metric in TITLES:
        pair = [figure for found in (theirs, ours) if (figure := _figure(found, metric, cutoff)) is not None]
        if len(pair) < 2:
            continue
        (b, b_low, b_high), (a, a_low, a_high) = pair
        low = (a - b) - np.hypot(a - a_low, b_high - b)
        high = (a - b) + np.hypot(a_high - a, b - b_low)
        rows.append([metric, b, a, a - b, low, high])
    return pd.DataFrame(rows, columns=_paired(None).columns)


def _figure(found: Evaluation, metric: str, cutoff: date) -> tuple[float, float, float] | None:
    m = _at(found.metrics, cutoff)
    rows = m[(m.metric == metric) & (m.segment == "all") & (m.model == OURS)]
    if rows.empty:
        return None
    value, low, high = (float(rows.iloc[0][name]) for name in ("value", "low", "high"))
    if metric != "total_error":
        return value, low, high
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))  # of its size, as the differences are
    return abs(value), least, max(abs(low), abs(high))


def _at(table: pd.DataFrame, cutoff: date) -> pd.DataFrame:
    """The rows of one cutoff, whether it is a date or the text of one."""
    return table[table.cutoff.astype(str).str[:10] == str(cutoff)]
