"""The command: from a config's log to registered champions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from features import snapshots
from features.config import Config
from features.errors import UsageError
from training import registry
from training.evaluate import BETTER_HIGH, OURS
from training.learn import Learned, learn

SHOWN = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "spearman": "Spearman",
    "gini": "Gini (normalised)",
    "deviance": "Tweedie deviance 1.5",
    "decile_error": "error over deciles",
    "total_error": "error of the total",
    "mae": "MAE",
}


@dataclass(frozen=True)
class Trained:
    """A training: what was learned, what was registered, and the first cutoff that can be scored with it."""

    learned: Learned
    versions: tuple[registry.Registered, ...]
    newest: date


def train(config: Config, which: str = "all") -> Trained:
    """Builds snapshots of every mature cutoff, learns, judges, and registers the champions.

    Args:
        config: The business.
        which: 'churn', 'value', or 'all' that the log supports.

    Raises:
        DataError: The log breaks its contract or is too small to learn from.
        UsageError: Value is asked for and the log has no money, or the tracking store does not answer.
    """
    if which == "value" and not config.has_value:
        raise UsageError(
            "[events] amount is not set: without money there is churn but no value"
            + (" (nor are [subscriptions] price and price_every)" if config.task.churn == "cancelled" else "")
        )
    rows = snapshots.from_config(config)
    registry.connect(config)
    learned = learn(rows, config)
    versions = registry.log(learned, rows, config, ("churn", "value") if which == "all" else (which,))
    return Trained(learned, tuple(versions), rows.end)


def describe(learned: Learned) -> str:
    """The figures of the last cutoff beside the ladder, as text for a terminal."""
    metrics = learned.evaluation.metrics
    last = metrics[(metrics.cutoff == learned.split.test.test) & (metrics.segment == "all")]
    models = [name for name in last.model.unique() if name != OURS]
    customers = int(last.customers.iloc[0])
    lines = [f"judged on {customers:,} customers at {learned.split.test.test}, a cutoff that no model had seen", ""]
    lines.append(f"{'':<24}{'regulars (95% interval)':<30}" + "".join(f"{name:>28}" for name in models))
    for metric, title in SHOWN.items():
        rows = last[last.metric == metric].set_index("model")
        if OURS not in rows.index:
            continue
        mine = rows.loc[OURS]
        cell = f"{mine.value:,.4g} ({mine.low:,.4g} to {mine.high:,.4g})"
        others = "".join(f"{rows.value.get(name, float('nan')):>28,.4g}" for name in models)
        better = "higher is better" if metric in BETTER_HIGH else "nearer 0 is better"
        lines.append(f"{title:<24}{cell:<30}{others}   {better}")
    if learned.split.lesser:
        lines += ["", f"note: {learned.split.lesser}"]
    return "\n".join(lines)
