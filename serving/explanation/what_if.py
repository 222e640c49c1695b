"""What would have to be otherwise for a customer's risk to fall below a level, by what the model expects.

Changes come from a small list (`serving.explanation.what_if_changes`), the smallest first. Each is made to the
customer's rows and all
features are made of them anew together (`features.snapshots.counterfactual`), so that what moves with an order moves:
recency, counts,
rhythm, ranks, what BG/NBD expects. The champion is asked about all of them at once. An answer says which of the
readings that a business can act on would change, and to what.

It is what the model expects of a customer with such a past: not a promise that to bring it about would keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.feature import Feature
from features.snapshots import counterfactual
from features.snapshots.counterfactual import CutoffLog
from serving.explanation.contributions import compute_contributions
from serving.explanation.what_if_changes import CONTACTS, HypotheticalChange, UsualValues, hypothetical_changes
from serving.language.feature_phrases import phrased
from serving.language.messages import N_, get_language
from training.artifact.bundle import ModelBundle

MOST_ACTIONS = 5  # the commonest are tried
MOST_READINGS = 3  # told of each answer
SMALLEST_EFFECT = 5e-4  # an effect below it, in probability, is not told
CAUTION = N_(
    "This is what the model expects of a customer with such a past, having seen others. It is no promise: what goes "
    "with staying need not be its cause, and to bring it about may keep nobody. A holdout tells what an action does."
)


@dataclass(frozen=True)
class ReadingChange:
    """A reading that a business can act on, before and after.

    Attributes:
        feature: Its column.
        phrase: What it is.
        before: The customer's reading.
        after: What it would be.
        effect: The change of its contribution to the risk, in probability.
    """

    feature: str
    phrase: str
    before: str
    after: str
    effect: float


@dataclass(frozen=True)
class WhatIfAnswer:
    """A change, the risk that the model expects after it, and the readings that it moves most."""

    change: HypotheticalChange
    risk: float
    moved: tuple[ReadingChange, ...]


@dataclass(frozen=True)
class WhatIf:
    """What is found.

    Attributes:
        risk: The customer's.
        below: The level that it is to fall below.
        tried: How many changes.
        enough: Of each kind of change the smallest that is enough, the smallest first.
        nearest: Where none is: the one with the least risk; None where nothing could be tried.
        unchanged: Features that cannot be made anew for one customer alone, and were left as they are.
    """

    risk: float
    below: float
    tried: int = 0
    enough: tuple[WhatIfAnswer, ...] = ()
    nearest: WhatIfAnswer | None = None
    unchanged: tuple[str, ...] = ()


def find_what_if(
    config: Config, bundle: ModelBundle, catalog: Sequence[Feature], row: pa.Table, cutoff: date, below: float
) -> WhatIf:
    """Looks for the smallest changes after which a customer's risk would be below a level.

    Args:
        config: The business.
        bundle: The model that says the risk.
        catalog: The features.
        row: The customer's row of the cohort.
        cutoff: When.
        below: The level, a probability.

    Raises:
        DataError: The log breaks its contract.
    """
    risk, tr = float(bundle.predict(row)["churn_probability"][0]), get_language(config.language)
    if risk < below:
        return WhatIf(risk, below)
    catalog = phrased(catalog, tr.phrase)
    customer = row["customer_id"][0].as_py()
    with counterfactual.open_at_cutoff(config, cutoff) as at:
        past = counterfactual.known_customer_rows(at, customer)
        tried = hypothetical_changes(past, at.tables.contract, at.task, cutoff, read_usual_values(at), tr)
        found = counterfactual.counterfactual_features(at, customer, [past, *(change.rows for change in tried)])
    rows, held = keep_cohort_values(found, row)
    risks = bundle.predict(rows)["churn_probability"][1:]
    chosen = list(_enough(tried, risks, below))
    least = [int(np.argmin(risks))] if tried and not chosen else []
    answers = [_answer(tried[n], n, rows, bundle, catalog, risks) for n in chosen + least]
    enough = tuple(answers[: len(chosen)])
    return WhatIf(risk, below, len(tried), enough, answers[-1] if least else None, held)


def read_usual_values(at: CutoffLog) -> UsualValues:
    """The commonest actions with their median cost, and the quarters of the measures, as known at the cutoff."""
    return UsualValues(tuple(_actions(at)), dict(_levels(at)))


def what_if_lines(found: WhatIf, customers: int = 0) -> list[str]:
    """What was found as lines for a terminal.

    Args:
        found: What was found.
        customers: Of the cohort, where the level is their mean risk; else 0.
    """
    which = f" (the mean of the {customers:,} customers of this cutoff)" if customers else ""
    lines = [f"what if: for the risk to fall below {found.below:.1%}{which}"]
    if found.risk < found.below:
        return [*lines, f"  it is: {found.risk:.1%}; ask for less with --below"]
    for answer in found.enough:
        lines += [f"  {answer.risk:>12.1%}  {answer.change.words}", *_told(answer)]
    if not found.enough:
        lines.append(f"  nothing on the list of {found.tried} changes would be enough")
        if found.nearest:
            lines += [f"  {found.nearest.risk:>12.1%}  nearest: {found.nearest.change.words}", *_told(found.nearest)]
    if found.unchanged:
        lines.append(f"  left as they are, as they compare customers: {', '.join(found.unchanged)}")
    return [*lines, f"  {CAUTION}"]


def _told(answer: WhatIfAnswer) -> Iterator[str]:
    for moved in answer.moved:
        points = f"{100 * moved.effect:+.1f} points"
        yield f"  {'':>12}  {moved.after}, instead of: {moved.before}  [{moved.phrase}: {points}]"


def _actions(at: CutoffLog) -> Iterator[tuple[str, int | None]]:
    if not at.tables.contract.has_contacts:
        return
    rows = counterfactual.known_rows(at, CONTACTS)
    done = rows.filter(~rows.held_out)
    counts = done.group_by("action").aggregate(times=done.count(), cost=done.cost.quantile(0.5))
    first = counts.order_by(counts.times.desc(), counts.action).limit(MOST_ACTIONS)
    for action in at.engine.to_arrow(first).to_pylist():
        yield action["action"], None if action["cost"] is None else round(action["cost"])


def _levels(at: CutoffLog) -> Iterator[tuple[str, tuple[int, int]]]:
    for table in at.tables.contract.activities:
        name = f"activities.{table.name}"
        if table.measure:
            rows = counterfactual.known_rows(at, name)
            quarters = rows.aggregate(low=rows.measure.quantile(0.25), high=rows.measure.quantile(0.75))
            (both,) = at.engine.to_arrow(quarters).to_pylist()
            if both["low"] is not None:
                yield name, (round(both["low"]), round(both["high"]))


def keep_cohort_values(found: pa.Table, row: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The features of all versions; those that differ for the customer as they are stay what they are in the cohort."""
    held = tuple(name for name in found.column_names if not _same(found[name][0], row[name][0]))
    for name in held:
        same = pa.chunked_array([pa.array([row[name][0].as_py()] * found.num_rows, row[name].type)])
        found = found.set_column(found.column_names.index(name), name, same)
    return found, held


def _same(a: pa.Scalar, b: pa.Scalar) -> bool:
    """Equal up to the order in which an engine adds floats up; null equals null."""
    mine, real = a.as_py(), b.as_py()
    if isinstance(mine, float) and isinstance(real, float):
        return bool(np.isclose(mine, real, rtol=1e-12, atol=1e-12))
    return bool(mine == real)


def _enough(tried: Sequence[HypotheticalChange], risks: np.ndarray, below: float) -> Iterator[int]:
    """The places of the first change of each kind that is enough."""
    seen: set[str] = set()
    for place, (change, risk) in enumerate(zip(tried, risks, strict=True)):
        if risk < below and change.kind not in seen:
            seen.add(change.kind)
            yield place


def _answer(
    change: HypotheticalChange,
    place: int,
    rows: pa.Table,
    bundle: ModelBundle,
    catalog: Sequence[Feature],
    risks: np.ndarray,
) -> WhatIfAnswer:
    pair = pa.concat_tables([rows.slice(0, 1), rows.slice(place + 1, 1)])
    values = compute_contributions(bundle, pair)["churn"].values
    return WhatIfAnswer(change, float(risks[place]), tuple(_moved(pair, values[1] - values[0], catalog)))


def _moved(pair: pa.Table, effects: np.ndarray, catalog: Sequence[Feature]) -> Iterator[ReadingChange]:
    """The actionable readings that lower the risk most by having changed, one of each family."""
    before, after = pair.to_pylist()
    told: set[str] = set()
    for place in np.argsort(effects, kind="stable"):
        feature, effect = catalog[place], float(effects[place])
        if len(told) == MOST_READINGS or effect > -SMALLEST_EFFECT:
            return
        readings = feature.format_reading(before), feature.format_reading(after)
        if feature.actionable and feature.family not in told and readings[0] != readings[1]:
            told.add(feature.family)
            yield ReadingChange(feature.name, feature.phrase, *readings, effect)
