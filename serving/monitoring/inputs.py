"""What the monitor reads from the log: its health, features now and at reference cutoffs, and past outcomes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.audit.behaviour_profile import BehaviourProfile, profile_behaviour
from features.audit.log_profile import LogProfile, profile_log
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.feature import Feature
from features.intake.log import Log
from features.intake.tables import Tables
from features.point_in_time.history import cutoff_table, order_days
from features.snapshots.build import KEYS, MAX_CUTOFF_DELAY, checked_log
from features.snapshots.comparable import comparable_features, sample_customers
from features.snapshots.outcomes import add_outcomes
from serving.scoring.score_tables import Scores
from training.data.time_split import NEAR, YEAR
from training.registry.models import load_champion

SAMPLE_SIZE = 20_000  # customers of each cutoff whose features are compared
MORE_THAN_ENOUGH = 2  # times SAMPLE_SIZE customers of the monitored cohort are built, as other cohorts may be smaller
MAX_REFERENCES = 2  # newest cutoffs to compare with


@dataclass(frozen=True)
class ReferenceCutoffs:
    """The cutoffs that features are compared with.

    Attributes:
        newest: The newest training cutoffs.
        earlier: Cutoffs as long before `newest` as these are before the monitored cutoff; they show how much features
            usually change in that time.
        season: The cutoff a year before; None if there is none.
        used_in_training: Whether the champion was trained on them; otherwise they were only scored.
    """

    newest: tuple[date, ...]
    earlier: tuple[date, ...]
    season: date | None
    used_in_training: bool

    @property
    def cutoffs(self) -> list[date]:
        """All reference cutoffs, without duplicates, ascending."""
        return sorted({*self.newest, *self.earlier, *([self.season] if self.season else [])})


@dataclass(frozen=True)
class MonitorInputs:
    """What was read from the log for a monitored cutoff.

    Attributes:
        vitals: The profile of the log.
        references: The cutoffs that features are compared with.
        features: The catalog; empty if the cutoff is outside the log.
        columns: By cutoff and feature, the values (n,) for a sample of the cohort, from equally long histories.
        end: The first day whose rows may still arrive, or that is not in the log; labels up to it are mature.
        waits: The last days before the end of the log, or before the cutoff, for whose rows labels still wait.
        behaviour: What customers did in the newest periods; None if the cutoff is outside the log.
    """

    vitals: LogProfile
    references: ReferenceCutoffs
    features: tuple[Feature, ...]
    columns: dict[date, dict[str, np.ndarray]]
    end: date
    waits: int = 0
    behaviour: BehaviourProfile | None = None


@dataclass(frozen=True)
class MonitoredLog:
    """An open log, with what was read from it for a monitored cutoff."""

    config: Config
    engine: Engine
    tables: Tables
    inputs: MonitorInputs

    def outcomes(self, scores: Scores) -> pa.Table:
        """The labels of a scored cutoff's customers, in the order of the scores: churned, and value."""
        ids = pa.chunked_array(
            [chunk for part in scores.manifest.parts for chunk in scores.read_part(part)["customer_id"].chunks],
            pa.string(),
        )
        places = pa.array(np.arange(len(ids)))
        orders, task = self._orders, self.config.task.to_task()
        with self.engine.temporary_stages():
            keyed = self.engine.store_arrow("scored_customers", pa.table({"customer_id": ids, "place": places}))
            moments = self.engine.store_arrow("scored_cutoff", cutoff_table([scores.cutoff]))
            who = keyed.cross_join(moments.mutate(cutoff=moments.cutoff.cast("timestamp")))
            labels = add_outcomes(who, orders, self.tables, task, moments, task.horizon)
            return self.engine.to_arrow(labels.select("place", "churned", "value").order_by("place"))

    @cached_property
    def _orders(self) -> ibis.Table:
        return self.engine.store("scored_orders", order_days(self.tables))


@contextmanager
def read_monitored_log(log: Log, scores: Scores, scored: Sequence[date]) -> Iterator[MonitoredLog]:
    """Reads from the log what the monitor needs at a scored cutoff.

    Args:
        log: The log.
        scores: Scores of the monitored cutoff.
        scored: Earlier scored cutoffs, ascending.

    Yields:
        The log with what was read; what is stored in its engine is dropped at the end of the `with` block.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The user's own features cannot be used.
    """
    config, cutoff = log.config, scores.cutoff
    with checked_log(log) as (engine, tables, own):
        vitals = profile_log(tables, cutoff, engine, bool(config.events.known_at))
        end = min(tables.labels_end, cutoff)
        references = find_references(config, cutoff, tables, scored)
        waits = (min(tables.end, cutoff) - end).days
        inputs = MonitorInputs(vitals, references, (), {}, end, waits)
        if tables.first < cutoff <= tables.last + MAX_CUTOFF_DELAY.delta:
            cutoffs = [*references.cutoffs, cutoff]
            length = common_length(references, cutoff, tables.first)
            share = MORE_THAN_ENOUGH * SAMPLE_SIZE / max(scores.manifest.customers, 1)
            task = config.task.to_task()
            planned, features = comparable_features(tables, task, cutoffs, engine, own=own, length=length, share=share)
            names = [feature.name for feature in features]
            built = engine.store("comparable", planned)
            sampled = _sampled(built, cutoffs, config.training.seed, engine).order_by("cutoff", "customer_id")
            rows = engine.to_arrow(sampled.select(*KEYS, *names))
            behaviour = profile_behaviour(sample_customers(tables, share), task, cutoff, engine)
            inputs = replace(inputs, features=features, columns=_columns(rows, names), behaviour=behaviour)
        yield MonitoredLog(config, engine, tables, inputs)


def common_length(references: ReferenceCutoffs, cutoff: date, first: date) -> int:
    """The days of history at the cutoffs that are compared: as many as the oldest of the newest references has.

    Args:
        references: The reference cutoffs.
        cutoff: The monitored cutoff.
        first: The day of the first event.

    Returns:
        Days.

    >>> references = ReferenceCutoffs((date(2024, 3, 1), date(2024, 4, 1)), (), None, True)
    >>> common_length(references, date(2024, 7, 1), date(2024, 1, 1))
    60
    """
    return (min([*references.newest, cutoff]) - first).days


def find_references(config: Config, cutoff: date, tables: Tables, scored: Sequence[date]) -> ReferenceCutoffs:
    """Finds the cutoffs to compare features with: the champion's training cutoffs, else earlier scored cutoffs.

    Args:
        config: The business.
        cutoff: The monitored cutoff.
        tables: The log.
        scored: Earlier scored cutoffs.

    Returns:
        The reference cutoffs.
    """
    training_cutoffs = _training_cutoffs(config)
    known = [c for c in (training_cutoffs or scored) if tables.first < c < cutoff]
    return choose_references(known, cutoff, bool(training_cutoffs))


def choose_references(known: Sequence[date], cutoff: date, learned: bool) -> ReferenceCutoffs:
    """Chooses reference cutoffs: the newest, those as long before them, and one from the same season.

    Args:
        known: Cutoffs to choose from.
        cutoff: The monitored cutoff.
        learned: Whether the champion was trained on `known`.

    Returns:
        The reference cutoffs.

    >>> months = [date(2023 + n // 12, n % 12 + 1, 1) for n in range(6, 17)]
    >>> references = choose_references(months, date(2024, 7, 1), True)
    >>> [str(c) for c in references.newest], [str(c) for c in references.earlier], str(references.season)
    (['2024-04-01', '2024-05-01'], ['2024-02-01', '2024-03-01'], '2023-07-01')
    """
    before = sorted(c for c in known if c < cutoff)
    newest = tuple(before[-MAX_REFERENCES:])
    if not newest:
        return ReferenceCutoffs((), (), None, learned)
    lag = cutoff - newest[-1]
    earlier = {near for c in newest if (near := _nearest(before[: -len(newest)], c - lag)) is not None}
    return ReferenceCutoffs(newest, tuple(sorted(earlier)), _nearest(before, cutoff - YEAR.delta), learned)


def _nearest(cutoffs: Sequence[date], wanted: date) -> date | None:
    """The cutoff closest to a day; None if none is close enough."""
    near = min(cutoffs, key=lambda c: abs(c - wanted), default=None)
    return near if near is not None and abs((near - wanted).days) <= NEAR.days else None


def _training_cutoffs(config: Config) -> list[date]:
    """The champion's training cutoffs; none, with a warning, if the registry does not answer."""
    try:
        champion = load_champion(config, "churn")
    except (UsageError, DataError) as problem:
        logging.getLogger(__name__).warning("the champion's training cutoffs are unknown: %s", problem)
        return []
    return sorted(date.fromisoformat(c) for c in champion.bundle.facts.get("cutoffs", [])) if champion else []


def _sampled(rows: ibis.Table, cutoffs: Sequence[date], seed: int, engine: Engine) -> ibis.Table:
    """A random sample of at most SAMPLE_SIZE customers of each cutoff, fixed by the seed."""
    keys = engine.to_arrow(rows.select(*KEYS).order_by("cutoff", "customer_id"))
    days, rng = keys["cutoff"].cast(pa.date32()), np.random.default_rng(seed)
    kept = []
    for cutoff in cutoffs:
        places = np.flatnonzero(pc.equal(days, pa.scalar(cutoff, pa.date32())).to_numpy())
        kept.append(np.sort(rng.permutation(places)[:SAMPLE_SIZE]))
    sampled = np.concatenate(kept)
    if len(sampled) == keys.num_rows:
        return rows
    wanted = engine.store_arrow("monitored_sample", keys.take(pa.array(sampled)))
    return rows.semi_join(wanted, list(KEYS))


def _columns(rows: pa.Table, names: Sequence[str]) -> dict[date, dict[str, np.ndarray]]:
    columns: dict[date, dict[str, np.ndarray]] = {}
    days = rows["cutoff"].cast(pa.date32())
    for cutoff in days.unique().to_pylist():
        part = rows.filter(pc.equal(days, pa.scalar(cutoff, pa.date32())))
        columns[cutoff] = {name: _values(part[name]) for name in names}
    return columns


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers with NaN for null, or strings with None."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(), float)
    return np.array([*column.to_pylist(), None], object)[:-1]
