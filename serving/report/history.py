"""Sums over all customers at each of the newest scored cutoffs, for the charts over cutoffs."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import date

import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.errors import RegularsError
from serving.charts import CutoffTotals
from serving.scoring import value_tiers
from serving.scoring.score_tables import Scores, read_scores

PAST = 13
LOG = logging.getLogger(__name__)


def read_history(config: Config, cutoff: date) -> list[CutoffTotals]:
    """Sum up the newest PAST scored cutoffs up to one; a cutoff that cannot be read is logged and left out."""
    totals = []
    for day in [day for day in config.outputs.scored_cutoffs() if day <= cutoff][-PAST:]:
        try:
            totals.append(_totals(read_scores(config, day)))
        except (ValueError, KeyError, OSError, pa.ArrowException, RegularsError) as problem:
            LOG.warning("the scores of %s are left out of the report's history: %s", day, problem)
    return totals


def _totals(scores: Scores) -> CutoffTotals:
    table = scores.read_columns(["segment", "churn_probability", "value", "value_at_risk"])
    risk = table["churn_probability"].to_numpy()
    value, value_at_risk = (
        float(np.nansum(table[name].to_numpy().astype(float))) for name in ("value", "value_at_risk")
    )
    return CutoffTotals(
        day=scores.cutoff,
        customers=len(risk),
        at_risk=int((risk >= value_tiers.AT_RISK).sum()),
        leaving=float(risk.sum()),
        value=value,
        value_at_risk=value_at_risk,
        segments=Counter(name or "–" for name in table["segment"].to_pylist()),
    )
