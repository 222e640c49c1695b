"""Features of a kind column, such as category or channel: variety, concentration, novelty, drift and the favourite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import ibis

from features.catalog.windows import window_ending
from features.feature import Feature, count_or_zero
from features.phrases import plural
from features.point_in_time.history import KEYS, Past
from features.task import Window
from features.templates import phrase

FEW, MOSTLY_OTHER = 0.5, 0.5  # from which concentration and drift the words say so
ROUNDING_ERROR = 1e-12  # a drift below this is a rounding error, and taken as 0


def category_measures(past: Past, kind: str) -> ibis.Table:
    """Counts, sums and products of the order lines by value of a kind; one row for each customer and cutoff.

    A value counts in a window if a line with it lies in the window, and as new if its oldest line does. All numbers
    are integers, so no sum depends on the order of rows. Of equally frequent favourites the last in the alphabet is
    taken.
    """
    values, windows = _lines_by_value(past, kind), past.task.windows
    lines = {str(w): values[f"lines_{w}"] for w in windows} | {"ever": values.lines}
    totals = {f"{kind}_distinct_{tail}": (n > 0).sum() for tail, n in lines.items()}
    totals |= {f"{kind}_new_{w}": (values.oldest <= place).sum() for place, w in enumerate(windows)}
    totals |= {f"{kind}_lines_{tail}": n.sum() for tail, n in lines.items()}
    totals |= {f"{kind}_top_{tail}": n.max() for tail, n in lines.items()}
    totals |= {f"{kind}_squares_{tail}": (n * n).sum() for tail, n in lines.items()}
    for w in windows:
        before = values.lines - lines[str(w)]
        totals[f"{kind}_squares_before_{w}"] = (before * before).sum()
        totals[f"{kind}_product_{w}"] = (before * lines[str(w)]).sum()
    favourite = values.value.argmax(ibis.struct({"lines": values.lines, "value": values.value}))
    sums = {name: value.cast("int64") for name, value in totals.items()}
    return values.group_by(KEYS).aggregate(**sums, **{f"{kind}_favourite": favourite})


def _lines_by_value(past: Past, kind: str) -> ibis.Table:
    """Each customer's lines by value of a kind, so far and in every window, and the pane of the oldest line."""
    e, windows = past.tables.events, past.task.windows
    paid = e.filter(e[f"kind_{kind}"].notnull() & (e.amount > 0 if past.tables.contract.has_amount else True))
    aged = past.visible(paid.select("customer_id", "day", "seen", value=paid[f"kind_{kind}"]))
    sums = {f"lines_{w}": (aged.age <= w.days).cast("int32").sum().cast("int64") for w in windows}
    return aged.group_by(*KEYS, "value").aggregate(oldest=past.pane(aged.age.max()), lines=aged.count(), **sums)


def category_features(slug: str, windows: Sequence[Window]) -> Iterator[Feature]:
    """Variety, novelty, concentration and drift of a kind, in every window and so far."""
    noun = slug.replace("_", " ").removesuffix(" id")
    for w in (*windows, None):
        yield _distinct_feature(slug, noun, w)
        yield _top_share_feature(slug, noun, w)
    for w in windows:
        yield _new_share_feature(slug, noun, w)
        yield _drift_feature(slug, noun, w)
    yield Feature(
        f"{slug}_concentration_ever",
        lambda m: m[f"{slug}_squares_ever"] / _square(m[f"{slug}_lines_ever"]),
        f"variety of {plural(noun)}",
        phrase("concentration on few <kinds> so far", kind=noun),
        phrase(
            f"{{value:buys from few <kinds>|buys from many <kinds>|?{FEW}}}: "
            "{<column>_distinct_ever:#different <kind>} so far, {<column>_top_share_ever:share} of items from one",
            kind=noun,
            column=slug,
        ),
        "share",
        unread=phrase("no <kind> known", kind=noun),
        formula="sum of the squared shares",
    )
    yield Feature(
        f"{slug}_favourite_ever",
        lambda m: m[f"{slug}_favourite"],
        f"favourite {noun}",
        phrase("favourite <kind> so far", kind=noun),
        phrase("favourite <kind> so far: {value:level}", kind=noun),
        "level",
        unread=phrase("no <kind> known", kind=noun),
    )


def _distinct_feature(slug: str, noun: str, w: Window | None) -> Feature:
    tail, label, text = w or "ever", window_ending(w), partial(phrase, kind=noun, days=w and w.days)
    return Feature(
        f"{slug}_distinct_{tail}",
        count_or_zero(f"{slug}_distinct_{tail}"),
        f"variety of {plural(noun)}",
        text(f"different <kinds> {label}"),
        text(f"{{value:#different <kind>}} {label}"),
        "count",
        w,
        at_zero=text(f"no order with a <kind> {label}"),
    )


def _top_share_feature(slug: str, noun: str, w: Window | None) -> Feature:
    tail, label, text = w or "ever", window_ending(w), partial(phrase, kind=noun, days=w and w.days)
    return Feature(
        f"{slug}_top_share_{tail}",
        lambda m: m[f"{slug}_top_{tail}"] / m[f"{slug}_lines_{tail}"].nullif(0),
        f"variety of {plural(noun)}",
        text(f"share of the most frequent <kind> {label}"),
        text(f"{{value:share}} of items {label} from one <kind>"),
        "share",
        w,
        unread=text(f"no order with a <kind> {label}"),
    )


def _new_share_feature(slug: str, noun: str, w: Window) -> Feature:
    label, text = window_ending(w), partial(phrase, kind=noun, days=w.days)
    return Feature(
        f"{slug}_new_share_{w}",
        lambda m: m[f"{slug}_new_{w}"] / m[f"{slug}_distinct_{w}"].nullif(0),
        f"novelty of {plural(noun)}",
        text(f"share of <kinds> tried for the first time {label}"),
        text(f"{{value:share}} of <kinds> {label} were new to the customer"),
        "share",
        w,
        unread=text(f"no order with a <kind> {label}"),
        at_zero=text(f"no new <kind> {label}"),
    )


def _drift_feature(slug: str, noun: str, w: Window) -> Feature:
    """1 - cosine similarity of the line counts by value, in the window and before it: 0 same mix, 1 nothing shared."""
    label, text = window_ending(w), partial(phrase, kind=noun, days=w.days)
    words = f"mostly other <kinds> {label} than before|much the same <kinds> {label} as before"

    def compute(m: ibis.Table) -> ibis.Value:
        sizes = m[f"{slug}_squares_{w}"].cast("float64") * m[f"{slug}_squares_before_{w}"]
        drift = 1 - m[f"{slug}_product_{w}"] / sizes.nullif(0).sqrt()
        return (drift < ROUNDING_ERROR).ifelse(0.0, drift)

    return Feature(
        f"{slug}_drift_{w}",
        compute,
        f"drift of {plural(noun)}",
        text(f"change of the mix of <kinds> {label} against before"),
        text(f"{{value:{words}|?{MOSTLY_OTHER}}}"),
        "share",
        w,
        unread=text(f"no order with a <kind> {label}, or none before"),
        at_zero=text(f"the same mix of <kinds> {label} as before"),
        formula="1 - cosine similarity with the counts before",
    )


def _square(n: ibis.Value) -> ibis.Value:
    number = n.cast("float64")
    return number * number
