"""The distribution of a drifted feature or score, before and now, from the histogram that the monitor compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from serving.charts.bars import Bar, ColumnPair, horizontal_bars, paired_columns

LEVELS, CHARTS = 9, 8  # levels with bars of their own; charts on a page


def drift_charts(
    drift: Sequence[Mapping[str, Any]], tr: Callable[..., str], most: int = CHARTS
) -> list[dict[str, Any]]:  # fmt: skip
    """Draw the features and scores that have drifted, the strongest drift first.

    Args:
        drift: Rows of `drift` in monitor.json; those that an older version wrote have no histogram.
        tr: The language of the page.
        most: At most so many charts.

    Returns:
        Charts: `title`, `svg` and `caption`.
    """
    rows = [row for row in drift if row.get("moved") and row.get("histogram")]
    rows.sort(key=lambda row: (-float(row.get("psi") or 0.0), str(row.get("name"))))
    return [{"title": _title(row, tr), "svg": _chart(row, tr), "caption": _caption(row, tr)} for row in rows[:most]]


def _caption(row: Mapping[str, Any], tr: Callable[..., str]) -> str:
    if "levels" in row["histogram"]:
        return tr("share of the customers in each group; the bar is the share now.")
    return tr("share of the customers in each group, before (open) and now (solid).")


def _title(row: Mapping[str, Any], tr: Callable[..., str]) -> str:
    return tr(str(row.get("phrase") or row.get("name")))


def _chart(row: Mapping[str, Any], tr: Callable[..., str]) -> Markup:
    groups = _groups(row["histogram"], tr)
    totals = max(sum(old for _, old, _ in groups), 1), max(sum(new for _, _, new in groups), 1)
    shares, title = [(name, old / totals[0], new / totals[1]) for name, old, new in groups], _title(row, tr)
    details = "; ".join(f"{label}: {before:.1%} → {now:.1%}" for label, before, now in shares)
    alt = tr("{what}: share of the customers before → now. {details}.", what=title, details=details)
    if "levels" in row["histogram"]:
        return horizontal_bars(alt, [_level(*share, tr) for share in shares])
    pairs = [_pair(title, *share, tr) for share in shares]
    return paired_columns(alt, pairs, (tr("before"), tr("now")), "", "{:.0%}".format, ("open", "solid"))


def _level(label: str, before: float, now: float, tr: Callable[..., str]) -> Bar:
    return Bar(label, now, tr("before {before}, now {now}", before=f"{before:.1%}", now=f"{now:.1%}"), "solid")


def _pair(title: str, label: str, before: float, now: float, tr: Callable[..., str]) -> ColumnPair:
    old = tr("{what} {group}: {share} of the customers before", what=title, group=label, share=f"{before:.1%}")
    new = tr("{what} {group}: {share} of the customers now", what=title, group=label, share=f"{now:.1%}")
    return ColumnPair(label, before, now, old, new)


def _groups(histogram: Mapping[str, Any], tr: Callable[..., str]) -> list[tuple[str, int, int]]:
    """Name the groups of a histogram, with their customers before and now; empty groups at the end are left out."""
    counts = list(zip(histogram["before"], histogram["now"], strict=True))
    if "edges" in histogram:
        ends = [f"{edge:,.4g}".replace("-", "−") for edge in histogram["edges"]]
        names = [f"≤ {end}" for end in ends] + [f"> {ends[-1]}" if ends else tr("known"), tr("missing")]
    else:
        names = [tr("missing") if level is None else str(level) for level in histogram["levels"][:LEVELS]]
        rest = counts[len(names) :]
        counts = [*counts[: len(names)], (sum(old for old, _ in rest), sum(new for _, new in rest))]
        names.append(tr("all others"))
    groups = [(name, *pair) for name, pair in zip(names, counts, strict=True)]
    return groups if any(groups[-1][1:]) else groups[:-1]
