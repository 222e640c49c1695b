"""The model card: what to know about a training before using its predictions (Mitchell et al., FAT* 2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.config.load import Config
from features.snapshots.build import Snapshots
from features.task import LapsedCohort
from training.artifact.bundle import ModelBundle
from training.evaluation import longer_horizons, metrics
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.evaluation.grade import grade_evaluation, grade_text
from training.evaluation.leavers import leaver_lines
from training.evaluation.skill import NO_BETTER
from training.fit import FittedModels
from training.registry.champion_challenger import TITLES
from training.registry.provenance import code_version, package_version

SEGMENT_METRICS = ("auc", "brier", "gini", "total_error")
NOT_FOR = """\
- The model predicts what customers with a similar past did, not why: a reason is a feature that the model uses, not a
  cause. Whether a contact helps is measured with a holdout, not read from a probability.
- It is valid for customers of this business, at cutoffs like those above. Another business, another horizon, or a
  market that has changed needs a new training.
- It must not decide alone where a person has a right to a decision by people: credit, prices set for one person,
  refusal of a service, work.
- A single customer's value is uncertain: use the prediction interval, and sums over many customers."""


def model_card_text(fitted: FittedModels, snapshots: Snapshots, config: Config, fairness: pd.DataFrame) -> str:
    """Return the model card as Markdown; text from data or config is escaped.

    Args:
        fitted: The fitted models, with their evaluation.
        snapshots: The snapshots that they were fitted on.
        config: The business.
        fairness: Figures by group of customers; may be empty.

    Returns:
        The card.
    """
    name = escape_markdown(config.name)
    parts = [
        *_first_lines(fitted, name),
        *_grade(fitted.evaluation),
        _purpose(fitted, snapshots),
        _data(fitted, snapshots, config),
        _procedure(fitted, config),
        _quality(fitted),
        _calibration(fitted, config),
        _failures(fitted),
        _fairness(fairness),
        f"## What it must not be used for\n\n{NOT_FOR}\n",
    ]
    return "\n".join(parts)


def escape_markdown(text: str) -> str:
    r"""Return a text with Markdown escaped, so that data cannot add markup, links, HTML or table cells.

    >>> escape_markdown("gold|<b>*x*</b>")
    'gold\\|&lt;b&gt;\\*x\\*&lt;/b&gt;'
    """
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", flat)


def _first_lines(fitted: FittedModels, name: str) -> list[str]:
    """The title; without skill it says so, and the figures follow."""
    if fitted.alike is None:
        return [f"# {name}: who leaves, and what each is worth\n"]
    share = float(fitted.alike.models[0].predict(fitted.truth.features)["churn_probability"][0])
    return [
        f"# {name}: {NO_BETTER}\n",
        f"At {fitted.split.test.test}: {fitted.skill}.\n",
        "So the models below do not become champion by themselves. Everybody alike stands in for them: the share of "
        f"leavers ({share:.1%}) and the mean value of {fitted.split.all_cutoffs[-1]}, the newest cutoff whose outcome "
        "is known, for every customer, without reasons. The figures below are those of the models.\n",
    ]


def _grade(evaluation: Evaluation) -> Iterator[str]:
    """The grade with its sentence and its parts; nothing if it was not measured."""
    if grade := grade_evaluation(evaluation):
        parts = f"order {grade.order}, level {grade.level}, stability {grade.stability}; "
        parts = parts if grade.skill else ""
        yield f"**Grade {grade.letter}** ({parts}A is best, D is no skill). {grade_text(grade)}\n"


def _purpose(fitted: FittedModels, snapshots: Snapshots) -> str:
    task = snapshots.task
    if task.contractual:
        member = "with a running subscription term at the cutoff"
    elif isinstance(task.cohort, LapsedCohort):
        member = (
            f"whose last purchase is more than {task.cohort.silent_for} and at most {task.cohort.active_within} old"
        )
    else:
        member = f"who made a purchase within the {task.cohort.active_within} before the cutoff"
    longer = [str(task.longer[step.column]) for step in fitted.value.longer] if fitted.value else []
    further = f", and over {' and '.join(longer)}, never less than over a shorter horizon" if longer else ""
    value = (
        "; and customer lifetime value (LTV) over the same horizon: expected net spend, not below 0, as P(returns) x "
        f"E[spend | returns], with churn probability 1 - P(returns){further}"
        if fitted.value
        else ""
    )
    return (
        "## What it predicts, and for whom\n\n"
        "For each customer at a cutoff (the first instant of a day, "
        f"{task.timezone}): the probability of churn "
        f"({_churn_definition(task.churn)}) within the {task.horizon} after it{value}.\n\n"
        f"A customer is somebody {member}. Nobody else is scored: customers who left before are not predicted to "
        "leave.\n"
    )


def _churn_definition(churn: str) -> str:
    return "no purchase" if churn == "inactive" else "the contract is cancelled; other ends are not churn"


def _data(fitted: FittedModels, snapshots: Snapshots, config: Config) -> str:
    rows, cutoffs = snapshots.rows, fitted.split.all_cutoffs
    customers = len(rows["customer_id"].unique())
    attributes = config.customers.attributes if config.customers else ()
    lines = [
        ["trained on", f"{rows.num_rows:,} rows (a customer at a cutoff) of {customers:,} customers"],
        ["cutoffs", f"{len(cutoffs)}, from {cutoffs[0]} to {cutoffs[-1]}, {snapshots.task.every} apart"],
        ["end of the log", f"{snapshots.end} (the first day without data)"],
        ["features", f"{len(snapshots.features)}{', including your own' if snapshots.own else ''}"],
        ["data fingerprint", f"`{snapshots.data_fingerprint}`"],
        ["snapshot fingerprint", f"`{snapshots.fingerprint}` (data, task and features)"],
        ["customer attributes", ", ".join(map(escape_markdown, attributes)) or "none"],
    ]
    return f"## Data\n\n{_table(['what', ''], lines)}"


def _procedure(fitted: FittedModels, config: Config) -> str:
    split, tuned = fitted.split, fitted.tuned
    ours = fitted.evaluation.metrics[fitted.evaluation.metrics.model == OURS]
    calibration_cutoffs = sorted(set(ours[ours.metric == "brier"].cutoff) - {split.test.test})
    trials = (
        " and ".join(f"{len(t.trials)} trials ({escape_markdown(name)})" for name, t in tuned.items())
        or "none: defaults"
    )
    lines = [
        ["code", f"regulars {package_version()}, commit {code_version()}"],
        ["tuning", f"{trials}, on {len(split.folds)} folds forward in time"],
        ["stacking weights", _stacking_weights(fitted.churn if fitted.value is None else fitted.value)],
        ["calibrated on", ", ".join(map(str, calibration_cutoffs)) or "nothing: the log is too short"],
        ["evaluated on", f"{split.test.test}, which no evaluated model was fitted on"],
        ["registered", f"the same procedure on all {len(split.all_cutoffs)} cutoffs, a horizon later"],
        ["seed", str(config.training.seed)],
    ]
    notes = "".join(f"\nNote: {note}.\n" for note in (*fitted.shortfalls, *fitted.notes))
    return f"## How it was made\n\n{_table(['what', ''], lines)}{notes}"


def _stacking_weights(bundle: ModelBundle) -> str:
    """The weight of each base model in the stack."""
    titles = {"gate": "churn", "spend": "spend"}
    names = ("prior from purchase rhythm", "trees", "prior corrected by trees", "BG/NBD alone")  # the last: lapsed only
    return "; ".join(
        f"{titles[part]}: " + ", ".join(f"{name} {weight:.0%}" for name, weight in zip(names, weights, strict=False))
        for part, weights in bundle.facts["members"].items()
    )


def _quality(fitted: FittedModels) -> str:
    """Metrics at the last cutoff with confidence intervals, beside the baselines."""
    evaluation, cutoff = fitted.evaluation, fitted.split.test.test
    last = evaluation.metrics[(evaluation.metrics.cutoff == cutoff) & (evaluation.metrics.segment == "all")]
    baselines = [name for name in last.model.unique() if name != OURS]
    rows = []
    for metric, title in TITLES.items():
        cells = last[last.metric == metric].set_index("model")
        if OURS in cells.index:
            theirs = [f"{cells.value[name]:,.4g}" if name in cells.index else "" for name in baselines]
            rows.append([f"{title} {_arrow(metric)}", _with_interval(cells.loc[OURS]), *theirs])
    return (
        f"## How well it does\n\nOn {len(fitted.truth):,} customers at {cutoff}, with 95% confidence intervals over "
        f"resamples of customers.\n\n{_table(['metric', OURS, *map(escape_markdown, baselines)], rows)}"
        f"\n↑ higher is better, ↓ closer to 0 is better.\n{_longer(evaluation)}"
    )


def _longer(evaluation: Evaluation) -> str:
    """The same for value over longer horizons; empty if there are none."""
    figures = longer_horizons.longer_horizon_figures(evaluation)
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
        "\nValue over longer horizons, each at the last cutoff whose outcome is known, from earlier cutoffs only and "
        f"with default parameters:\n\n{_table(['value over', OURS, *map(escape_markdown, baselines)], rows)}"
    )


def _calibration(fitted: FittedModels, config: Config) -> str:
    evaluation, cutoff, churn = fitted.evaluation, fitted.split.test.test, fitted.predictions["churn_probability"]
    lines = []
    for metric, text in (
        ("total_error", "sum of predicted values divided by the sum of actual values, minus 1"),
        (
            "coverage",
            f"share of customers with an actual value inside their {config.serving.interval:.0%} prediction interval"
            + (_expected_coverage(churn, config.serving.interval) if config.task.churn == "inactive" else ""),
        ),
        ("decile_error", "mean error over ten equal groups by predicted value, as a share of the mean"),
    ):
        if (row := _figure(evaluation, metric)) is not None:
            lines.append([text, _with_interval(row)])
    tables = [_table(["figure", "95% confidence interval"], lines)] if lines else []
    groups = evaluation.groups[evaluation.groups.cutoff == cutoff]
    for number, form, unit in (("churn", ".1%", "share of leavers"), ("value", ",.4g", "mean value")):
        tables += list(_group_tables(groups[groups.number == number], number, form, unit))
    return "## Calibration\n\n" + "\n".join([*_leavers(fitted), *tables])


def _expected_coverage(churn: np.ndarray, inside: float) -> str:
    """Says how many values the intervals are expected to hold if that is more than promised, given the churn (n,).

    >>> _expected_coverage(np.array([0.9, 0.9, 0.1, 0.2]), 0.8)
    ' (85.0% expected, because many customers are likely to bring nothing)'
    >>> _expected_coverage(np.array([0.1, 0.2]), 0.8)
    ''
    """
    if (expected := float(np.maximum(churn, inside).mean())) < inside + 0.005:
        return ""
    return f" ({expected:.1%} expected, because many customers are likely to bring nothing)"


def _leavers(fitted: FittedModels) -> Iterator[str]:
    """Expected and observed leavers at the last cutoff, in a sentence."""
    if rows := leaver_lines(fitted.evaluation, fitted.split.test.test, fitted.interval)[:1]:
        yield rows[0][0].upper() + rows[0][1:] + ".\n"


def _group_tables(groups: pd.DataFrame, number: str, form: str, unit: str) -> Iterator[str]:
    """Predicted and actual figures of the tenths of all customers, then of each segment; nothing without customers."""
    everybody = groups[groups.segment == "all"]
    if everybody.empty:
        return
    by, last = ("risk" if number == "churn" else "value"), len(everybody)
    ends = {1: f"1 (lowest predicted {by})", last: f"{last} (highest predicted {by})"}
    columns = ["customers", "predicted", "actual", "95% confidence interval"]
    tenths = [
        [ends.get(g.group, str(g.group)), f"{g.customers:,}", f"{g.predicted:{form}}", f"{g.actual:{form}}",
         f"{g.low:{form}} to {g.high:{form}}"]
        for g in everybody.itertuples()
    ]  # fmt: skip
    yield f"{unit.capitalize()}, predicted and actual, in ten equal groups of all customers by predicted {by}:\n"
    yield _table(["group of all customers", *columns], tenths)
    segments = []
    for name, part in groups[groups.segment != "all"].groupby("segment", sort=False):
        customers = int(part.customers.sum())
        means = [f"{float(part[key] @ part.customers) / customers:{form}}" for key in ("predicted", "actual")]
        segments.append([escape_markdown(str(name)), f"{customers:,}", *means])
    if segments:
        yield f"{unit.capitalize()}, predicted and actual, in each segment:\n"
        yield _table(["segment", *columns[:-1]], segments)


def _failures(fitted: FittedModels) -> str:
    figures, cutoff = fitted.evaluation.metrics, fitted.split.test.test
    ours = figures[(figures.model == OURS) & figures.metric.isin(SEGMENT_METRICS)]
    segments = ours[(ours.cutoff == cutoff) & (ours.segment != "all")]
    cutoffs = ours[ours.segment == "all"]
    lines = [
        *_worst(segments, "segment", lambda row: f"{escape_markdown(row['segment'])}, {row['customers']:,} customers"),
        *_worst(cutoffs, "cutoff", lambda row: f"cutoff {row['cutoff']}"),
    ]
    if not lines:
        return "## Where it fails\n\nNot known: there is only one cutoff, and no segment is large enough.\n"
    table = _table(["metric", "where", "there", "mean of the others (absolute, for the total)"], lines)
    return f"## Where it fails\n\nThe worst of the segments and cutoffs that were evaluated:\n\n{table}"


def _worst(rows: pd.DataFrame, by: str, label: Any) -> Iterator[list[str]]:
    """For each metric the worst row, beside the mean of the others; nothing if there is only one row."""
    for metric in SEGMENT_METRICS:
        part = rows[rows.metric == metric].reset_index(drop=True)
        if len(part) < 2:
            continue
        badness = -part.value if metric in HIGHER_IS_BETTER else part.value.abs()
        worst = int(badness.idxmax())
        other_rows = part.drop(index=worst).value
        mean_of_others = (other_rows.abs() if metric == "total_error" else other_rows).mean()
        row = part.iloc[worst].to_dict()
        yield [
            f"{TITLES[metric]} {_arrow(metric)}",
            label(row),
            _with_interval(part.iloc[worst]),
            f"{mean_of_others:,.4g}",
        ]


def _fairness(figures: pd.DataFrame) -> str:
    head = "## Fairness\n\n"
    if figures.empty:
        return head + "Not measured: `[training] fairness` names no column of the customer table.\n"
    text = [
        head + "The evaluated models by group, with 95% confidence intervals. `gap` is predicted minus actual churn; "
        "`picked` is the share among the fifth of all customers at highest risk. Groups of fewer than 30 customers are "
        "combined.\n"
    ]
    for attribute, part in figures.groupby("attribute", sort=False):
        measures = list(part.measure.unique())
        rows = []
        for group, of_group in part.groupby("group", sort=False):
            cells = of_group.set_index("measure")
            values = [_with_interval(cells.loc[m]) if m in cells.index else "" for m in measures]
            rows.append([escape_markdown(str(group)), f"{int(of_group.customers.iloc[0]):,}", *values])
        heads = [TITLES.get(m, m) for m in measures]
        text.append(f"### {escape_markdown(str(attribute))}\n\n{_table(['group', 'customers', *heads], rows)}")
    return "\n".join(text)


def _figure(evaluation: Evaluation, metric: str) -> pd.Series | None:
    try:
        return pd.Series(evaluation.row(metric))
    except KeyError:
        return None


def _with_interval(row: Any) -> str:
    return f"{row['value']:,.4g} ({row['low']:,.4g} to {row['high']:,.4g})"


def _arrow(metric: str) -> str:
    return "↑" if metric in HIGHER_IS_BETTER else "↓"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; callers escape the cells."""
    line = [f"| {' | '.join(cells)} |" for cells in (heads, [":---", *["---:"] * (len(heads) - 1)], *rows)]
    return "\n".join(line) + "\n"
