"""Outcomes of the same customers that belong to two plans: later actions within the horizon of a plan.

A later plan draws anew, so by chance alone its actions reach treated and held-out customers alike, and the effect of
the earlier plan is that with whatever follows. If they reach one group much more often (as when those contacted lately
are left out), outcomes differ because of the later plan too.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from features.campaigns.live_plans import superseded_by
from features.config.load import Config
from features.outputs.layout import MEASUREMENT, PLAN_TABLE, cutoff_of, plan_name
from features.outputs.parquet_files import read_parquet
from serving.measurement.executed_plan import ExecutedPlan
from serving.statistics.treatment_effect import sample_ratio_p_value

ALARM, MOST = 0.01, 0.2  # significance level, and the difference of shares from which on nothing can be learned


def overlapping_plans(config: Config, executed: ExecutedPlan) -> dict[str, Any]:
    """Find the plans whose actions fall into the horizon of an executed one, and whom they reach.

    Plans that were superseded and never measured do not count.

    Args:
        config: The business, in whose output folder the other plans are.
        executed: The plan.

    Returns:
        plans (names), treated and held_out (shares of the customers who get an action of these plans), p (of equal
        shares) and alarm (whether the shares differ so much that the effect is not that of this plan).
    """
    customers = executed.log.customers["customer_id"].filter(executed.log.customers["known"])
    reached, names = np.zeros(len(customers), bool), list[str]()
    for folder in config.outputs.plans():
        cutoff = cutoff_of(folder.parent)
        mine = folder == executed.plan.folder or cutoff is None or not _is_within(cutoff, executed)
        if mine or (superseded_by(folder) and not (folder / MEASUREMENT).is_file()):
            continue
        table = read_parquet(folder / PLAN_TABLE, ["customer_id", "action"])
        ids = table["customer_id"].filter(table["action"].is_valid()).combine_chunks()
        both = pc.is_in(customers, value_set=ids).to_numpy()
        if both.any():
            reached |= both
            names.append(plan_name(folder))
    sides = executed.treated, executed.control
    counts, sizes = [int((reached & side).sum()) for side in sides], [int(side.sum()) for side in sides]
    shares = [count / max(size, 1) for count, size in zip(counts, sizes, strict=True)]
    p = sample_ratio_p_value(counts, sizes) if sum(counts) and all(sizes) else 1.0
    alarm = p < ALARM and abs(shares[0] - shares[1]) > MOST
    return {"plans": names, "treated": shares[0], "held_out": shares[1], "p": p, "alarm": alarm}


def _is_within(cutoff: date, executed: ExecutedPlan) -> bool:
    return executed.plan.cutoff <= cutoff < executed.matures
