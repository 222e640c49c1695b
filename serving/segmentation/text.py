"""The text that `regulars segments` prints: profiles, transitions and products, as short tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from features.config.segments import LIFECYCLE_STAGES
from serving.language.formats import NumberFormat, format_share
from serving.language.messages import N_, get_language
from serving.scoring.value_tiers import NO_SKILL
from serving.segmentation.run import Segmentation
from serving.segmentation.transitions import NOT_YET

TITLES = {
    "rfm_group": N_("RFM groups"),
    "stage": N_("lifecycle"),
    "micro_segment": N_("micro-segments"),
    "tier": N_("value tiers"),
    "segment": N_("segments by risk and tier"),
    "activity": N_("active and lapsed"),
}
STORIES = ("rfm_group", "stage", "micro_segment")  # whose profiles are printed; segments.json has all
PREFERRED, TOP = "_preferred", 3
MOST_TIMES = 20
WIDEST = 60  # the most letters of a name in a table
LISTED = 6  # the most transitions, kinds and pairs shown
Row = Mapping[str, Any]


def segments_text(segmentation: Segmentation) -> str:
    """Return the segmentation as text for a terminal."""
    cards, manifest = segmentation.tables["segments"].to_pylist(), segmentation.manifest
    mean = sum(row["value"] or 0.0 for row in cards if row["segmentation"] == "tier") / max(manifest.customers, 1)
    form = NumberFormat(mean, get_language("en", manifest.currency))
    lines = [] if manifest.skill else [NO_SKILL, ""]
    lines += [f"{manifest.customers:,} customers at {manifest.cutoff}, rules of version {manifest.rules['version']}"]
    for name, title in TITLES.items():
        rows = [row for row in cards if row["segmentation"] == name and row["customers"]]
        lines += ["", *_cards(title, rows, form)] if rows else []
    lines += [
        *_movement(segmentation),
        *_preferences(segmentation),
        *_kinds(segmentation),
        *_pairs(segmentation),
        *_channels(segmentation, form),
    ]
    micro = manifest.micro_segments
    if micro and micro["blurred"]:
        lines += ["", "note: the micro-segments are blurred: two halves of the customers give different clusters"]
    lines += ["", *(f"left out: {text}" for text in manifest.left_out)]
    return "\n".join(lines).rstrip()


def _cards(title: str, rows: Sequence[Row], form: NumberFormat) -> Iterator[str]:
    """Yield sizes and values, then what distinguishes each group and what to do."""
    money = any(row["value"] is not None for row in rows)
    left = next((row["left_cutoff"] for row in rows if row["left_cutoff"]), None)
    wide = min(max(len(title), *(len(row["segment"]) for row in rows)), WIDEST)
    head = f"{title:<{wide}}{'customers':>11}{'share':>10}{'risk':>8}"
    head += f"{'value':>14}{'(interval)':>24}{'at risk':>12}" if money else ""
    yield head + (f"   left after {left}" if left else "")
    for row in rows:
        text = f"{_shortened(row['segment'], wide):<{wide}}{row['customers']:>11,}{format_share(row['share']):>10}"
        text += f"{format_share(row['churn_probability']):>8}"
        if money:
            ends = [form.money(row[name]) for name in ("value_low", "value_high") if row[name] is not None]
            text += f"{form.money(row['value']):>14}{' to '.join(ends):>24}{form.money(row['value_at_risk']):>12}"
        yield text + (f"   {_left_text(row)}" if left else "")
    for row in rows if rows[0]["segmentation"] in STORIES else ():
        yield from _card_lines(row)


def _card_lines(row: Row) -> Iterator[str]:
    if row["sets_apart"] or row["treatment"]:
        yield f"  {row['segment']}"
    for place, text in enumerate(row["sets_apart"]):
        yield f"    {'' if place else 'differs':<10}{text}"
    if row["treatment"]:
        yield f"    do        {row['treatment']}"


def _left_text(row: Row) -> str:
    if row["left_share"] is None:
        return "no customers then"
    return f"{format_share(row['left_share'])} of {row['left_of']:,} ({row['left_low']:.0%} to {row['left_high']:.0%})"


def _movement(segmentation: Segmentation) -> Iterator[str]:
    """Yield the transitions of stages from the cutoff before as a matrix, and the largest ones of other groups."""
    rows = segmentation.tables["transitions"].to_pylist()
    last = [row for row in rows if str(row["to_cutoff"]) == str(segmentation.manifest.cutoff)]
    stage = [row for row in last if row["segmentation"] == "stage"]
    if stage:
        yield from ("", f"transitions from {stage[0]['from_cutoff']} to {stage[0]['to_cutoff']}, by stage")
        counts = {(row["from_segment"], row["to_segment"]): row["customers"] for row in stage}
        yield f"{'from':<20}" + "".join(f"{name:>11}" for name in LIFECYCLE_STAGES)
        for name in [n for n in (*LIFECYCLE_STAGES, NOT_YET) if any(a == n for a, _ in counts)]:
            yield f"{name:<20}" + "".join(f"{counts.get((name, to), 0):>11,}" for to in LIFECYCLE_STAGES)
    for name in ("rfm_group", "segment", "activity"):
        moved = [r for r in last if r["segmentation"] == name and r["from_segment"] not in (r["to_segment"], NOT_YET)]
        top = sorted(moved, key=lambda r: (-r["customers"], r["from_segment"], r["to_segment"]))[:LISTED]
        if top:
            yield from ("", f"largest transitions between {TITLES[name]} since {top[0]['from_cutoff']}")
            for row in top:
                among = f"{format_share(row['share'])}, {row['share_low']:.0%} to {row['share_high']:.0%}"
                yield f"  {row['customers']:>8,}  {row['from_segment']} → {row['to_segment']} ({among} of them)"


def _preferences(segmentation: Segmentation) -> Iterator[str]:
    """Yield for each kind how many customers have a preference, and the most frequent ones."""
    customers, lines = segmentation.tables["customers"], []
    for name in customers.column_names:
        if name.endswith(PREFERRED):
            count = Counter(customers[name].drop_null().to_pylist())
            top = sorted(count.items(), key=lambda item: (-item[1], item[0]))[:TOP]
            favourites = (
                "; most often " + ", ".join(f"{_shortened(value, 30)} ({n:,})" for value, n in top) if top else ""
            )
            part = sum(count.values()) / max(customers.num_rows, 1)
            lines.append(f"  {name.removesuffix(PREFERRED)}: {format_share(part)} of customers{favourites}")
    yield from ("", "what customers prefer", *lines) if lines else ()


def _kinds(segmentation: Segmentation) -> Iterator[str]:
    """Yield rising and fading values by kind, and how many values there are of each state."""
    rows, periods = segmentation.tables["kinds"].to_pylist(), segmentation.manifest.kind_periods
    if rows:
        yield from (
            "",
            f"rising and fading values among buying customers, over {periods['count']} x {periods['every']}",
        )
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        count = Counter(row["state"] for row in own)
        states = ", ".join(f"{n:,} {state}" for state, n in sorted(count.items(), key=lambda item: (-item[1], item[0])))
        yield f"  {kind}: {states}"
        moving = [row for row in own if row["state"] in ("rising", "fading")]
        for row in sorted(moving, key=lambda r: (-r["customers"], r["value"]))[:LISTED]:
            ends = " to ".join(_as_multiple(row[name]) for name in ("change_low", "change_high"))
            change = f"odds {_as_multiple(row['change'])} times those of the first period ({ends})"
            yield f"    {row['state']:<8} {_shortened(row['value'], 40):<40} {row['customers']:>8,} customers, {change}"


def _as_multiple(change: float) -> str:
    """Return a change of odds as a multiple.

    >>> _as_multiple(0.5), _as_multiple(-0.48), _as_multiple(99.0)
    ('1.5', '0.5', 'over 20')
    """
    return f"over {MOST_TIMES}" if change + 1 > MOST_TIMES else f"{change + 1:.1f}"


def _pairs(segmentation: Segmentation) -> Iterator[str]:
    rows = segmentation.tables["pairs"].to_pylist()
    for kind in dict.fromkeys(row["kind"] for row in rows):
        top = [row for row in rows if row["kind"] == kind and row["lift_low"] > 1][:LISTED]
        if not top:
            continue
        basket = "in one order" if top[0]["basket"] == "order" else "by one customer"
        yield from ("", f"{kind}: bought together {basket}, more often than by chance")
        for row in top:
            lift = f"{row['lift']:.1f} times ({row['lift_low']:.1f} to {row['lift_high']:.1f})"
            pair = f"{_shortened(row['first'], 30)} + {_shortened(row['second'], 30)}"
            yield f"  {pair:<63} {lift}, in {format_share(row['support'])} of {row['basket']}s"
        offers = sum(row == kind for row in segmentation.tables["next_kind"]["kind"].to_pylist())
        if offers:
            yield f"  next_kind.parquet names what to offer next to {offers:,} customers"


def _channels(segmentation: Segmentation, form: NumberFormat) -> Iterator[str]:
    rows = segmentation.tables["channels"].to_pylist()
    if not rows:
        return
    yield from ("", f"contacts over the last {segmentation.manifest.window}; a purchase followed within 14 days")
    wide = min(max(len("action"), *(len(row["action"]) for row in rows)), 30)
    yield f"{'action':<{wide}}{'contacts':>10}{'reach':>10}{'cost each':>11}   followed"
    cost_text: Callable[[Any], str] = lambda x: "" if x is None else form.money(x, fine=True)  # noqa: E731
    for row in rows:
        if row["followed_share"] is None:
            followed = "too early to tell"
        else:
            followed = (
                f"{format_share(row['followed_share'])} ({row['followed_low']:.0%} to {row['followed_high']:.0%})"
            )
        note = " (held out)" if row["held_out"] else ""
        text = f"{_shortened(row['action'], wide):<{wide}}{row['contacts']:>10,}{format_share(row['reach']):>10}"
        yield f"{text}{cost_text(row['cost_each']):>11}   {followed}{note}"


def _shortened(text: str, wide: int) -> str:
    return text if len(text) <= wide else f"{text[: wide - 1]}…"
