"""The page of segments: the profiles of every segmentation, and the transitions between two cutoffs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from features.campaigns.live_plans import live_plan
from features.outputs.layout import PLAN_TABLE
from serving.charts.flows import Flow, FlowGroup, flow_chart
from serving.language.formats import format_share
from serving.language.messages import N_
from serving.segmentation.transitions import NOT_YET
from serving.web.parts.output_reader import ROWS, MissingOutput, Site

TITLES = {
    "rfm_group": N_("RFM groups"),
    "stage": N_("Lifecycle"),
    "tier": N_("Value tiers"),
    "segment": N_("Segments by risk and tier"),
    "micro_segment": N_("Micro-segments"),
    "activity": N_("Active and lapsed"),
}
CARD = (
    "segmentation, segment, customers, share, churn_probability, value, value_low, value_high, value_at_risk, "
    "left_share, left_low, left_high, rule, sets_apart, treatment"
)
MOVE = "segmentation, from_cutoff, to_cutoff, from_segment, to_segment, customers, share, share_low, share_high"
LISTED = {"rfm_group", "stage", "micro_segment"}  # the others are columns of the scores


def segments_page(site: Site, params: Mapping[str, str], cutoff: date) -> dict[str, Any]:
    """Prepare the profiles and transitions of a cutoff's segments.

    Args:
        site: The output folder.
        params: `by`: the segmentation; `to`: the later cutoff of the transitions; `group`: one group of them.
        cutoff: A scored cutoff; without segments of its own, the newest segments before it are shown.

    Returns:
        The context of the template `segments.html.j2`.

    Raises:
        MissingOutput: There are no segments at or before the cutoff.
    """
    usable = [day for day in site.config.outputs.segmented_cutoffs() if day <= cutoff]
    if not usable:
        raise MissingOutput(
            site.tr("There are no segments for {day} yet.", day=cutoff), f"regulars segments --cutoff {cutoff}"
        )
    folder = site.config.outputs.segments(usable[-1])
    cards = _rows(site, folder / "segments.parquet", CARD)
    names = list(dict.fromkeys(row["segmentation"] for row in cards))
    if not names:
        raise MissingOutput(
            site.tr("There are no segments for {day} yet.", day=usable[-1]), f"regulars segments --cutoff {usable[-1]}"
        )
    by = params.get("by", "") or ("segment" if "segment" in names else names[0])
    if by not in names:
        raise MissingOutput(
            site.tr("There is no such segmentation; available: {names}.", names=", ".join(names)), status=400
        )
    moves = [row for row in _rows(site, folder / "transitions.parquet", MOVE) if row["segmentation"] == by]
    plan, contacted = _contacted(site, folder, usable[-1], by)
    return {
        "day": usable[-1],
        "by": by,
        "names": [(name, site.tr(TITLES[name]) if name in TITLES else name) for name in names],
        "plan": plan,
        "left_since": _left_since(site, folder / "segments.parquet"),
        "cards": [
            {**_card(site, by, row), "contacted": contacted.get(row["segment"], 0)}
            for row in cards
            if row["segmentation"] == by
        ],
        **_movement(site, moves, params, [row["segment"] for row in cards if row["segmentation"] == by]),
    }


def _rows(site: Site, file: Path, columns: str) -> list[dict[str, Any]]:
    """Read some columns of a table; none if there is no such file."""
    if not file.is_file():
        return []
    state = file.stat()
    return site.cache.get(
        ("rows", str(file), state.st_mtime_ns, state.st_size),
        lambda: site.query(f"SELECT {columns} FROM {ROWS}", [[str(file)]]).to_pylist(),
    )


def _left_since(site: Site, file: Path) -> str:
    """The cutoff from which those who left are counted; empty if nobody is, or an earlier version wrote the file."""
    try:
        row = site.query(f"SELECT min(left_cutoff) AS day FROM {ROWS}", [[str(file)]]).to_pylist()[0]
    except MissingOutput:
        return ""
    return str(row["day"] or "")


def _contacted(site: Site, folder: Path, cutoff: date, by: str) -> tuple[str, dict[str, int]]:
    """Count the customers of each group whom the live plan contacts; returns the plan's name, '' without a plan."""
    plan, customers = live_plan(site.config, cutoff), folder / "customers.parquet"
    if plan is None or by not in TITLES or not customers.is_file():
        return "", {}
    sql = (
        f"SELECT g.{by} AS name, count(*) AS customers FROM {ROWS} AS g JOIN {ROWS} AS p USING (customer_id) "  # noqa: S608
        "WHERE p.action IS NOT NULL GROUP BY ALL"
    )
    try:
        rows = site.query(sql, [[str(customers)], [str(plan.folder / PLAN_TABLE)]]).to_pylist()
    except MissingOutput:  # logged by the query; the groups are shown without their plan
        return "", {}
    return plan.campaign, {row["name"]: row["customers"] for row in rows}


def _card(site: Site, by: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the profile of a group; `link` holds the parameters that list its customers."""
    return {
        **row,
        "name": site.translate(row["segment"]),
        "sets_apart": [site.translate(text) for text in row["sets_apart"] or []],
        "link": _link(by, row["segment"]),
    }


def _link(by: str, name: str) -> dict[str, str]:
    """Write the parameters that list the customers of a group."""
    return {"by": by, "group": name} if by in LISTED else {by: name}


def _movement(site: Site, moves: list[dict[str, Any]], params: Mapping[str, str], known: list[str]) -> dict[str, Any]:
    """Prepare the transitions up to one cutoff as a chart and a table, of all groups or of one."""
    steps = sorted({(row["from_cutoff"], row["to_cutoff"]) for row in moves})
    if not steps:
        return {"steps": [], "step": None, "picture": None, "moves": [], "group": ""}
    chosen = next((step for step in steps if str(step[1]) == params.get("to", "")), steps[-1])
    group = params.get("group", "")[:200]
    rows = [row for row in moves if (row["from_cutoff"], row["to_cutoff"]) == chosen]
    if group:
        rows = [row for row in rows if group in (row["from_segment"], row["to_segment"])]
    rows.sort(key=lambda row: (-row["customers"], row["from_segment"], row["to_segment"]))
    if not rows:
        return {"steps": steps, "step": chosen, "picture": None, "moves": [], "group": group}
    return {
        "steps": steps,
        "step": chosen,
        "group": group,
        "moves": rows,
        "picture": _picture(site, rows, chosen, known),
    }


def _picture(site: Site, rows: list[dict[str, Any]], step: tuple[date, date], known: list[str]) -> Any:
    by = rows[0]["segmentation"]
    places = {name: place for place, name in enumerate([*known, NOT_YET])}
    scored = set(site.config.outputs.scored_cutoffs())

    def side(column: str, day: date) -> list[FlowGroup]:
        sizes: dict[str, int] = {}
        for row in rows:
            sizes[row[column]] = sizes.get(row[column], 0) + row["customers"]
        groups = []
        for name in sorted(sizes, key=lambda name: (places.get(name, len(places)), name)):
            tip = site.tr("{group} at {day}: {n} customers", group=site.translate(name), day=day, n=f"{sizes[name]:,}")
            link = f"/customers?{urlencode({**_link(by, name), 'cutoff': day})}" if _listed(name, day, scored) else ""
            groups.append(FlowGroup(site.translate(name), sizes[name], tip, link))
        return groups

    moved = [
        Flow(
            site.translate(row["from_segment"]),
            site.translate(row["to_segment"]),
            row["customers"],
            f"{site.translate(row['from_segment'])} → {site.translate(row['to_segment'])}: {row['customers']:,}"
            f" ({format_share(row['share'], site.tr)})",
        )
        for row in rows
    ]
    most = "; ".join(flow.tip for flow in moved[:6])
    alt = site.tr("Transitions from {first} to {then}; the largest: {most}.", first=step[0], then=step[1], most=most)
    return flow_chart(alt, side("from_segment", step[0]), side("to_segment", step[1]), moved)


def _listed(name: str, day: date, scored: Collection[date]) -> bool:
    """Whether the list of customers can show a group of a day."""
    return name != NOT_YET and day in scored
