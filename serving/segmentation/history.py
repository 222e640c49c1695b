"""Reads from the log, at a cutoff and at earlier ones, everything that the segmentations need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.campaigns import action_reach
from features.config.load import Config
from features.engines.base import Engine
from features.feature import Feature
from features.intake.log import Log
from features.intake.tables import Tables
from features.point_in_time import baskets
from features.slugs import feature_slug
from features.snapshots.build import KEYS, checked_log, snapshot_query
from features.snapshots.cache import open_cache
from features.task import Task, Window
from serving.language.feature_phrases import translate_features
from serving.language.messages import get_language
from serving.segmentation import affinity, product_lifecycle
from serving.segmentation.lifecycle_stages import ABSENT

DERIVED_WORDS = {  # words in names of features that compare, predict or describe the calendar
    "acceleration", "alive", "change", "clumpiness", "concentration", "drift", "due", "expected", "fading", "lifecycle",
    "probability", "rank", "season", "trend", "weekday", "year",
}  # fmt: skip
SAMPLE_SIZE = 20_000  # customers whose features are all read, to compare segments
NEXT_KIND_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("kind", pa.string()),
        ("next", pa.string()),
        ("because", pa.string()),
        ("confidence", pa.float64()),
        ("lift", pa.float64()),
    ]
)


@dataclass(frozen=True)
class RuleFeatures:
    """The features that the rules use; None where the log lacks them.

    Attributes:
        window: The window of frequency and money; None: the whole history.
        recency, frequency, money: For RFM.
        pace, change: Orders in a window, and their difference from the window before.
        pace_days: The length of that window in days.
        alike: The features of micro-segments.
    """

    window: Window | None
    recency: str | None
    frequency: str | None
    money: str | None
    pace: str | None
    change: str | None
    pace_days: int
    alike: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """All these features, each once."""
        single = (self.recency, self.frequency, self.money, self.pace, self.change)
        return list(dict.fromkeys([*(name for name in single if name), "tenure_days", "lifecycle", *self.alike]))


@dataclass(frozen=True)
class ProductViews:
    """What is sold and how customers are contacted.

    Attributes:
        preferences: By kind, the preferred value of each customer who has one.
        kinds: The lifecycle of the values of kinds (`product_lifecycle`).
        pairs: What is bought together (`affinity`).
        next_kind: What each customer is likely to buy next, by kind that can be offered.
        channels: One row for each action.
        periods: The number of periods over which kinds were followed.
    """

    preferences: Mapping[str, pa.Table]
    kinds: pa.Table
    pairs: pa.Table
    next_kind: pa.Table
    channels: list[dict[str, Any]]
    periods: int


@dataclass(frozen=True)
class CohortHistory:
    """The cohorts of some cutoffs; the last one is segmented.

    Attributes:
        cutoffs: The cutoffs, ascending.
        rows: One row for each cutoff and customer, sorted: the columns of `names`, and churned (null if not known yet).
        names: The role of the columns.
        sample: The features of some customers of the last cutoff, sorted by customer.
        features: These features, with phrases in the config's language.
        views: What is sold, and how customers are contacted.
        fingerprint: The fingerprint of the data.
    """

    cutoffs: tuple[date, ...]
    rows: pa.Table
    names: RuleFeatures
    sample: pa.Table
    features: tuple[Feature, ...]
    views: ProductViews
    fingerprint: str

    @cached_property
    def customers(self) -> tuple[pa.Array, np.ndarray]:
        """Every customer once, and each row's index among them."""
        coded = self.rows["customer_id"].combine_chunks().dictionary_encode()
        return coded.dictionary, coded.indices.to_numpy()

    @cached_property
    def cutoff_index(self) -> np.ndarray:
        """The index of each row's cutoff."""
        days = self.rows["cutoff"].cast(pa.date32()).cast(pa.int32()).to_numpy()
        return np.searchsorted(np.array(self.cutoffs, "datetime64[D]").astype(np.int32), days)

    def column(self, name: str) -> np.ndarray:
        """Return a column of numbers over all rows; null is NaN."""
        return np.asarray(self.rows[name].cast(pa.float64()).to_numpy(), float)

    def rows_at(self, place: int) -> np.ndarray:
        """Return the rows of a cutoff, by customer."""
        return np.flatnonzero(self.cutoff_index == place)

    def by_customer(self, codes: np.ndarray) -> np.ndarray:
        """Arrange a code of each row by customer and cutoff (n, t), ABSENT where there is no row."""
        customers, place = self.customers
        by_customer = np.full((len(customers), len(self.cutoffs)), ABSENT)
        by_customer[place, self.cutoff_index] = codes
        return by_customer

    def first_cutoffs(self) -> np.ndarray:
        """Return the index (n,) of the first cutoff before which each customer had ordered; unknown tenure is 0."""
        customers, place = self.customers
        days = np.array(self.cutoffs, "datetime64[D]").astype(int)
        begun = days[self.cutoff_index] - np.nan_to_num(self.column("tenure_days"), nan=0.0)
        first = np.full(len(customers), np.inf)
        np.minimum.at(first, place, begun)
        return np.searchsorted(days, first, side="right")


def gather_history(log: Log, cutoff: date) -> CohortHistory:
    """Read from the log everything that the segmentations need.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The cutoff lies outside the log.
    """
    config, task = log.config, log.config.task.to_task()
    with checked_log(log) as (engine, tables, own):
        cutoffs = _cutoffs(config, tables, task, cutoff)
        planned = snapshot_query(tables, task, cutoffs, engine, own=own, cache=open_cache(config))
        names = _names(config, tables, planned.features)
        narrow = planned.rows.select(*KEYS, *names.columns, "churned")
        rows = engine.to_arrow(narrow.order_by("cutoff", "customer_id"))
        plain_features = [f for f in planned.features if _plain(f, names.window)]
        ids = rows.filter(pc.equal(rows["cutoff"].cast(pa.date32()), cutoff))["customer_id"]
        chosen = np.sort(np.random.default_rng(config.training.seed).permutation(len(ids))[:SAMPLE_SIZE])
        sampled = engine.store_arrow("segments_sample", pa.table({"customer_id": ids.take(pa.array(chosen))}))
        last = planned.rows.filter(planned.rows.cutoff.date() == cutoff).semi_join(sampled, "customer_id")
        sample = engine.to_arrow(last.select("customer_id", *(f.name for f in plain_features)).order_by("customer_id"))
        views = _views(config, tables, cutoff, names, pa.table({"customer_id": ids}), engine)
        features = translate_features(plain_features, get_language(config.language))
        return CohortHistory(tuple(cutoffs), rows, names, sample, features, views, tables.fingerprint)


def _plain(feature: Feature, window: Window | None) -> bool:
    """Tell whether a feature is a plain figure of behaviour, over the window of the segments or the whole history."""
    derived = set(feature.name.split("_")) & DERIVED_WORDS
    return feature.window in (None, window) and feature.unit != "ratio" and not derived


def _cutoffs(config: Config, tables: Tables, task: Task, cutoff: date) -> list[date]:
    """Return the cutoff and the earlier ones for transitions, ascending, as far back as the log reaches."""
    step = (config.segments.every or task.horizon).delta
    earliest = tables.first + min(task.every, task.horizon).delta
    earlier = [cutoff - back * step for back in range(1, config.segments.history + 1)]
    return [*sorted(c for c in earlier if c >= earliest), cutoff]


def _names(config: Config, tables: Tables, features: Sequence[Feature]) -> RuleFeatures:
    have, contract, task = {f.name for f in features}, tables.contract, config.task
    windows = [w for w in task.windows if w.days not in contract.windows_beyond_log]
    wanted = config.segments.window
    window = wanted if wanted in windows else windows[-1] if windows else None
    tail = str(window) if window else "ever"
    pace = next((w for w in windows if w.days >= task.horizon.days), windows[-1] if windows else None)

    def known(name: str) -> str | None:
        return name if name in have else None

    alike = (
        "recency_days", "tenure_days", f"orders_count_{tail}", "order_amount_mean_ever", "items_per_order_ever",
        "discount_share_ever", *(f"{kind}_distinct_{tail}" for kind in contract.kinds[:1]),
        *(f"{activity.name}_count_{tail}" for activity in contract.activities[:2]),
        "subscription_age_days", "subscription_price",
    )  # fmt: skip
    return RuleFeatures(
        window=window,
        recency=known("recency_days"),
        frequency=known(f"orders_count_{tail}"),
        money=known(f"amount_sum_{tail}"),
        pace=known(f"orders_count_{pace}"),
        change=known(f"orders_change_{pace}"),
        pace_days=pace.days if pace else 0,
        alike=tuple(name for name in alike if name in have),
    )


def _views(
    config: Config, tables: Tables, cutoff: date, names: RuleFeatures, cohort: pa.Table, engine: Engine
) -> ProductViews:
    rules, window = config.segments, names.window or Window(max((cutoff - tables.first).days, 1))
    kinds = [feature_slug(kind) for kind in (config.events.kinds if rules.kinds is None else rules.kinds)]
    step, span = config.task.every, (cutoff - tables.first).days
    periods = min(product_lifecycle.PERIODS, span // step.days)
    offered = affinity.offered_kinds(config.events)
    preferences, lives, pairs, then = {}, [], [], []
    for kind in kinds:
        seen = baskets.purchases_of_kind(tables, cutoff, window, kind, engine)
        preferences[kind] = baskets.preferred_values(seen, rules.preference_orders, rules.preference_share)
        counted = baskets.count_by_period(seen, step, periods, product_lifecycle.FEWEST_CUSTOMERS)
        lives.append(product_lifecycle.product_lifecycles(kind, *counted, periods))
        pairs.append(affinity.affinity_pairs(kind, baskets.count_co_purchases(seen, rules.support)))
        if kind not in offered:
            continue
        likely = baskets.next_values(seen, affinity.association_rules(pairs[-1]))
        likely = likely.filter(pc.is_in(likely["customer_id"], cohort["customer_id"].combine_chunks()))
        then.append(likely.add_column(1, "kind", pa.array([kind] * likely.num_rows, pa.string())))
    channels = (
        action_reach.reach_by_action(tables, cutoff, window, cohort, engine) if tables.contract.has_contacts else []
    )
    return ProductViews(
        preferences,
        pa.concat_tables([product_lifecycle.KINDS_SCHEMA.empty_table(), *lives]),
        pa.concat_tables([affinity.PAIRS_SCHEMA.empty_table(), *pairs]),
        pa.concat_tables([NEXT_KIND_SCHEMA.empty_table(), *then]),
        channels,
        periods,
    )
