"""The section on segments: sizes, risk and value of each group, transitions between groups, and short profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.catalog import lifecycle
from serving.language.messages import N_
from serving.report.inputs import ReportInputs, StoredSegments
from serving.report.text import ReportWording
from serving.scoring import value_tiers
from serving.segmentation.transitions import GONE, NOT_YET

TITLES = {
    "segment": N_("Segment: what to do"),
    "stage": N_("Lifecycle"),
    "lifecycle": N_("Rhythm"),
    "rfm_group": N_("RFM group"),
    "micro_segment": N_("Micro-segment"),
    "tier": N_("Tier"),
    "activity": N_("Active and lapsed"),
}
MOVED = {
    "segment": N_("Transitions between segments since {day}"),
    "stage": N_("Moves through the lifecycle since {day}"),
    "rfm_group": N_("Largest transitions between RFM groups since {day}"),
    "activity": N_("Transitions between active and lapsed since {day}"),
}
STORIES = ("stage", "rfm_group", "micro_segment")
MATRICES, LISTED = ("stage", "segment", "activity"), ("rfm_group",)
SHADES, MOST_MOVES, MOST_CARDS = 4, 5, 40
MEANING = {
    "lifecycle": {
        "new": N_("first {started} within the last horizon"),
        "active": N_("ordered recently, compared with the customer's usual gap"),
        "slipping": N_("silent for over {slipping} times the usual gap (and a quarter of the horizon)"),
        "dormant": N_("silent for over {dormant} times the usual gap (and a whole horizon)"),
    },
    "tier": {
        "high": N_("the {high} that {bring} most if they stay (without money: {rank})"),
        "middle": N_("the next {middle}"),
        "low": N_("the rest"),
    },
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class SegmentRow:
    """A row of a table of groups, as text; `empty` if the group has no customers."""

    name: str
    meaning: str
    customers: str
    share: str
    risk: str
    value: str
    range: str
    value_at_risk: str
    left: str
    left_range: str
    empty: bool


@dataclass(frozen=True)
class TransitionCell:
    """Customers who went from one group to another: number, share of the first group, and shade (0 to 4)."""

    customers: str
    share: str
    shade: int
    stayed: bool


def segments_section(wording: ReportWording, inputs: ReportInputs, table: pd.DataFrame) -> dict[str, Any]:
    """Prepare tables, transitions and profiles of the segments.

    Args:
        wording: Language, formats and terms of the report.
        inputs: The report's inputs; the stored segments are used, if there are any.
        table: The score columns of all customers, for tables without stored segments.

    Returns:
        `gap`, `stale`, `tables`, `moves` (matrices), `lists` (largest transitions) and `cards` (profiles).
    """
    stored: StoredSegments | None = inputs.segments.content
    if stored is None:
        version = inputs.scores.manifest.segment_rules
        rules = value_tiers.group_rules(version, wording.skill)
        meanings = {"segment": {name: rules[name] for name in value_tiers.segment_rules(version)}, **MEANING}
        tables = [_of_scores(wording, table, column, meaning) for column, meaning in meanings.items()]
        return {"gap": inputs.segments.gap, "stale": False, "tables": tables, "moves": [], "lists": [], "cards": []}
    names = [name for name in TITLES if any(card["segmentation"] == name for card in stored.cards)]
    return {
        "gap": "",
        "stale": stored.stale,
        "tables": [_of_cards(wording, stored, name) for name in names],
        "moves": [m for name in MATRICES if (m := _matrix(wording, stored, name)) is not None],
        "lists": [m for name in LISTED if (m := _largest(wording, stored, name)) is not None],
        "cards": [
            {"title": wording.tr(TITLES[n]), "cards": list(_cards(wording, stored, n))} for n in STORIES if n in names
        ],
    }


def _of_scores(wording: ReportWording, table: pd.DataFrame, column: str, meanings: Mapping[str, str]) -> dict[str, Any]:
    """Summarise risk and value by a column of the scores; groups without customers are left out."""
    by_group = table.groupby(column).agg(
        customers=("churn_probability", "size"),
        churn_probability=("churn_probability", "mean"),
        value=("value", "sum"),
        value_at_risk=("value_at_risk", "sum"),
    )
    known = [name for name in meanings if name in by_group.index]
    names = [*known, *(str(name) for name in by_group.index if name not in meanings)]
    rows = []
    for name in names:
        row = {"segment": name, **by_group.loc[name].to_dict()}
        rows.append(
            _group(
                wording,
                {**row, "share": row["customers"] / max(len(table), 1)},
                group_meaning(wording, meanings.get(name, "")),
            )
        )
    return {"by": wording.tr(TITLES[column]), "name": column, "rows": rows, "ranges": False, "left": ""}


def group_meaning(wording: ReportWording, text: str) -> str:
    """Translate the definition of a group, and fill its slots with the terms and thresholds of the rules."""
    shares = {"high": value_tiers.HIGH_SHARE, "middle": value_tiers.MIDDLE_SHARE - value_tiers.HIGH_SHARE}
    slots = {
        **asdict(wording.words),
        **{key: f"{share:.0%}" for key, share in shares.items()},
        "slipping": f"{lifecycle.ACTIVE_UP_TO:g}",
        "dormant": f"{lifecycle.SLIPPING_UP_TO:g}",
    }
    return wording.tr(text, **slots)


def _of_cards(wording: ReportWording, stored: StoredSegments, name: str) -> dict[str, Any]:
    rows = [card for card in stored.cards if card["segmentation"] == name]
    left = next((str(row["left_cutoff"]) for row in rows if row.get("left_cutoff")), "")
    return {
        "by": wording.tr(TITLES[name]),
        "name": name,
        "rows": [_group(wording, row, wording.name(row["rule"] or "")) for row in rows if row["customers"]],
        "ranges": any(row.get("value_low") is not None for row in rows),
        "left": wording.tr("Left within {days} days of {day}", days=wording.days, day=left) if left else "",
    }


def _group(wording: ReportWording, row: Row, meaning_text: str) -> SegmentRow:
    form, some = wording.form, bool(row["customers"])
    low, high, left = row.get("value_low"), row.get("value_high"), row.get("left_share")
    return SegmentRow(
        name=wording.name(str(row["segment"])),
        meaning=meaning_text,
        customers=f"{row['customers']:,.0f}",
        share=form.share(row["share"]) if some else "0%",
        risk=form.share(row["churn_probability"]) if some else "–",
        value=form.money(row["value"]) if some and wording.money else "–",
        range=form.span(low, high) if some and wording.money and low is not None and high is not None else "",
        value_at_risk=form.money(row["value_at_risk"]) if some and wording.money else "–",
        left="–" if left is None else wording.tr("{share} of {n}", share=form.share(left), n=f"{row['left_of']:,}"),
        left_range="" if left is None else wording.tr(
            "{low} to {high}", low=form.share(row["left_low"]), high=form.share(row["left_high"])
        ),
        empty=not some,
    )  # fmt: skip


def _matrix(wording: ReportWording, stored: StoredSegments, name: str) -> dict[str, Any] | None:
    """Make the transition matrix since the cutoff before: rows are the groups before, columns the groups now."""
    moves = [row for row in stored.moves if row["segmentation"] == name]
    if not moves:
        return None
    order = [*(card["segment"] for card in stored.cards if card["segmentation"] == name), NOT_YET, GONE]
    move_of = {(row["from_segment"], row["to_segment"]): row for row in moves}
    rows = [one for one in order if any(start == one for start, _ in move_of)]
    columns = [one for one in order if any(end == one for _, end in move_of)]
    return {
        "title": wording.tr(MOVED[name], day=moves[0]["from_cutoff"]),
        "columns": [wording.tr(one) for one in columns],
        "rows": [
            (wording.tr(one), [_cell(wording, move_of.get((one, end)), one == end) for end in columns]) for one in rows
        ],
        "summary": _transitions_in_words(wording, moves),
    }


def _cell(wording: ReportWording, row: Row | None, stayed: bool) -> TransitionCell:
    if row is None:
        return TransitionCell("·", "", 0, stayed)
    shade = min(int(np.ceil(row["share"] * SHADES)), SHADES)
    return TransitionCell(f"{row['customers']:,}", wording.form.share(row["share"]), shade, stayed)


def _largest(wording: ReportWording, stored: StoredSegments, name: str) -> dict[str, Any] | None:
    moves = [row for row in stored.moves if row["segmentation"] == name]
    if not moves:
        return None
    return {"title": wording.tr(MOVED[name], day=moves[0]["from_cutoff"]), "moves": _moves(wording, moves)}


def _transitions_in_words(wording: ReportWording, moves: Sequence[Row]) -> str:
    """Say how many customers stayed in their group, and name the largest transitions."""
    tr = wording.tr
    before = [row for row in moves if row["from_segment"] not in (NOT_YET, GONE)]
    count = sum(row["customers"] for row in before)
    stayed_count = sum(row["customers"] for row in before if row["from_segment"] == row["to_segment"])
    if not count:
        return ""
    text = tr(
        "{share} of {n} customers stayed in their group.",
        share=wording.form.share(stayed_count / count),
        n=f"{count:,}",
    )
    largest = _moves(wording, moves)
    return tr("{text} The largest transitions: {moves}.", text=text, moves=tr("; ").join(largest)) if largest else text


def _moves(wording: ReportWording, moves: Sequence[Row]) -> list[str]:
    left_group = [row for row in moves if row["from_segment"] not in (row["to_segment"], NOT_YET, GONE)]
    top = sorted(left_group, key=lambda row: (-row["customers"], row["from_segment"], row["to_segment"]))[:MOST_MOVES]
    return [
        wording.tr(
            "{n} from {start} to {end} ({share} of the group)",
            n=f"{row['customers']:,}", start=wording.name(row["from_segment"]), end=wording.name(row["to_segment"]),
            share=wording.form.share(row["share"]),
        )
        for row in top
    ]  # fmt: skip


def _cards(wording: ReportWording, stored: StoredSegments, name: str) -> Iterator[dict[str, Any]]:
    """Make a short profile of each group, largest first: what distinguishes it, and what to do."""
    rows = [card for card in stored.cards if card["segmentation"] == name and card["customers"]]
    for row in sorted(rows, key=lambda card: -card["customers"])[:MOST_CARDS]:
        features, todo = list(row.get("sets_apart") or []), row.get("treatment") or ""
        if features or todo:
            many = wording.tr.many("{n} customer", "{n} customers", int(row["customers"]))
            yield {
                "name": wording.name(row["segment"]),
                "customers": many,
                "features": features,
                "todo": wording.tr(todo),
            }
