"""The campaigns as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from features.intake.log import Business
from features.storage.json_files import json_line
from serving.campaigns.overview import CampaignOverview, list_campaigns
from serving.campaigns.tables import campaigns_csv, overview_document
from serving.campaigns.wording import belief_rows, campaign_rows, finding_sentences, next_step_sentences
from serving.language.messages import ENGLISH

CAMPAIGNS = {
    "name": "plan", "status": "status", "customers": "customers", "spent": "spent",
    "promised": "promised gain", "gained": "measured gain", "next_unit": "next unit adds",
}  # fmt: skip
BELIEFS = {
    "action": "action", "cost": "cost", "effect": "effect per customer", "gain": "gain of a contact",
    "worth": "worth its cost", "verdict": "verdict", "evidence": "measurements",
}  # fmt: skip
WORDS = ("name", "status", "action", "verdict")  # columns of words; others are numbers, to the right


def formatted_campaigns(business: Business, form: str | None = None) -> str:
    """List the campaigns of a business for a terminal or another program.

    Args:
        business: An opened log, a config, or the path of a config.
        form: 'json', 'csv', or None for text.

    Returns:
        The list, ending with a line break.
    """
    overview = list_campaigns(business)
    if form == "csv":
        return campaigns_csv(overview)
    return (json_line(overview_document(overview)) if form == "json" else campaigns_text(overview)) + "\n"


def campaigns_text(overview: CampaignOverview) -> str:
    """Return the campaigns, what is believed of each action, and what to try next, as text."""
    campaigns, beliefs = campaign_rows(overview, ENGLISH), belief_rows(overview, ENGLISH)
    parts = [
        [f"campaigns of {overview.business}: {len(campaigns):,}", *(_table(CAMPAIGNS, campaigns) if campaigns else [])],
        [f"  {row['name']}: {row['kind']}" for row in campaigns if row["kind"]],
        [f"  {row['name']}: {row['responses']}" for row in campaigns if row["responses"]],
    ]
    if beliefs:
        unit = "money" if overview.money else "percentage points of return"
        head = f"what is believed of each action now ({unit}; {overview.interval:.0%} credible intervals)"
        parts.append([head, *_table(BELIEFS, beliefs)])
    if findings := list(finding_sentences(overview, ENGLISH)):
        parts.append(["what the experiments found", *(f"  {each}" for each in findings)])
    parts.append([f"next: {sentence}" if not place else f"NOTE: {sentence}"
                  for place, sentence in enumerate(next_step_sentences(overview, ENGLISH))])  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part)


def _table(titles: dict[str, str], rows: Sequence[dict[str, str]]) -> list[str]:
    lines = [tuple(titles.values()), *(tuple(row[key] for key in titles) for row in rows)]
    wide = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    return [
        "  ".join(
            text.ljust(width) if key in WORDS else text.rjust(width)
            for key, text, width in zip(titles, line, wide, strict=True)
        ).rstrip()
        for line in lines
    ]
