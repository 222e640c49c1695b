"""Assigns customers to the groups of every segmentation, at the current cutoff and at earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.config.segments import LIFECYCLE_STAGES, SEGMENTS, TIERS
from features.errors import DataError
from serving.language.messages import Language, get_language
from serving.scoring import value_tiers
from serving.scoring.score_tables import Scores, read_scores
from serving.segmentation import clusters, lifecycle_stages, rfm
from serving.segmentation.clusters import Clusters
from serving.segmentation.history import CohortHistory
from serving.segmentation.lifecycle_stages import CONTRACT_RULES, STAGE_RULES
from serving.segmentation.transitions import GroupHistory

SCORED_COLUMNS = ("customer_id", "churn_probability", "value", "value_at_risk", "tier", "segment")
SCORED_GROUPS = {"tier": TIERS, "segment": SEGMENTS}


@dataclass(frozen=True)
class Grouping:
    """One segmentation.

    Attributes:
        name: The name of its column.
        groups: The names of its groups, in the order of display.
        codes: The index of each row's group: rows of the history or, for scored groups, of the last cutoff.
        rules: The rule of each group, in words.
    """

    name: str
    groups: Sequence[str]
    codes: np.ndarray
    rules: Sequence[str]


def fit_micro_segments(config: Config, history: CohortHistory, now: np.ndarray) -> Clusters | None:
    """Fit micro-segments on the current cohort.

    Args:
        config: The business.
        history: The cohorts of all cutoffs.
        now: The rows of the current cutoff.

    Returns:
        The clusters; None if they are switched off or there are too few customers.
    """
    if config.segments.clusters == (0, 0):
        return None
    by_name = {feature.name: feature for feature in history.features}
    features = [by_name[name] for name in history.names.alike if name in by_name]
    columns = {feature.name: history.column(feature.name)[now] for feature in features}
    seed, tr = config.training.seed, get_language(config.language)
    return clusters.fit_clusters(columns, features, config.segments.clusters, seed, tr)


def feature_groupings(config: Config, history: CohortHistory, micro_segments: Clusters | None) -> list[Grouping]:
    """Assign the groups that need features only, at every cutoff: RFM, stage and micro-segment.

    Args:
        config: The business.
        history: The cohorts of all cutoffs.
        micro_segments: The fitted micro-segments, or None.

    Returns:
        The segmentations.
    """
    groupings, tr = [], get_language(config.language)
    if history.names.recency and history.names.frequency:
        rules = config.segments.rfm
        codes = rfm.rfm_groups(rules, *rfm_scores_by_cutoff(history))
        groupings.append(
            Grouping("rfm_group", list(rules), codes, [tr(" or ").join(texts) for texts in rules.values()])
        )
    groupings.append(
        Grouping(
            "stage",
            LIFECYCLE_STAGES,
            _stage_codes(config.segments.confidence, history),
            [tr(rule) for rule in (STAGE_RULES if history.names.frequency else CONTRACT_RULES)],
        )
    )
    if micro_segments is not None:
        columns = {scale.name: history.column(scale.name) for scale in micro_segments.scales}
        nearest_rules = [tr("nearest centre")] * len(micro_segments.names)
        groupings.append(Grouping("micro_segment", micro_segments.names, micro_segments.assign(columns), nearest_rules))
    return groupings


def rfm_scores_by_cutoff(history: CohortHistory) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Score R, F and M of every row by the fifths of its own cutoff; M is None without money."""
    names = history.names
    wanted = [(names.recency, True), (names.frequency, False), (names.money, False)]
    scores = []
    for name, least_is_best in wanted:
        if name is None:
            continue
        x, feature_scores = history.column(name), np.zeros(history.rows.num_rows, int)
        for place in range(len(history.cutoffs)):
            rows = history.rows_at(place)
            feature_scores[rows] = rfm.rfm_scores(x[rows], least_is_best)
        scores.append(feature_scores)
    return scores[0], scores[1], scores[2] if names.money else None


def _stage_codes(confidence: float, history: CohortHistory) -> np.ndarray:
    names = history.names
    if names.pace and names.change:
        recent, less = history.column(names.pace), history.column(names.change)
        z = lifecycle_stages.pace_change(recent, recent - less, history.column("tenure_days"), names.pace_days)
    else:
        z = np.zeros(history.rows.num_rows)
    return lifecycle_stages.assign_stages(history.rows["lifecycle"].to_pylist(), z, confidence)


def stage_history(history: CohortHistory, groupings: Sequence[Grouping]) -> np.ndarray:
    """Return each customer's stage at each cutoff (n, t), with lost customers marked."""
    codes = next(grouping.codes for grouping in groupings if grouping.name == "stage")
    return lifecycle_stages.mark_lost(history.by_customer(codes), history.first_cutoffs())


def read_scored_columns(scores: Scores) -> pa.Table:
    """Read the columns of the score table that segmentations need, sorted by customer."""
    return scores.read_columns(SCORED_COLUMNS).sort_by("customer_id")


def score_groupings(scores: Scores, scored: pa.Table, tr: Language) -> list[Grouping]:
    """Return tier and segment of the scored customers as segmentations.

    Args:
        scores: The scores.
        scored: Their columns, as `read_scored_columns` returns them.
        tr: The language of the rules.

    Returns:
        Both segmentations, with the rules of the version by which they were scored.

    Raises:
        DataError: A customer has a tier or segment that Regulars does not assign.
    """
    rules = value_tiers.group_rules(scores.manifest.segment_rules, scores.manifest.skill)
    groupings = []
    for name, groups in SCORED_GROUPS.items():
        codes = _codes(scored[name], groups)
        if unknown := int((codes == lifecycle_stages.ABSENT).sum()):
            raise DataError(
                f"{scores.folder}: {unknown:,} of {scored.num_rows:,} customers have a {name} other than "
                f"{', '.join(groups)}; run `regulars score --cutoff {scores.cutoff}` again"
            )
        groupings.append(Grouping(name, groups, codes, [tr(rules[group]) for group in groups]))
    return groupings


def _codes(column: pa.ChunkedArray, groups: Sequence[str]) -> np.ndarray:
    """The index of each row's group (n,); ABSENT where there is none of these."""
    places = pc.index_in(column.cast(pa.string()), pa.array(list(groups), pa.string()))
    return np.asarray(places.fill_null(lifecycle_stages.ABSENT).to_numpy())


def group_histories(history: CohortHistory, groupings: Sequence[Grouping]) -> list[GroupHistory]:
    """Return the history of each segmentation over all cutoffs."""
    here = np.arange(len(history.cutoffs)) >= history.first_cutoffs()[:, None]
    return [
        GroupHistory(
            grouping.name,
            grouping.groups,
            history.by_customer(grouping.codes),
            here,
            history.cutoffs,
            **({"gone": LIFECYCLE_STAGES[lifecycle_stages.LOST]} if grouping.name == "stage" else {}),
        )
        for grouping in groupings
    ]


def scored_group_histories(config: Config, scores: Scores, scored: pa.Table) -> list[GroupHistory]:
    """Return the history of tier and segment over this and earlier scored cutoffs.

    Args:
        config: The business.
        scores: The scores of the current cutoff.
        scored: Their columns, as `read_scored_columns` returns them.

    Returns:
        One history for each of both; none if no earlier cutoff is scored by the same rules.
    """
    days = [day for day in config.outputs.scored_cutoffs() if day < scores.cutoff]
    before = [read_scores(config, day) for day in (days[-config.segments.history :] if config.segments.history else [])]
    rules = scores.manifest.segment_rules
    same = [each for each in before if each.manifest.segment_rules == rules and each.manifest.skill]
    same = same if scores.manifest.skill else []  # nobody moves where everybody is alike
    earlier, tables = [each.cutoff for each in same], [*map(read_scored_columns, same), scored]
    if len(tables) < 2:
        return []
    ids = pa.chunked_array([table["customer_id"].combine_chunks() for table in tables]).combine_chunks()
    place = ids.dictionary_encode().indices.to_numpy()
    when = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    histories = []
    for name, groups in SCORED_GROUPS.items():
        codes = np.full((place.max() + 1, len(tables)), lifecycle_stages.ABSENT)
        codes[place, when] = np.concatenate([_codes(table[name], groups) for table in tables])
        here = np.maximum.accumulate(codes != lifecycle_stages.ABSENT, axis=1)
        histories.append(GroupHistory(name, groups, codes, here, [*earlier, scores.cutoff]))
    return histories
