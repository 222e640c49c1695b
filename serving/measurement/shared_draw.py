"""Plans that hold out the same customers as earlier plans: earlier versions drew once a campaign, not once a cutoff.

Such a sequence is one policy that began with its first draw. By a later cutoff the earlier contacts may have changed
what a customer spends and how the model scores them, so only what was known at the customer's first plan is from before
the first contact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from features.campaigns.live_plans import superseded_by
from features.config.load import Config
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, PLAN_TABLE, cutoff_of
from features.outputs.manifests import PlanManifest, read_manifest
from features.outputs.parquet_files import read_parquet
from serving.planning.cutoff_holdout import draw_of
from serving.planning.plan import Plan

SCORED = ("churn_probability", "value")  # the covariates in the table of a plan


@dataclass(frozen=True)
class SharedDraw:
    """What was known of a plan's customers before the first contact.

    Attributes:
        since: The cutoff of the first plan with the same draw; None if the draw is the plan's own.
        scores: By name in SCORED (n,): as scored at the customer's first plan with this draw.
    """

    since: date | None
    scores: dict[str, pa.ChunkedArray]


def first_scores(config: Config, plan: Plan) -> SharedDraw:
    """Reads the scores of a plan's customers from the first plan that drew the same holdout.

    Args:
        config: The business.
        plan: The plan.

    Returns:
        The cutoff of the first such plan, and the scores, in the order of the plan's table.

    Raises:
        DataError: An earlier plan cannot be read.
    """
    table = plan.table()
    customers, own = table["customer_id"], {name: table[name] for name in SCORED}
    draw = draw_of(plan.manifest.holdout, plan.campaign)
    if draw[0].startswith(str(plan.cutoff)):  # drawn for this cutoff
        return SharedDraw(None, own)
    since, first = None, {name: pa.nulls(len(customers), pa.float64()) for name in SCORED}
    for folder in config.outputs.plans():
        cutoff = cutoff_of(folder.parent)
        if cutoff is None or cutoff >= plan.cutoff or (superseded_by(folder) and not (folder / MEASUREMENT).is_file()):
            continue
        manifest = read_manifest(folder / PLAN_MANIFEST, PlanManifest)
        if draw_of(manifest.holdout, manifest.campaign) != draw:
            continue
        since = since or cutoff
        earlier = read_parquet(folder / PLAN_TABLE, ["customer_id", *SCORED], sha256=manifest.files.get(PLAN_TABLE, ""))
        place = pc.index_in(customers, value_set=earlier["customer_id"].combine_chunks())
        first = {name: pc.coalesce(values, earlier[name].take(place)) for name, values in first.items()}
    return SharedDraw(since, {name: pc.coalesce(values, own[name]) for name, values in first.items()})
