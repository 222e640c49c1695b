"""Each customer's groups by every segmentation, at the cutoff that is segmented and at earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.config.segments import LIFECYCLE_STAGES, SEGMENTS, TIERS
from serving.language.messages import Language, get_language
from serving.scoring import value_tiers
from serving.scoring.score_tables import MANIFEST, Scores, read_scores
from serving.segmentation import clusters, lifecycle_stages, rfm
from serving.segmentation.clusters import Clusters
from serving.segmentation.history import CohortHistory
from serving.segmentation.transitions import GroupHistory

SCORED_COLUMNS = ("customer_id", "churn_probability", "value", "value_at_risk", "tier", "segment")
SCORED_GROUPS = {"tier": TIERS, "segment": SEGMENTS}


@dataclass(frozen=True)
class Grouping:
    """One segmentation.

    Attributes:
        name: Of its column.
        groups: The names of its groups, in the order in which they are told.
        codes: The place of the group of every row of the history (of the last cutoff alone for what is scored).
        rules: Of each group, in words.
    """

    name: str
    groups: Sequence[str]
    codes: np.ndarray
    rules: Sequence[str]


def fit_micro_segments(config: Config, history: CohortHistory, now: np.ndarray) -> Clusters | None:
    if config.segments.clusters == (0, 0):
        return None
    by_name = {feature.name: feature for feature in history.features}
    features = [by_name[name] for name in history.names.alike if name in by_name]
    columns = {feature.name: history.column(feature.name)[now] for feature in features}
    seed, tr = config.training.seed, get_language(config.language)
    return clusters.fit_clusters(columns, features, config.segments.clusters, seed, tr)


def feature_groupings(config: Config, history: CohortHistory, learned: Clusters | None) -> list[Grouping]:
    """What is told by features alone, and so at every cutoff: RFM, stage and micro-segment."""
    found, tr = [], get_language(config.language)
    if history.names.recency and history.names.frequency:
        rules = config.segments.rfm
        codes = rfm.rfm_groups(rules, *rfm_scores_by_cutoff(history))
        found.append(Grouping("rfm_group", list(rules), codes, [tr(" or ").join(texts) for texts in rules.values()]))
    found.append(
        Grouping(
            "stage",
            LIFECYCLE_STAGES,
            _stage_codes(config, history),
            [tr(rule) for rule in lifecycle_stages.STAGE_RULES],
        )
    )
    if learned is not None:
        columns = {scale.name: history.column(scale.name) for scale in learned.scales}
        told = [tr("nearest centre")] * len(learned.names)
        found.append(Grouping("micro_segment", learned.names, learned.assign(columns), told))
    return found


def rfm_scores_by_cutoff(history: CohortHistory) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """R, F and M of every row, by the fifths of its own cutoff."""
    names = history.names
    wanted = [(names.recency, True), (names.frequency, False), (names.money, False)]
    found = []
    for name, least_is_best in wanted:
        if name is None:
            continue
        x, made = history.column(name), np.zeros(history.rows.num_rows, int)
        for place in range(len(history.cutoffs)):
            rows = history.rows_at(place)
            made[rows] = rfm.rfm_scores(x[rows], least_is_best)
        found.append(made)
    return found[0], found[1], found[2] if names.money else None


def _stage_codes(config: Config, history: CohortHistory) -> np.ndarray:
    names = history.names
    if names.pace and names.change:
        recent, less = history.column(names.pace), history.column(names.change)
        z = lifecycle_stages.pace_change(recent, recent - less, history.column("tenure_days"), names.pace_days)
    else:
        z = np.zeros(history.rows.num_rows)
    return lifecycle_stages.assign_stages(history.rows["lifecycle"].to_pylist(), z, config.segments.confidence)


def stage_history(history: CohortHistory, live: Sequence[Grouping]) -> np.ndarray:
    codes = next(each.codes for each in live if each.name == "stage")
    return lifecycle_stages.mark_lost(history.by_customer(codes), history.first_cutoffs())


def read_scored_columns(scores: Scores) -> pa.Table:
    """The columns of the score table that segments need, by customer."""
    parts = [
        pq.ParquetFile(scores.folder / part["file"]).read(list(SCORED_COLUMNS)) for part in scores.manifest["parts"]
    ]
    return pa.concat_tables(parts).sort_by("customer_id")


def score_groupings(scored: pa.Table, tr: Language) -> list[Grouping]:
    return [
        Grouping(name, groups, _codes(scored[name], groups), [tr(value_tiers.RULES[group]) for group in groups])
        for name, groups in SCORED_GROUPS.items()
    ]


def _codes(column: pa.ChunkedArray, groups: Sequence[str]) -> np.ndarray:
    return np.asarray(pc.index_in(column, pa.array(list(groups), pa.string())).to_numpy())


def group_histories(history: CohortHistory, live: Sequence[Grouping]) -> list[GroupHistory]:
    here = np.arange(len(history.cutoffs)) >= history.first_cutoffs()[:, None]
    return [
        GroupHistory(
            each.name,
            each.groups,
            history.by_customer(each.codes),
            here,
            history.cutoffs,
            **({"gone": LIFECYCLE_STAGES[lifecycle_stages.LOST]} if each.name == "stage" else {}),
        )
        for each in live
    ]


def scored_group_histories(config: Config, scores: Scores, scored: pa.Table) -> list[GroupHistory]:
    """Tier and segment at this and at earlier scored cutoffs."""
    days = sorted(date.fromisoformat(p.parent.name[7:]) for p in scores.folder.parent.glob(f"cutoff=*/{MANIFEST}"))
    earlier = (
        [day for day in days if day < scores.cutoff][-config.segments.history :] if config.segments.history else []
    )
    tables = [*(read_scored_columns(read_scores(config, day)) for day in earlier), scored]
    if len(tables) < 2:
        return []
    ids = pa.chunked_array([table["customer_id"].combine_chunks() for table in tables]).combine_chunks()
    place = ids.dictionary_encode().indices.to_numpy()
    when = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    found = []
    for name, groups in SCORED_GROUPS.items():
        codes = np.full((place.max() + 1, len(tables)), lifecycle_stages.ABSENT)
        codes[place, when] = np.concatenate([_codes(table[name], groups) for table in tables])
        here = np.maximum.accumulate(codes != lifecycle_stages.ABSENT, axis=1)
        found.append(GroupHistory(name, groups, codes, here, [*earlier, scores.cutoff]))
    return found
