"""The model card: what a stranger must know of a training before its numbers are used (Mitchell et al., FAT* 2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from features.config.load import Config
from features.snapshots.build import Snapshots
from training.artifact.bundle import ModelBundle
from training.evaluation import longer_horizons, metrics
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.fit import FittedModels
from training.registry.champion_challenger import TITLES
from training.registry.provenance import code_version, package_version

SEGMENT_METRICS = ("auc", "brier", "gini", "total_error")
NOT_FOR = """\
- It says what customers with such a past did, not why: a reason is what the models look at, no cause. Whether a contact
  helps is measured with a holdout, not read from a probability.
- It holds for customers of this business, at cutoffs like those above. Another business, another horizon, or a market
  that has changed needs a training of its own.
- It must not decide alone on anything that a person has a right to have judged by people: credit, prices set for one
  person, refusal of a service, work.
- A single customer's value is uncertain: use the interval, and sums over many."""


def model_card_text(learned: FittedModels, snapshots: Snapshots, config: Config, fairness: pd.DataFrame) -> str:
    """The card of a training as Markdown; text that comes from data or config is escaped.

    Args:
        learned: What was learned, with its evaluation.
        snapshots: From what.
        config: The business.
        fairness: What `fairness` found; may be empty.
    """
    name = escape_markdown(config.name)
    parts = [
        f"# {name}: who leaves, and what each is worth\n",
        _predicts(learned, snapshots),
        _data(learned, snapshots, config),
        _made(learned, config),
        _quality(learned),
        _calibration(learned, config),
        _fails(learned),
        _fairness(fairness),
        f"## What it must not be used for\n\n{NOT_FOR}\n",
    ]
    return "\n".join(parts)


def escape_markdown(text: str) -> str:
    """Text from data or config as plain text in Markdown: no markup, link, HTML or table cell can come of it.

    >>> escape_markdown("gold|<b>*x*</b>")
    'gold\\\\|&lt;b&gt;\\\\*x\\\\*&lt;/b&gt;'
    """
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", flat)


def _predicts(learned: FittedModels, snapshots: Snapshots) -> str:
    task = snapshots.task
    if task.contractual:
        member = "with a term of theirs running at the cutoff"
        outsiders = "who had left before is not predicted to leave"
    else:
        member = f"who made a purchase within the {task.cohort.active_within} before the cutoff"
        outsiders = "who was gone before is not predicted to leave"
    longer = [str(task.longer[step.column]) for step in learned.value.longer] if learned.value else []
    further = f", and over {' and '.join(longer)}, never less than over a shorter time" if longer else ""
    value = (
        "; and customer lifetime value (LTV) over it: the net spend to expect, not below 0, as P(returns) x E[spend | "
        f"returns], with the churn probability as 1 - P(returns){further}"
        if learned.value
        else ""
    )
    return (
        "## What it predicts, and for whom\n\n"
        "For each customer at a cutoff (the first instant of a day, UTC): the probability of churn "
        f"({_churn(task.churn)}) within the {task.horizon} after it{value}.\n\n"
        f"A customer is somebody {member}. Nobody else is scored: {outsiders}.\n"
    )


def _churn(churn: str) -> str:
    return "no purchase" if churn == "inactive" else "the contract is cancelled; other ends are no churn"


def _data(learned: FittedModels, snapshots: Snapshots, config: Config) -> str:
    rows, cutoffs = snapshots.rows, learned.split.all_cutoffs
    customers = len(rows["customer_id"].unique())
    attributes = config.customers.attributes if config.customers else ()
    lines = [
        ["learned from", f"{rows.num_rows:,} rows (a customer at a cutoff) of {customers:,} customers"],
        ["cutoffs", f"{len(cutoffs)}, from {cutoffs[0]} to {cutoffs[-1]}, {snapshots.task.every} apart"],
        ["the log ends", f"{snapshots.end} (the first day it says nothing about)"],
        ["features", f"{len(snapshots.features)}{', your own among them' if snapshots.own else ''}"],
        ["data fingerprint", f"`{snapshots.data_fingerprint}`"],
        ["snapshot fingerprint", f"`{snapshots.fingerprint}` (data, task and features)"],
        ["attributes of customers", ", ".join(map(escape_markdown, attributes)) or "none"],
    ]
    return f"## Data\n\n{_table(['what', ''], lines)}"


def _made(learned: FittedModels, config: Config) -> str:
    plan, tuned = learned.split, learned.tuned
    ours = learned.evaluation.metrics[learned.evaluation.metrics.model == OURS]
    heard = sorted(set(ours[ours.metric == "brier"].cutoff) - {plan.test.test})
    trials = (
        " and ".join(f"{len(t.trials)} trials ({escape_markdown(name)})" for name, t in tuned.items())
        or "none: defaults"
    )
    lines = [
        ["code", f"regulars {package_version()}, commit {code_version()}"],
        ["tuning", f"{trials}, on {len(plan.folds)} folds forward in time"],
        ["members", _members(learned.churn if learned.value is None else learned.value)],
        ["calibrated on", ", ".join(map(str, heard)) or "nothing: the log is too short"],
        ["judged on", f"{plan.test.test}, which no judged model had seen"],
        ["shipped", f"the same procedure on all {len(plan.all_cutoffs)} cutoffs, a horizon later"],
        ["seed", str(config.training.seed)],
    ]
    lesser = "".join(f"\nNote: {note}.\n" for note in (plan.shortfall, *learned.notes) if note)
    return f"## How it was made\n\n{_table(['what', ''], lines)}{lesser}"


def _members(bundle: ModelBundle) -> str:
    """How much each member of the stack counts."""
    told = {"gate": "churn", "spend": "spend"}
    names = ("prior of buying rhythm", "trees", "prior corrected by trees")
    return "; ".join(
        f"{told[part]}: " + ", ".join(f"{name} {weight:.0%}" for name, weight in zip(names, weights, strict=True))
        for part, weights in bundle.facts["members"].items()
    )


def _quality(learned: FittedModels) -> str:
    """Ours and the ladder at the last cutoff, with intervals."""
    found, cutoff = learned.evaluation, learned.split.test.test
    last = found.metrics[(found.metrics.cutoff == cutoff) & (found.metrics.segment == "all")]
    rules = [name for name in last.model.unique() if name != OURS]
    rows = []
    for metric, title in TITLES.items():
        cells = last[last.metric == metric].set_index("model")
        if OURS in cells.index:
            theirs = [f"{cells.value[name]:,.4g}" if name in cells.index else "" for name in rules]
            rows.append([f"{title} {_arrow(metric)}", _with_interval(cells.loc[OURS]), *theirs])
    return (
        f"## How well it does\n\nOn {len(learned.truth):,} customers at {cutoff}; intervals are 95%, over resamples of "
        f"customers.\n\n{_table(['metric', OURS, *map(escape_markdown, rules)], rows)}"
        f"\n↑ higher is better, ↓ nearer 0 is better.\n{_longer(found)}"
    )


def _longer(found: Evaluation) -> str:
    """The same of value over longer horizons; empty where there are none."""
    figures = longer_horizons.longer_horizon_figures(found)
    if not figures:
        return ""
    baselines = list(dict.fromkeys(name for row in figures for name in row["baselines"]))
    rows = [
        [
            f"{row['horizon']} at {row['cutoff']}, {row['customers']:,} customers: {metrics.TITLES[row['metric']]} "
            f"{_arrow(row['metric'])}",
            _with_interval(row),
            *(f"{row['baselines'][name]:,.4g}" if name in row["baselines"] else "" for name in baselines),
        ]
        for row in figures
    ]
    return (
        "\nValue over longer horizons, each at the last cutoff whose outcome is known, from what was known by then and "
        f"with default parameters:\n\n{_table(['value over', OURS, *map(escape_markdown, baselines)], rows)}"
    )


def _calibration(learned: FittedModels, config: Config) -> str:
    found, cutoff = learned.evaluation, learned.split.test.test
    lines = []
    for metric, text in (
        ("total_error", "the sum of predicted values against what came, less 1"),
        ("coverage", f"share of customers whose value came inside their {config.serving.interval:.0%} interval"),
        ("decile_error", "mean error over ten equal groups by predicted value, as a share of the mean"),
    ):
        if (row := _figure(found, metric)) is not None:
            lines.append([text, _with_interval(row)])
    tables = [_table(["figure", "95% interval"], lines)] if lines else []
    groups = found.groups[found.groups.cutoff == cutoff]
    for number, unit in (("churn", "share that churned"), ("value", "mean value")):
        part = groups[groups.number == number]
        if len(part):
            rows = [
                [str(g.group), f"{g.customers:,}", f"{g.predicted:,.4g}", f"{g.actual:,.4g}"] for g in part.itertuples()
            ]
            tables.append(
                f"{unit.capitalize()} in ten equal groups by prediction (10: highest):\n\n"
                + _table(["group", "customers", "predicted", "came"], rows)
            )
    return "## Calibration\n\n" + "\n".join(tables)


def _fails(learned: FittedModels) -> str:
    found, cutoff = learned.evaluation.metrics, learned.split.test.test
    ours = found[(found.model == OURS) & found.metric.isin(SEGMENT_METRICS)]
    segments = ours[(ours.cutoff == cutoff) & (ours.segment != "all")]
    cutoffs = ours[ours.segment == "all"]
    lines = [
        *_worst(segments, "segment", lambda row: f"{escape_markdown(row['segment'])}, {row['customers']:,} customers"),
        *_worst(cutoffs, "cutoff", lambda row: f"cutoff {row['cutoff']}"),
    ]
    if not lines:
        return "## Where it fails\n\nOne cutoff and no segment large enough: it is not known.\n"
    table = _table(["metric", "where", "there", "mean of the others (of sizes, for the total)"], lines)
    return f"## Where it fails\n\nThe worst of the segments and cutoffs that were measured:\n\n{table}"


def _worst(rows: pd.DataFrame, by: str, told: Any) -> Iterator[list[str]]:
    """Of each metric the row that is worst, beside the mean of the other ones; nothing where there is one only."""
    for metric in SEGMENT_METRICS:
        part = rows[rows.metric == metric].reset_index(drop=True)
        if len(part) < 2:
            continue
        badness = -part.value if metric in HIGHER_IS_BETTER else part.value.abs()
        worst = int(badness.idxmax())
        rest = part.drop(index=worst).value
        others = (rest.abs() if metric == "total_error" else rest).mean()
        row = part.iloc[worst].to_dict()
        yield [f"{TITLES[metric]} {_arrow(metric)}", told(row), _with_interval(part.iloc[worst]), f"{others:,.4g}"]


def _fairness(found: pd.DataFrame) -> str:
    head = "## Fairness\n\n"
    if found.empty:
        return head + "Not measured: `[training] fairness` names no column of the customer table.\n"
    text = [
        head + "The judged models by group, with 95% intervals. `gap` is predicted less actual churn; `picked` is the "
        "share that is among the fifth of all customers at highest risk. Groups of fewer than 30 customers are put "
        "together.\n"
    ]
    for attribute, part in found.groupby("attribute", sort=False):
        measures = list(part.measure.unique())
        rows = []
        for group, of_group in part.groupby("group", sort=False):
            cells = of_group.set_index("measure")
            shown = [_with_interval(cells.loc[m]) if m in cells.index else "" for m in measures]
            rows.append([escape_markdown(str(group)), f"{int(of_group.customers.iloc[0]):,}", *shown])
        heads = [TITLES.get(m, m) for m in measures]
        text.append(f"### {escape_markdown(str(attribute))}\n\n{_table(['group', 'customers', *heads], rows)}")
    return "\n".join(text)


def _figure(found: Evaluation, metric: str) -> pd.Series | None:
    try:
        return pd.Series(found.row(metric))
    except KeyError:
        return None


def _with_interval(row: Any) -> str:
    return f"{row['value']:,.4g} ({row['low']:,.4g} to {row['high']:,.4g})"


def _arrow(metric: str) -> str:
    return "↑" if metric in HIGHER_IS_BETTER else "↓"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells are escaped by who wrote them."""
    line = [f"| {' | '.join(cells)} |" for cells in (heads, [":---", *["---:"] * (len(heads) - 1)], *rows)]
    return "\n".join(line) + "\n"
