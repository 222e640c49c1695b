"""Active and lapsed customers as a segmentation: how many there are, what they are worth, and who moved between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.task import Window
from serving.language.messages import N_, get_language
from serving.scoring.score_tables import Scores, read_scores
from serving.segmentation import profiles
from serving.segmentation.lifecycle_stages import ABSENT
from serving.segmentation.transitions import GroupHistory
from serving.winback.table import WinbackScores, read_winback

ACTIVITY = "activity"
ACTIVE, LAPSED = N_("active"), N_("lapsed")
COLUMNS = ["return_probability", "value", "value_if_back"]


def activity_rows(config: Config, scores: Scores, worth: profiles.ScoredWorth) -> list[dict[str, Any]]:
    """Size, risk and value of active and of lapsed customers, as rows of segments.parquet.

    The risk of lapsed customers is that they do not come back within the horizon.

    Args:
        config: The business.
        scores: The scores of the cutoff.
        worth: The predictions for the active customers.

    Returns:
        Two rows; none if lapsed customers were not scored.
    """
    lapsed = read_winback(config, scores.cutoff)
    if lapsed is None:
        return []
    both = (worth, _lapsed_worth(lapsed, worth))
    figures = [profiles.group_figures(np.zeros(len(each.churn), int), 1, each, None)[0] for each in both]
    total = max(sum(row["customers"] for row in figures), 1)
    words = {"sets_apart": [], "treatment": ""}
    return [
        {**row, "segmentation": ACTIVITY, "segment": name, "share": row["customers"] / total, "rule": rule, **words}
        for row, name, rule in zip(figures, (ACTIVE, LAPSED), activity_rules(config), strict=True)
    ]


def activity_rules(config: Config) -> tuple[str, str]:
    """Return what active and lapsed customers are, in words."""
    tr, active, limit = get_language(config.language), config.task.active_within, config.task.lapsed_limit or Window(1)
    silence = tr(
        "the last purchase is more than {active} and at most {limit} days old", active=active.days, limit=limit.days
    )
    return tr("a purchase within the last {active} days", active=active.days), silence


def activity_history(config: Config, scores: Scores) -> list[GroupHistory]:
    """Who was active and who had lapsed at this and earlier scored cutoffs.

    Args:
        config: The business.
        scores: The scores of the current cutoff.

    Returns:
        One history; none if no earlier cutoff has lapsed customers scored.
    """
    days = [day for day in config.outputs.scored_cutoffs() if day < scores.cutoff]
    before = [read_scores(config, day) for day in (days[-config.segments.history :] if config.segments.history else [])]
    known = [(each, lapsed) for each in (*before, scores) if (lapsed := read_winback(config, each.cutoff)) is not None]
    if len(known) < 2 or known[-1][0].cutoff != scores.cutoff:
        return []
    tables = [(each.read_columns(["customer_id"]), lapsed.table(["customer_id"])) for each, lapsed in known]
    parts = [table["customer_id"].combine_chunks() for pair in tables for table in pair]
    place = pa.concat_arrays(parts).dictionary_encode().indices.to_numpy()
    sizes = [len(part) for part in parts]
    when = np.repeat(np.arange(len(parts)) // 2, sizes)
    codes = np.full((int(place.max(initial=-1)) + 1, len(known)), ABSENT)
    codes[place, when] = np.repeat(np.arange(len(parts)) % 2, sizes)
    here = np.maximum.accumulate(codes != ABSENT, axis=1)
    return [GroupHistory(ACTIVITY, (ACTIVE, LAPSED), codes, here, [each.cutoff for each, _ in known])]


def _lapsed_worth(lapsed: WinbackScores, worth: profiles.ScoredWorth) -> profiles.ScoredWorth:
    table = lapsed.table(COLUMNS)
    churn = 1 - table["return_probability"].to_numpy()
    if worth.value is None or table["value"].null_count:
        return profiles.ScoredWorth(churn, None, None, None)
    return profiles.ScoredWorth(churn, table["value"].to_numpy(), table["value_if_back"].to_numpy() * churn, None)
