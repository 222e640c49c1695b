"""The holdout of a cutoff: drawn anew at each cutoff, and the same for all campaigns of a cutoff.

Campaigns of one cutoff share the draw, so a customer who is held out from one is held out from all. Customers held out
by a plan with another draw (another seed, or an earlier version) are left out. With `[plan] independent = true` each
campaign has a draw of its own. A plan that replaces one of an earlier version keeps its draw, because that plan may be
running.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.campaigns.live_plans import plans_of_cutoff
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError
from features.outputs.layout import PLAN_MANIFEST, PLAN_TABLE
from features.outputs.manifests import PlanManifest, read_manifest
from features.outputs.parquet_files import read_parquet
from serving.planning.holdout import assign_holdout

HELD_OUT_ELSEWHERE = "held out by another plan of this cutoff"


@dataclass(frozen=True)
class CutoffHoldout:
    """Who is held out at a cutoff; rows are the scored customers (n).

    Attributes:
        key: The key of the draw, beside the seed.
        share: The share of eligible customers that is held out; at least that of plans with the same draw.
        held_out: (n,) who is held out if eligible.
        elsewhere: (n,) who is held out by another plan of the cutoff and not by this one.
    """

    key: str
    share: float
    held_out: np.ndarray
    elsewhere: np.ndarray


def draw_cutoff_holdout(config: Config, rules: PlanConfig, cutoff: date, customers: pa.ChunkedArray) -> CutoffHoldout:
    """Draws the holdout of a plan, in agreement with the other plans of the cutoff.

    Args:
        config: The business.
        rules: The rules of the plan.
        cutoff: Its cutoff.
        customers: Ids of the scored customers, n of them.

    Returns:
        The holdout.

    Raises:
        DataError: Another plan of the cutoff cannot be read, so it is unknown whom it holds out.
    """
    plans = plans_of_cutoff(config, cutoff)
    own = [plan for plan in plans if plan.campaign == rules.campaign]
    others = [] if rules.independent else [plan for plan in plans if plan.campaign != rules.campaign]
    manifests = {plan.campaign: read_manifest(plan.folder / PLAN_MANIFEST, PlanManifest) for plan in others}
    earlier = list(manifests.values())
    for plan in own:
        with suppress(DataError):  # a damaged plan is replaced by the new one
            earlier.insert(0, read_manifest(plan.folder / PLAN_MANIFEST, PlanManifest))
    key = _draw_key(rules, cutoff, earlier)
    share = _share(rules, key, list(manifests.values()))
    held_out = assign_holdout(customers.to_pylist(), key, rules.seed, share)
    elsewhere = np.zeros(len(customers), bool)
    for plan in others:
        table = read_parquet(plan.folder / PLAN_TABLE, ["customer_id", "holdout"])
        ids = table["customer_id"].filter(table["holdout"])
        elsewhere |= pc.is_in(customers, value_set=ids.combine_chunks()).to_numpy()
    return CutoffHoldout(key, share, held_out, elsewhere & ~held_out)


def draw_of(holdout: dict[str, Any], campaign: str) -> tuple[str, int | None]:
    """The key and the seed of a plan's draw; earlier versions drew by the campaign at every cutoff.

    >>> draw_of({"share": 0.1, "seed": 7}, "spring"), draw_of({"seed": 7, "key": "2024-06-01"}, "spring")
    (('spring', 7), ('2024-06-01', 7))
    """
    return str(holdout.get("key", campaign)), holdout.get("seed")


def _draw_key(rules: PlanConfig, cutoff: date, earlier: list[PlanManifest]) -> str:
    """The key of the draw: that of an earlier version's plan at this cutoff with the same seed, or a new one."""
    for manifest in earlier:
        key, seed = draw_of(manifest.holdout, manifest.campaign)
        if seed == rules.seed and not key.startswith(str(cutoff)):
            return key
    return f"{cutoff}/{rules.campaign}" if rules.independent else str(cutoff)


def _share(rules: PlanConfig, key: str, others: list[PlanManifest]) -> float:
    """The configured share, or a larger one of another plan with the same draw: its customers stay held out."""
    same = [m.holdout for m in others if draw_of(m.holdout, m.campaign) == (key, rules.seed)]
    shares = [float(holdout.get("share", 0.0)) for holdout in same]
    return max([rules.holdout, *shares]) if rules.holdout else 0.0
