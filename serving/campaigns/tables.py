"""The campaigns as JSON and as CSV, for other programs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from typing import Any

from serving.campaigns.next_step import choose_next_step, verdict
from serving.campaigns.overview import RESPONSES, Campaign, CampaignOverview
from serving.campaigns.wording import finding_sentences, next_step_sentences
from serving.language.messages import ENGLISH

COLUMNS = tuple(field.name for field in fields(Campaign) if field.name not in ("responses", "unmeasurable", "arms"))


def overview_document(overview: CampaignOverview) -> dict[str, Any]:
    """Return the overview ready for JSON: campaigns, actions, next (the step and its sentence) and unread plans."""
    step = choose_next_step(overview)
    return {
        "name": overview.business,
        "campaigns": [_dated(asdict(each)) for each in overview.campaigns],
        "actions": [{**asdict(each), "verdict": verdict(each)} for each in overview.beliefs],
        "next": {**asdict(step), "text": next(iter(next_step_sentences(overview, ENGLISH)))},
        "findings": list(finding_sentences(overview, ENGLISH)),
        "shared": asdict(overview.shared) if overview.shared else None,
        "unread": dict(overview.unread),
    }


def campaigns_csv(overview: CampaignOverview) -> str:
    """Return one line a campaign as CSV, with a header; an unknown figure is empty."""
    target = io.StringIO()
    writer = csv.DictWriter(target, [*COLUMNS, "experiment", *RESPONSES], lineterminator="\n")
    writer.writeheader()
    for each in overview.campaigns:
        row = {key: value for key, value in asdict(each).items() if key in COLUMNS}
        writer.writerow(
            {**row, "experiment": " vs ".join(each.arms), **{name: each.responses.get(name) for name in RESPONSES}}
        )
    return target.getvalue()


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "cutoff": str(row["cutoff"]), "matures": str(row["matures"])}
