"""`regulars segments`: every segmentation of a scored cutoff, with transitions and products, in one folder of tables.

OUTPUT/segments/cutoff=D/
  customers.parquet      one row for each customer: scores and groups, stage and since when, preferences
  segments.parquet       one row for each segment: its profile (segments.json: the same for other programs)
  transitions.parquet    transitions between segments from cutoff to cutoff
  stage_changes.parquet  every customer's changes of stage, dated by the cutoff at which they were first seen
  kinds.parquet          the values of each kind that are rising, mature or fading
  pairs.parquet          what is bought together
  next_kind.parquet      what each customer is likely to buy next, of what they have not bought and can be offered
  channels.parquet       whom each action reached, at what cost, and how many purchases followed
  manifest.json          the rules and their version, cutoffs, counts, and what was left out
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.config.segments import LIFECYCLE_STAGES
from features.errors import UsageError
from features.intake.log import Business, as_date, opened
from features.outputs.manifests import SegmentManifest
from features.storage.atomic_files import atomic_folder
from features.storage.json_files import document_text, file_digest, json_digest
from serving.language.messages import get_language
from serving.scoring.score_tables import Scores, read_scores, refuse_other_zone
from serving.scoring.value_tiers import ALIKE_RULE
from serving.segmentation import affinity, lifecycle_stages, profiles
from serving.segmentation.advice import config_advice
from serving.segmentation.assignments import (
    SCORED_GROUPS,
    Grouping,
    feature_groupings,
    fit_micro_segments,
    group_histories,
    read_scored_columns,
    rfm_scores_by_cutoff,
    score_groupings,
    scored_group_histories,
    stage_history,
)
from serving.segmentation.clusters import Clusters
from serving.segmentation.history import CohortHistory, gather_history
from serving.segmentation.lapsed import activity_history, activity_rows
from serving.segmentation.transitions import transition_table
from serving.statistics.proportions import wilson_interval

FORMAT = 1


@dataclass(frozen=True)
class Segmentation:
    """The written segmentation.

    Attributes:
        folder: The folder of the files.
        tables: The tables by file name, without the extension.
        manifest: Rules, cutoffs, counts and what was left out.
    """

    folder: Path
    tables: Mapping[str, pa.Table]
    manifest: SegmentManifest

    def to_pandas(self, table: str = "customers") -> Any:
        """One of the tables as a DataFrame: by default the groups of each customer."""
        return self.tables[table].to_pandas()


def segment_customers(business: Business, cutoff: date | str | None = None) -> Segmentation:
    """Segment the customers of a scored cutoff, by default the newest one, and write the tables.

    Raises:
        UsageError: The cutoff is not scored, or the log has changed since.
        DataError: The log breaks its contract.
    """
    with opened(business) as log:
        config = log.config
        scores = read_scores(config, None if cutoff is None else as_date(cutoff))
        refuse_other_zone(config, scores)
        scored, history = read_scored_columns(scores), gather_history(log, scores.cutoff)
    tr = get_language(config.language)
    now = history.rows_at(len(history.cutoffs) - 1)
    _check_customers(scores, scored, history.rows["customer_id"].take(pa.array(now)))
    micro_segments = fit_micro_segments(config, history, now)
    current = feature_groupings(config, history, micro_segments)
    groupings = [*current, *score_groupings(scores, scored, tr)]
    tables = {
        "customers": _customers(history, now, current, scored),
        "segments": _segment_rows(config, history, groupings, scored, now, scores),
        "transitions": transition_table(
            [
                *group_histories(history, current),
                *scored_group_histories(config, scores, scored),
                *activity_history(config, scores),
            ]
        ),
        "stage_changes": _stage_changes(history, current),
        "kinds": history.views.kinds,
        "pairs": history.views.pairs,
        "next_kind": history.views.next_kind,
        "channels": _channels(history, len(now)),
    }
    manifest = _build_manifest(config, scores, history, tables, micro_segments)
    if not scores.manifest.skill:
        manifest["skill"] = False
    folder = config.outputs.segments(scores.cutoff)
    _write_tables(folder, tables, manifest)
    return Segmentation(folder, tables, SegmentManifest.model_validate(manifest))


def _check_customers(scores: Scores, scored: pa.Table, ids: pa.ChunkedArray) -> None:
    """Check that the cohort has the same customers as the scores."""
    if scored["customer_id"].combine_chunks().equals(ids.combine_chunks()):
        return
    raise UsageError(
        f"the log has changed since cutoff {scores.cutoff} was scored: {scored.num_rows:,} customers then, "
        f"{len(ids):,} now, and not the same; run `regulars score --cutoff {scores.cutoff}` again"
    )


def _stage_changes(history: CohortHistory, groupings: Sequence[Grouping]) -> pa.Table:
    return lifecycle_stages.stage_changes(history.customers[0], stage_history(history, groupings), history.cutoffs)


def _customers(history: CohortHistory, now: np.ndarray, groupings: Sequence[Grouping], scored: pa.Table) -> pa.Table:
    """Build one row for each customer: groups, scores and preferences; without data there is no column."""
    ids = scored["customer_id"].combine_chunks()
    columns: dict[str, Any] = {"customer_id": ids, "cutoff": pa.array([history.cutoffs[-1]] * len(ids), pa.date32())}
    if any(grouping.name == "rfm_group" for grouping in groupings):
        for name, scores in zip("rfm", rfm_scores_by_cutoff(history), strict=True):
            columns |= {name: pa.array(scores[now], pa.int8())} if scores is not None else {}
    for grouping in groupings:
        columns[grouping.name] = pa.array(np.array(grouping.groups, object)[grouping.codes[now]], pa.string())
    since, before = lifecycle_stages.latest_stage_change(stage_history(history, groupings))
    rows = history.customers[1][now]
    columns["stage_since"] = pa.array([history.cutoffs[place] for place in since[rows]], pa.date32())
    names = np.array([*LIFECYCLE_STAGES, None], object)  # ABSENT is the last
    columns["stage_before"] = pa.array(names[before[rows]], pa.string())
    columns |= {name: scored[name] for name in SCORED_GROUPS}
    for kind, table in history.views.preferences.items():
        place = pc.index_in(ids, table["customer_id"].combine_chunks())
        for name, column in ((f"{kind}_preferred", "preferred"), (f"{kind}_preferred_share", "share")):
            columns[name] = table[column].combine_chunks().take(place)
    return pa.table(columns)


def _segment_rows(
    config: Config, history: CohortHistory, groupings: Sequence[Grouping], scored: pa.Table, now: np.ndarray,
    scores: Scores,
) -> pa.Table:  # fmt: skip
    churn = np.asarray(scored["churn_probability"].to_numpy(), float)
    worth = profiles.ScoredWorth(churn, _numbers(scored["value"]), _numbers(scored["value_at_risk"]), scores.spread)
    ids = scored["customer_id"].combine_chunks()
    sampled = pc.index_in(history.sample["customer_id"].combine_chunks(), ids).to_numpy()
    by_rfm = next((grouping for grouping in groupings if grouping.name == "rfm_group"), None)
    rows, tr, advice = [], get_language(config.language), config_advice(config)
    for grouping in groupings:
        codes = grouping.codes[now] if len(grouping.codes) == history.rows.num_rows else grouping.codes
        figures = profiles.group_figures(codes, len(grouping.groups), worth, _outcome(history, grouping))
        differences = profiles.distinguishing_features(
            codes[sampled], len(grouping.groups), history.sample, history.features, tr
        )
        for place, (group, rule) in enumerate(zip(grouping.groups, grouping.rules, strict=True)):
            mostly = _largest_rfm_group(by_rfm, now, codes == place) if grouping.name == "micro_segment" else ""
            words = {
                "rule": rule,
                "sets_apart": differences[place],
                "treatment": "" if rule == tr(ALIKE_RULE) else tr(advice.get(group) or advice.get(mostly, "")),
            }
            rows.append({"segmentation": grouping.name, "segment": group, **figures[place], **words})
    return pa.Table.from_pylist([*rows, *activity_rows(config, scores, worth)], SEGMENTS_SCHEMA)


def _numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    return None if column.null_count == len(column) else np.asarray(column.to_numpy(), float)


def _largest_rfm_group(by_rfm: Grouping | None, now: np.ndarray, inside: np.ndarray) -> str:
    """Return the RFM group to which most of the selected customers belong."""
    if by_rfm is None or not inside.any():
        return ""
    return by_rfm.groups[int(np.bincount(by_rfm.codes[now][inside]).argmax())]


def _outcome(history: CohortHistory, grouping: Grouping) -> profiles.PastOutcome | None:
    """Return the newest earlier cutoff at which groups and churn of all customers are known."""
    if len(grouping.codes) != history.rows.num_rows:
        return None
    churned = history.column("churned")
    for place in reversed(range(len(history.cutoffs) - 1)):
        rows = history.rows_at(place)
        if len(rows) and not np.isnan(churned[rows]).any():
            return profiles.PastOutcome(str(history.cutoffs[place]), grouping.codes[rows], churned[rows])
    return None


def _channels(history: CohortHistory, customers: int) -> pa.Table:
    """Build one row for each action: its reach in the cohort, its cost, and the share followed by a purchase."""
    rows = []
    for row in history.views.channels:
        low, high = wilson_interval(np.array([row["followed"]]), np.array([row["judged"]]))
        judged, contacts = row["judged"], row["contacts"]
        shares = {
            "reach": row["in_cohort"] / max(customers, 1),
            "cost_each": row["cost"] / contacts if contacts else None,
            "followed_share": row["followed"] / judged if judged else None,
            "followed_low": float(low[0]) if judged else None,
            "followed_high": float(high[0]) if judged else None,
        }
        rows.append({**row, **shares})
    return pa.Table.from_pylist(rows, CHANNELS_SCHEMA)


def _build_manifest(
    config: Config,
    scores: Scores,
    history: CohortHistory,
    tables: Mapping[str, pa.Table],
    micro_segments: Clusters | None,
) -> dict[str, Any]:
    rules = config.segments.model_dump(mode="json")
    digest = json_digest(rules)
    return {
        "format": FORMAT,
        "name": config.name,
        **({"currency": config.currency} if config.currency else {}),
        "language": config.language,
        "cutoff": str(scores.cutoff),
        "cutoffs": [str(day) for day in history.cutoffs],
        "customers": tables["customers"].num_rows,
        "rules": {"version": config.segments.version, "digest": digest, **rules},
        "stage_rules": lifecycle_stages.STAGE_RULES_VERSION,
        "segment_rules": scores.manifest.segment_rules,
        "window": str(history.names.window or "ever"),
        "micro_segments": micro_segments.to_dict() if micro_segments else None,
        "kind_periods": {"count": history.views.periods, "every": str(config.task.every)},
        "models": {name: model["label"] for name, model in scores.manifest.models.items()},
        "data_fingerprint": history.fingerprint,
        "left_out": _left_out(config, history, tables, micro_segments),
    }


def _left_out(
    config: Config, history: CohortHistory, tables: Mapping[str, pa.Table], micro_segments: Clusters | None
) -> list[str]:
    """Return what is left out because of the log or the config, as sentences."""
    views, moved = history.views, set(tables["transitions"]["segmentation"].to_pylist())
    wanted, used, followed = config.segments.window, history.names.window or "all the past", config.segments.history > 0
    lacks = {
        "RFM: the log has no orders, only terms of contracts": history.names.frequency is None,
        "money in RFM: the log has no amounts": history.names.frequency is not None and history.names.money is None,
        "value: there is no money to foresee": not config.has_value,
        "growing and declining by pace: the log has no orders": history.names.change is None,
        "micro-segments: too few customers, or nothing that differs between them": micro_segments is None
        and config.segments.clusters != (0, 0),
        "preferences, lives of kinds and pairs: [events] names no kinds": not views.preferences,
        "next kinds: no kind has the name of something sold; [events] offers names them": bool(views.preferences)
        and config.events.offers is None
        and not affinity.offered_kinds(config.events),
        "channels: there is no [contacts] table": not config.contacts,
        "movement: the log is too short for an earlier cutoff": len(history.cutoffs) < 2 and followed,
        "movement of tier and segment: no earlier cutoff is scored by the same rules": "tier" not in moved and followed,
        f"the window {wanted}: the log is shorter than that, {used} stands for it": bool(wanted) and wanted != used,
    }
    return [text for text, lacking in lacks.items() if lacking]


def _write_tables(folder: Path, tables: Mapping[str, pa.Table], manifest: Mapping[str, Any]) -> None:
    with atomic_folder(folder) as beside:
        for name, table in tables.items():
            pq.write_table(table, beside / f"{name}.parquet", compression="zstd")
        cards = json.dumps(tables["segments"].to_pylist(), indent=1, ensure_ascii=False)
        (beside / "segments.json").write_text(cards + "\n", encoding="utf-8")
        files = {path.name: file_digest(path) for path in sorted(beside.iterdir())}
        text = document_text({**manifest, "files": files}, ensure_ascii=False)
        (beside / "manifest.json").write_text(text, encoding="utf-8")


SEGMENTS_SCHEMA = pa.schema(
    [
        ("segmentation", pa.string()),
        ("segment", pa.string()),
        ("customers", pa.int64()),
        ("share", pa.float64()),
        ("churn_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_mean", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_at_risk", pa.float64()),
        ("left_cutoff", pa.string()),
        ("left_of", pa.int64()),
        ("left_share", pa.float64()),
        ("left_low", pa.float64()),
        ("left_high", pa.float64()),
        ("rule", pa.string()),
        ("sets_apart", pa.list_(pa.string())),
        ("treatment", pa.string()),
    ]
)
CHANNELS_SCHEMA = pa.schema(
    [
        ("action", pa.string()),
        ("held_out", pa.bool_()),
        ("contacts", pa.int64()),
        ("customers", pa.int64()),
        ("in_cohort", pa.int64()),
        ("reach", pa.float64()),
        ("cost", pa.float64()),
        ("cost_each", pa.float64()),
        ("judged", pa.int64()),
        ("followed", pa.int64()),
        ("followed_share", pa.float64()),
        ("followed_low", pa.float64()),
        ("followed_high", pa.float64()),
    ]
)
