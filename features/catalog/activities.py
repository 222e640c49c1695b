"""Features of the activities beside the orders: visits, service tickets, survey scores.

For every `[activities.NAME]` table: how recent, how many, how much, and how this changes. Satisfaction often changes
before spend does. Measures are named 'NAME:...'; no feature has a colon in its name, so names cannot clash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import ibis

from features.catalog.windows import window_ending
from features.config.data_contract import ActivityColumns
from features.engines.window_spec import WindowMeasure, WindowSpec
from features.engines.window_totals import EPOCH
from features.feature import Compute, Feature, count_or_zero, daily_rate, measure_value, money, monthly_rate
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import window_spans
from features.task import Window
from features.templates import phrase


def activity_measures(past: Past, activity: ActivityColumns) -> ibis.Table:
    """Counts, days and sums of the measure, by window; one row for each customer with any activity, and cutoff."""
    rows, name = _rows(past, activity), activity.name
    measures = [
        WindowMeasure(f"{name}:count", lambda r: r.day.notnull(), "count"),
        WindowMeasure(f"{name}:latest", lambda r: r.day, "max"),
        WindowMeasure(f"{name}:first", lambda r: r.day, "min"),
    ]
    if activity.measure:
        measures += [
            WindowMeasure(f"{name}:total", lambda r: r.measure),
            WindowMeasure(f"{name}:valued", lambda r: r.measure.notnull(), "count"),
        ]
    plan = WindowSpec(past.cutoffs, window_spans(past.task.windows), tuple(measures), distinct={f"{name}:days": "day"})
    totals = past.engine.aggregate_windows(rows, plan, f"windows of {name}")
    since_1970 = totals.cutoff.delta(ibis.literal(EPOCH), unit="day")
    ages = {"age": "latest", "since": "first"}
    return totals.mutate(
        **{f"{name}:{age}_ever": (since_1970 - totals[f"{name}:{day}_ever"]).cast("int64") for age, day in ages.items()}
    )


def last_activity_measures(past: Past, activity: ActivityColumns) -> ibis.Table:
    """The last value of the measure by its time; the largest of several at the same moment."""
    rows = _rows(past, activity)
    measured = rows.filter(rows.measure.notnull()).select("customer_id", "day", "seen", "time", "measure")
    last_rows = _latest_row(past.visible(_latest_row(measured, ("customer_id", "day", "seen"))), KEYS)
    return last_rows.select(*KEYS, **{f"{activity.name}:last": last_rows.measure})


def activity_kind_measures(past: Past, activity: ActivityColumns, kind: str) -> ibis.Table:
    """How many values of a kind each customer has, and the share of the most frequent one.

    A value counts in a window if its youngest activity lies in it.

    Args:
        past: The log as known at each cutoff.
        activity: The table of activities.
        kind: The column of the table, such as 'page'.

    Returns:
        One row for each customer and cutoff: the number of values in every window and so far, and the share [0, 1].
    """
    rows = _rows(past, activity)
    known = rows.filter(rows[f"kind_{kind}"].notnull())
    lines = known.group_by("customer_id", "day", "seen", value=known[f"kind_{kind}"]).aggregate(lines=known.count())
    seen, stem = past.visible(lines), f"{activity.name}:{kind}"
    values = seen.group_by(*KEYS, "value").aggregate(
        youngest=past.pane(seen.age.min()), lines=seen.lines.sum().cast("int64")
    )
    inside = {f"{stem}:{w}": (values.youngest <= i).sum().cast("int64") for i, w in enumerate(past.task.windows)}
    return values.group_by(KEYS).aggregate(
        **inside, **{f"{stem}:ever": values.count(), f"{stem}:top": values.lines.max() / values.lines.sum()}
    )


def activity_features(activity: ActivityColumns, windows: Sequence[Window]) -> Iterator[Feature]:
    """Recency, counts, days and trends of an activity, and of its measure if it has one."""
    words = _spaced(activity.name)
    yield Feature(
        f"{activity.name}_recency_days",
        measure_value(f"{activity.name}:age_ever"),
        words,
        phrase("days since the last of the <activity>", activity=words),
        phrase("<activity>: the last {value:days} ago", activity=words),
        "days",
        unread=phrase("no <activity> so far", activity=words),
        actionable=True,
    )
    yield Feature(
        f"{activity.name}_rate_ever",
        monthly_rate(f"{activity.name}:count_ever", f"{activity.name}:since_ever"),
        words,
        phrase("<activity> a month since the first", activity=words),
        phrase("<activity>: {value:number} a month since the first", activity=words),
        "count",
        unread=phrase("no <activity> so far", activity=words),
        actionable=True,
    )
    for w in (*windows, None):
        yield from _count_features(activity, w)
        if activity.measure:
            yield from _level_features(activity, w)
    for short, long in zip(windows[:-1], windows[1:], strict=True):
        yield from _trend_features(activity, short, long)


def last_activity_features(activity: ActivityColumns) -> Iterator[Feature]:
    """The last value of an activity's measure."""
    text = partial(phrase, measure=_spaced(activity.measure), activity=_spaced(activity.name))
    yield Feature(
        f"{activity.name}_last",
        lambda m: money(m[f"{activity.name}:last"]),
        f"{_measure_of(activity)} (level)",
        text("last <measure> of the <activity>"),
        text("last <measure> of the <activity>: {value:number}"),
        "count",
        unread=text("no <measure> of the <activity> known"),
        actionable=True,
    )


def activity_kind_features(activity: ActivityColumns, kind: str, windows: Sequence[Window]) -> Iterator[Feature]:
    """Variety and the most frequent value of a kind of an activity.

    Args:
        activity: The table of activities.
        kind: The column of the table, such as 'page'.
        windows: The windows of the task.

    Yields:
        The number of different values in each window and so far, then the share of the most frequent one.
    """
    words, noun, stem = _spaced(activity.name), _spaced(kind).removesuffix(" id"), f"{activity.name}_{kind}"
    text = partial(phrase, activity=words, kind=noun)
    for w in (*windows, None):
        label, days = window_ending(w), w and w.days
        yield Feature(
            f"{stem}_distinct_{w or 'ever'}",
            count_or_zero(f"{activity.name}:{kind}:{w or 'ever'}"),
            f"{noun} of {words}",
            text(f"different <kinds> of the <activity> {label}", days=days),
            text(f"<activity>: {{value:#different <kind>}} {label}", days=days),
            "count",
            w,
            at_zero=text(f"no <activity> with any <kind> {label}", days=days),
        )
    yield Feature(
        f"{stem}_top_share_ever",
        measure_value(f"{activity.name}:{kind}:top"),
        f"{noun} of {words}",
        text("share of the most frequent <kind> of the <activity>"),
        text("{value:share} of the <activity> have the same <kind>"),
        "share",
        unread=text("no <kind> of <activity> known"),
    )


def _count_features(activity: ActivityColumns, w: Window | None) -> Iterator[Feature]:
    words, label, tail = _spaced(activity.name), window_ending(w), w or "ever"
    text = partial(phrase, activity=words, table=activity.name, days=w and w.days)
    monthly = "[[, usually {<table>_rate_ever:number} a month]]" if w else ""
    for stem, measure, unit, what, how, usually in (
        ("count", "count", "count", "<activity>", "<activity>: {value:count}", monthly),
        ("active_days", "days", "days", "days with <activity>", "<activity> on {value:days}", ""),
    ):
        yield Feature(
            f"{activity.name}_{stem}_{tail}",
            count_or_zero(f"{activity.name}:{measure}_{tail}"),
            words,
            text(f"{what} {label}"),
            text(f"{how} {label}{usually}"),
            unit,
            w,
            at_zero=text(f"no <activity> {label}{usually}"),
            actionable=True,
        )


def _level_features(activity: ActivityColumns, w: Window | None) -> Iterator[Feature]:
    """Sum and mean of the measure in a window, or so far."""
    what, label = _measure_of(activity), window_ending(w)
    text = partial(
        phrase,
        measure=_spaced(activity.measure),
        activity=_spaced(activity.name),
        table=activity.name,
        days=w and w.days,
    )
    usually = "[[, usually {<table>_mean_ever:number}]]" if w else ""
    yield Feature(
        f"{activity.name}_sum_{w or 'ever'}",
        lambda m: money(m[f"{activity.name}:total_{w or 'ever'}"].fill_null(0)),
        f"{what} (sum)",
        text(f"sum of the <measure> of the <activity> {label}"),
        text(f"<measure> of the <activity>: {{value:number}} in all {label}"),
        "count",
        w,
        actionable=True,
    )
    yield Feature(
        f"{activity.name}_mean_{w or 'ever'}",
        _mean_measure(activity, str(w or "ever")),
        f"{what} (level)",
        text(f"average <measure> of the <activity> {label}"),
        text(f"<measure> of the <activity>: {{value:number}} on average {label}{usually}"),
        "count",
        w,
        unread=text(f"no <measure> of the <activity> {label}"),
        actionable=True,
    )


def _trend_features(activity: ActivityColumns, short: Window, long: Window) -> Iterator[Feature]:
    """The pace and the mean of the measure in a short window, compared with the next longer one."""
    name, words, days = activity.name, _spaced(activity.name), {"days": short.days, "long": long.days}
    text = partial(phrase, activity=words, measure=_spaced(activity.measure), table=name)
    yield Feature(
        f"{name}_trend_{short}_{long}",
        lambda m: daily_rate(m, f"{name}:count", short) / daily_rate(m, f"{name}:count", long).nullif(0),
        f"{words} trend",
        text("pace of the <activity> in the last <days> days against the last <long>", **days),
        text(
            "<activity> {value:more often than before|less often than before|as often as before|?1}: "
            "{<table>_count_<days>d:count} in the last <days> days, {<table>_count_<long>d:count} in the last <long>",
            **days,
        ),
        "ratio",
        long,
        unread=text("no <activity> in the last <days> days", days=long.days),
        at_zero=text("no <activity> in the last <days> days", days=short.days),
        actionable=True,
    )
    if activity.measure:
        yield Feature(
            f"{name}_mean_change_{short}_{long}",
            lambda m: _mean_measure(activity, str(short))(m) - _mean_measure(activity, str(long))(m),
            f"{words} trend",
            text("average <measure> of the <activity> in the last <days> days less that of the last <long>", **days),
            text(
                "<measure> of the <activity>: {<table>_mean_<days>d:number} on average in the last <days> days, "
                "{<table>_mean_<long>d:number} in the last <long>",
                **days,
            ),
            "count",
            long,
            unread=text("no <measure> of the <activity> in the last <days> days", days=short.days),
            at_zero=text("<measure> of the <activity> as usual in the last <long> days", long=long.days),
            actionable=True,
        )


def _mean_measure(activity: ActivityColumns, tail: str) -> Compute:
    return lambda m: money(m[f"{activity.name}:total_{tail}"]) / m[f"{activity.name}:valued_{tail}"].nullif(0)


def _rows(past: Past, activity: ActivityColumns) -> ibis.Table:
    return past.tables.sides[f"activities.{activity.name}"].rows


def _latest_row(rows: ibis.Table, group: Sequence[str]) -> ibis.Table:
    """The row of each group with the largest time, and among those with the largest measure."""
    order = ibis.window(group_by=list(group), order_by=[rows.time.desc(), rows.measure.desc()])
    placed = rows.mutate(place=ibis.row_number().over(order))
    return placed.filter(placed.place == 0).drop("place")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _measure_of(activity: ActivityColumns) -> str:
    return f"{_spaced(activity.measure)} of the {_spaced(activity.name)}"
