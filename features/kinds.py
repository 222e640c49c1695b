"""Variety, novelty and favourites of a kind: what, where or how."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature, column, count
from features.past import KEYS, Past
from features.phrases import plural
from features.task import Window


def measures(past: Past, kind: str) -> ibis.Table:
    """Variety, novelty and the favourite's share of a kind: one row a (customer, cutoff, value), then counts.

    A value counts as different in a window when its youngest line is inside, and as new when its oldest is.
    """
    e, windows = past.tables.events, past.task.windows
    bought = e.filter(e[f"kind_{kind}"].notnull() & (e.amount > 0 if past.tables.contract.has_amount else True))
    lines = bought.group_by("customer_id", "day", "seen", value=bought[f"kind_{kind}"]).aggregate(lines=bought.count())
    aged = past.visible(lines)
    values = aged.group_by(*KEYS, "value").aggregate(
        youngest=past.pane(aged.age.min()), oldest=past.pane(aged.age.max()), lines=aged.lines.sum().cast("int64")
    )
    counts = {f"{kind}_distinct_{w}": (values.youngest <= i).sum().cast("int64") for i, w in enumerate(windows)}
    news = {f"{kind}_new_{w}": (values.oldest <= i).sum().cast("int64") for i, w in enumerate(windows)}
    return values.group_by(KEYS).aggregate(
        **counts,
        **news,
        **{f"{kind}_distinct_ever": values.count(), f"{kind}_top_share": values.lines.max() / values.lines.sum()},
    )


def features(slug: str, windows: tuple[Window, ...]) -> Iterator[Feature]:
    """Variety, novelty and the favourite of a kind: what, where or how."""
    noun = slug.replace("_", " ").removesuffix(" id")
    many = plural(noun)
    for w in (*windows, None):
        tail, label = ("ever", "so far") if w is None else (str(w), f"in the last {w.days} days")
        yield Feature(
            f"{slug}_distinct_{tail}",
            count(f"{slug}_distinct_{tail}"),
            f"variety of {many}",
            f"different {many} {label}",
            f"{{value:#different {noun}}} {label}",
            "count",
            w,
            at_zero=f"no order with a {noun} {label}",
        )
    for w in windows:
        label = f"in the last {w.days} days"
        yield Feature(
            f"{slug}_new_share_{w}",
            lambda m, w=w: m[f"{slug}_new_{w}"] / m[f"{slug}_distinct_{w}"].nullif(0),  # type: ignore[misc]
            f"novelty of {many}",
            f"share of {many} tried for the first time {label}",
            f"{{value:share}} of {many} {label} were new to the customer",
            "share",
            w,
            unread=f"no order with a {noun} {label}",
            at_zero=f"no new {noun} {label}",
        )
    yield Feature(
        f"{slug}_top_share_ever",
        column(f"{slug}_top_share"),
        f"variety of {many}",
        f"share of the favourite {noun}",
        f"{{value:share}} of lines from the favourite {noun}",
        "share",
        unread=f"no {noun} known",
    )
