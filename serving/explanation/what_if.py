"""What-if: the smallest changes after which the model predicts a customer's risk below a level.

Changes come from a small list (`serving.explanation.what_if_changes`), the smallest first. Each changes the customer's
rows, and all features are computed from these again (`features.snapshots.counterfactual`), so an order changes recency,
counts, rhythm, ranks and the BG/NBD features together. The champion predicts for all changes at once. An answer names
the readings that would change and that a business can influence.

This is the model's prediction for a customer with such a history, not a promise that the change would keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.feature import Feature
from features.intake.log import Log
from features.snapshots import counterfactual
from features.snapshots.counterfactual import CutoffLog
from serving.explanation.contributions import compute_contributions
from serving.explanation.what_if_changes import CONTACTS, HypotheticalChange, UsualValues, hypothetical_changes
from serving.language.feature_phrases import translate_features
from serving.language.messages import N_, get_language
from training.artifact.bundle import ModelBundle
from training.artifact.reasons import Wording, rank_families

MOST_ACTIONS = 5  # the most frequent actions are tried
MOST_READINGS = 3  # in each answer
SMALLEST_EFFECT = 5e-4  # in probability; smaller effects are left out
CAUTION = N_(
    "This is what the model predicts for a customer with such a history, learned from others. It is no promise: what "
    "goes along with staying need not cause it, and bringing it about may keep nobody. A randomised holdout shows "
    "what an action does."
)


@dataclass(frozen=True)
class ReadingChange:
    """A reading that a business can influence, before and after a change.

    Attributes:
        feature: The feature's column.
        phrase: The feature in words.
        before: The customer's reading.
        after: The reading after the change.
        effect: The change of the net contribution of its family to the risk, in probability.
    """

    feature: str
    phrase: str
    before: str
    after: str
    effect: float


@dataclass(frozen=True)
class WhatIfAnswer:
    """A change, and the risk that the model predicts after it.

    Attributes:
        change: The change.
        risk: The risk after it.
        moved: The readings whose change lowers the risk most.
        rest: The effect of everything else: with the effects of `moved`, it adds up to the change of the risk.
    """

    change: HypotheticalChange
    risk: float
    moved: tuple[ReadingChange, ...]
    rest: float


@dataclass(frozen=True)
class WhatIf:
    """The answers to a what-if question.

    Attributes:
        risk: The customer's risk.
        below: The level below which it should fall.
        tried: The number of changes that were tried.
        enough: The smallest sufficient change of each kind, the smallest first.
        nearest: If none is sufficient, the change with the lowest risk; None if no change could be tried.
        unchanged: Features that cannot be computed for one customer alone, and keep their value.
    """

    risk: float
    below: float
    tried: int = 0
    enough: tuple[WhatIfAnswer, ...] = ()
    nearest: WhatIfAnswer | None = None
    unchanged: tuple[str, ...] = ()

    def to_pandas(self) -> Any:
        """The changes that are enough, or the nearest one, as a DataFrame: change, risk, enough."""
        import pandas as pd

        answers = [(answer, True) for answer in self.enough] + [(a, False) for a in (self.nearest,) if a]
        rows = [{"change": answer.change.words, "risk": answer.risk, "enough": enough} for answer, enough in answers]
        return pd.DataFrame(rows, columns=["change", "risk", "enough"])


def find_what_if(
    log: Log, bundle: ModelBundle, catalog: Sequence[Feature], row: pa.Table, cutoff: date, below: float
) -> WhatIf:
    """Find the smallest changes after which the model predicts a customer's risk below a level.

    Args:
        log: The log of the business.
        bundle: The model that predicts the risk.
        catalog: The features; those that the model does not know are left out.
        row: The customer's row of the cohort.
        cutoff: The cutoff.
        below: The level, a probability in (0, 1).

    Returns:
        The answers.

    Raises:
        DataError: The log breaks its contract.
    """
    risk, tr = float(bundle.predict(row)["churn_probability"][0]), get_language(log.config.language)
    if risk < below or not bundle.skill:
        return WhatIf(risk, below)
    by_name = {feature.name: feature for feature in catalog}
    catalog = translate_features([by_name[name] for name in bundle.features], tr)
    customer = row["customer_id"][0].as_py()
    with counterfactual.open_at_cutoff(log, cutoff) as at:
        past = counterfactual.known_customer_rows(at, customer)
        changes = hypothetical_changes(past, at.tables.contract, at.task, cutoff, read_usual_values(at), tr)
        versions = counterfactual.counterfactual_features(at, customer, [past, *(change.rows for change in changes)])
    rows, unchanged = keep_cohort_values(versions, row)
    risks = bundle.predict(rows)["churn_probability"][1:]
    sufficient = list(_first_sufficient(changes, risks, below))
    nearest = [int(np.argmin(risks))] if changes and not sufficient else []
    answers = [_answer(changes[n], n, rows, bundle, catalog, risks) for n in sufficient + nearest]
    enough = tuple(answers[: len(sufficient)])
    return WhatIf(risk, below, len(changes), enough, answers[-1] if nearest else None, unchanged)


def read_usual_values(at: CutoffLog) -> UsualValues:
    """Read the most frequent actions with their median cost, and the quartiles of measures, known at the cutoff."""
    return UsualValues(tuple(_common_actions(at)), dict(_measure_quartiles(at)))


def what_if_lines(what_if: WhatIf, customers: int = 0) -> list[str]:
    """Return the answers as lines for a terminal.

    Args:
        what_if: The answers.
        customers: The size of the cohort if the level is its mean risk; else 0.
    """
    which = f" (the mean of the {customers:,} customers of this cutoff)" if customers else ""
    lines = [f"what if: for the risk to fall below {what_if.below:.1%}{which}"]
    if what_if.risk < what_if.below:
        return [*lines, f"  it is below already: {what_if.risk:.1%}; set a lower level with --below"]
    for answer in what_if.enough:
        lines += [f"  {answer.risk:>12.1%}  {answer.change.words}", *_reading_lines(answer)]
    if not what_if.tried:
        return [*lines, "  no change was tried: there is none, or the model treats everybody alike"]
    if not what_if.enough:
        lines.append(f"  none of the {what_if.tried} changes on the list would be enough")
        if what_if.nearest:
            lines += [
                f"  {what_if.nearest.risk:>12.1%}  nearest: {what_if.nearest.change.words}",
                *_reading_lines(what_if.nearest),
            ]
    if what_if.unchanged:
        lines.append(f"  not changed, because they compare customers: {', '.join(what_if.unchanged)}")
    return [*lines, f"  {CAUTION}"]


def _reading_lines(answer: WhatIfAnswer) -> Iterator[str]:
    for moved in answer.moved:
        points = f"{100 * moved.effect:+.1f} points"
        yield f"  {'':>12}  {moved.after}, instead of: {moved.before}  [{moved.phrase}: {points}]"
    if answer.moved:
        yield f"  {'':>12}  everything else together  [{100 * answer.rest:+.1f} points]"


def _common_actions(at: CutoffLog) -> Iterator[tuple[str, int | None]]:
    if not at.tables.contract.has_contacts:
        return
    rows = counterfactual.known_rows(at, CONTACTS)
    contacts = rows.filter(~rows.held_out)
    counts = contacts.group_by("action").aggregate(times=contacts.count(), cost=contacts.cost.quantile(0.5))
    first = counts.order_by(counts.times.desc(), counts.action).limit(MOST_ACTIONS)
    for action in at.engine.to_arrow(first).to_pylist():
        yield action["action"], None if action["cost"] is None else round(action["cost"])


def _measure_quartiles(at: CutoffLog) -> Iterator[tuple[str, tuple[int, int]]]:
    for table in at.tables.contract.activities:
        name = f"activities.{table.name}"
        if table.measure:
            rows = counterfactual.known_rows(at, name)
            quarters = rows.aggregate(low=rows.measure.quantile(0.25), high=rows.measure.quantile(0.75))
            (both,) = at.engine.to_arrow(quarters).to_pylist()
            if both["low"] is not None:
                yield name, (round(both["low"]), round(both["high"]))


def keep_cohort_values(versions: pa.Table, row: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """Keep the cohort's value of features that differ for the unchanged customer (first row); return their names."""
    differing = [name for name in versions.column_names if not _same(versions[name][0], row[name][0])]
    for name in differing:
        cohort_value = pa.chunked_array([pa.array([row[name][0].as_py()] * versions.num_rows, row[name].type)])
        versions = versions.set_column(versions.column_names.index(name), name, cohort_value)
    return versions, tuple(name for name in differing if ":" not in name)  # shares are no features


def _same(a: pa.Scalar, b: pa.Scalar) -> bool:
    """Tell whether values are equal, up to the order in which an engine adds floats; null equals null."""
    built, stored = a.as_py(), b.as_py()
    if isinstance(built, float) and isinstance(stored, float):
        return bool(np.isclose(built, stored, rtol=1e-12, atol=1e-12))
    return bool(built == stored)


def _first_sufficient(changes: Sequence[HypotheticalChange], risks: np.ndarray, below: float) -> Iterator[int]:
    """Yield the indices of the first sufficient change of each kind."""
    seen: set[str] = set()
    for place, (change, risk) in enumerate(zip(changes, risks, strict=True)):
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
    effects = values[1] - values[0]
    moved = tuple(_reading_changes(pair, effects, catalog))
    rest = float(effects.sum()) - sum(reading.effect for reading in moved)
    return WhatIfAnswer(change, float(risks[place]), moved, rest)


def _reading_changes(pair: pa.Table, effects: np.ndarray, catalog: Sequence[Feature]) -> Iterator[ReadingChange]:
    """Yield the families whose change lowers the risk most, each in the words of an actionable reading that changed."""
    before, after = pair.to_pylist()
    ranked = rank_families(effects[None], [Wording.of(feature) for feature in catalog])
    chosen = 0
    for family in np.argsort(ranked.net[0], kind="stable"):
        effect = float(ranked.net[0, family])
        if chosen == MOST_READINGS or effect > -SMALLEST_EFFECT:
            return
        members = [place for place, feature in enumerate(catalog) if feature.family == ranked.names[family]]
        speaker = ranked.speakers[0, family]
        for place in sorted(members, key=lambda member: (member != speaker, effects[member])):
            feature = catalog[place]
            readings = feature.format_reading(before), feature.format_reading(after)
            if feature.actionable and readings[0] != readings[1]:
                chosen += 1
                yield ReadingChange(feature.name, feature.phrase, *readings, effect)
                break
