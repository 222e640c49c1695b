"""Whether a log is as usual: volume, delay, gaps, repeats and new values against the log's own history.

What is usual of a count comes from how well the weeks before foretold each earlier one: a count is compared with the
median of the eight counts of the same weekday, or of the eight weeks, before it, and the log of that ratio with the
logs that earlier counts had, by median and median absolute deviation (robust: a broken day in the past widens little).
A log that grows has ratios above 1 all along, and so grows on as usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, poisson

from features.audit.log_profile import WEEK, LogProfile, WeeklyCounts
from features.config.monitor import MonitorConfig
from serving.language.messages import N_, Language

BASE_COUNTS, ERROR_COUNTS, MIN_COUNTS = (
    8,
    26,
    4,
)  # counts before one, and how many earlier ones tell how well these foretell it
YEAR = {1: 52, WEEK: 364}  # places back to the same season, by the stride of a history
MIN_SCATTER, DEFAULT_SCATTER = (
    0.05,
    0.25,
)  # least scatter of a log ratio, and the one where too few earlier ones tell it
MAD = 1.4826  # of a median absolute deviation: the standard deviation of a normal
CONFIGURED_REASONS = ("on or after until", "repeated event id")  # rows that the config itself sets aside
MIN_ROWS_KEPT = 0.9  # of the rows before: a log with fewer lost some
MAX_REPEATED = 0.49  # of rows: a log delivered twice repeats half of its rows, in every week
PHRASES = {
    "events_day": N_("events on the last day"),
    "events_week": N_("events in the last 7 days"),
    "activities_week": N_("rows of {table} in the last 7 days"),
    "silent_days": N_("days without any event before the cutoff"),
    "late_share": N_("rows of the last 7 days that became known late"),
    "missing": N_("rows of the last 7 days without {column}"),
    "new_values": N_("rows of the last 7 days with a value of {column} never seen before"),
    "repeated": N_("rows of the last 7 days that repeat another"),
    "set_aside": N_("new rows that were set aside"),
    "rows_read": N_("rows of the log"),
    "new_rows": N_("events since the cutoff before"),
}


@dataclass(frozen=True)
class LogCheck:
    """One thing looked at.

    Attributes:
        name: Its sort, and with a colon the column or table, such as 'missing:channel'.
        phrase: What it is, in words.
        share: Whether the value is a share rather than a count.
        low, high: What is usual; None where that is not known yet, or not limited.
        ok: Whether the value is usual, or cannot be told yet.
        note: What is to be said of it, in words; empty for most.
    """

    name: str
    phrase: str
    value: float
    low: float | None
    high: float | None
    ok: bool
    note: str = ""
    share: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As monitor.json has it."""
        said = {name: getattr(self, name) for name in ("name", "phrase", "value", "low", "high", "note", "share")}
        return {**said, "ok": bool(self.ok)}


def check_log_health(
    vitals: LogProfile, rules: MonitorConfig, before: Mapping[str, Any] | None, tr: Language
) -> list[LogCheck]:
    """Everything that is looked at.

    Args:
        vitals: Of the log at the cutoff.
        rules: What matters.
        before: What `record` kept at the cutoff before; None on the first night.
        tr: The language.
    """
    return [*_volumes(vitals, rules, tr), *_shares(vitals, rules, tr), *_since(vitals, rules, before, tr)]


def health_record(vitals: LogProfile) -> dict[str, Any]:
    """What the next cutoff compares with."""
    return {
        "rows_read": vitals.rows_read,
        "set_aside": dict(vitals.set_aside),
        "dropped": vitals.dropped,
        "fingerprint": vitals.fingerprint,
    }


def usual_range(counts: np.ndarray, stride: int, deviations: float) -> tuple[float, float] | None:
    """The range in which the newest of some counts is usual; None where the history is too short.

    Args:
        counts: Newest first; the first is the one that is judged.
        stride: From one of them to the next of the same sort: 7 for days, which differ by weekday.
        deviations: How many robust standard deviations are usual.

    >>> weekly = np.array([10.0, 100, 104, 98, 101, 99, 103, 97, 100, 102, 98, 101, 100, 99])
    >>> [round(bound) for bound in usual(weekly, 1, 4.0)]
    [63, 149]
    """
    expected = _base(counts, 0, stride)
    if expected is None:
        return None
    errors = np.array([e for t in range(1, ERROR_COUNTS * stride + 1) if (e := _error(counts, t, stride)) is not None])
    centre = float(np.median(errors)) if len(errors) else 0.0
    scatter = MAD * float(np.median(np.abs(errors - centre))) if len(errors) >= MIN_COUNTS * stride else DEFAULT_SCATTER
    scale = deviations * max(scatter, MIN_SCATTER, 1 / np.sqrt(expected + 1))
    levels = [expected * np.exp(centre), expected * seasonal_ratio(counts, stride)]
    tail = norm.sf(deviations)
    low = min(min(level * np.exp(-scale), poisson.ppf(tail, level)) for level in levels)
    high = max(max(level * np.exp(scale), poisson.isf(tail, max(level, 1.0))) for level in levels)
    return max(float(low), 0.0), float(high)


def seasonal_ratio(counts: np.ndarray, stride: int) -> float:
    """What the same place a year ago was, as a multiple of those before it; 1 where the history is too short."""
    error = _error(counts, YEAR[stride], stride)
    return 1.0 if error is None else float(np.exp(error))


def usual_share_range(weekly: WeeklyCounts, least: float, deviations: float) -> tuple[float, float] | None:
    """The range in which the newest week's share is usual; None where there are too few weeks.

    Args:
        weekly: Newest first.
        least: Smaller changes do not matter.
        deviations: How many robust standard deviations are usual.
    """
    shares = weekly.shares[1:]
    told = shares[np.isfinite(shares)]
    if len(told) < MIN_COUNTS:
        return None
    middle = float(np.median(told))
    n = max(float(weekly.rows[0]), 1.0)
    chance = np.sqrt((middle + 1 / n) * (1 - middle) / n)
    room = max(deviations * max(MAD * float(np.median(np.abs(told - middle))), chance), least)
    return max(middle - room, 0.0), min(middle + room, 1.0)


def _base(counts: np.ndarray, place: int, stride: int) -> float | None:
    before = counts[place + stride : place + stride * BASE_COUNTS + 1 : stride]
    return float(np.median(before)) if len(before) >= MIN_COUNTS else None


def _error(counts: np.ndarray, place: int, stride: int) -> float | None:
    """The log of a count over what the ones before it foretold; None where there are not enough of these."""
    base = _base(counts, place, stride)
    return None if base is None else float(np.log((counts[place] + 0.5) / (base + 0.5)))


def weekly_totals(days: np.ndarray) -> np.ndarray:
    """Whole weeks (w,) of days (d,), newest first.

    >>> weeks(np.arange(15.0)).tolist()
    [21.0, 70.0]
    """
    return np.asarray(days[: len(days) // WEEK * WEEK].reshape(-1, WEEK).sum(axis=1))


def _volumes(vitals: LogProfile, rules: MonitorConfig, tr: Language) -> Iterator[LogCheck]:
    days = vitals.days["events"]
    yield _silent(days, tr)
    yield _count("events_day", "events_day", days, WEEK, rules, tr)
    yield _count("events_week", "events_week", weekly_totals(days), 1, rules, tr)
    for name in (name for name in vitals.days if name != "events"):
        table = name.removeprefix("activities.")
        yield _count(
            f"activities_week:{table}", "activities_week", weekly_totals(vitals.days[name]), 1, rules, tr, table=table
        )


def _count(
    name: str, phrase: str, counts: np.ndarray, stride: int, rules: MonitorConfig, tr: Language, **slots: str
) -> LogCheck:
    value = float(counts[0]) if len(counts) else 0.0
    said = _said(phrase, tr, **slots)
    span = usual_range(counts, stride, rules.deviations) if len(counts) else None
    if span is None:
        return LogCheck(name, said, value, None, None, True, tr("too little history yet to say what is usual"))
    ratio = seasonal_ratio(counts, stride)
    note = tr("a year ago the same season had {ratio} times the weeks before it", ratio=f"{ratio:.2f}")
    known = len(counts) > YEAR[stride] + MIN_COUNTS * stride
    return LogCheck(name, said, value, *span, span[0] <= value <= span[1], note if known else "")


def _silent(days: np.ndarray, tr: Language) -> LogCheck:
    """Days without an event up to the cutoff, against the longest such run within half a year before."""
    phrase = _said("silent_days", tr)
    busy = np.flatnonzero(days > 0)
    if len(busy) < 2 * WEEK:
        note = tr("too little history yet to say what is usual")
        return LogCheck(
            "silent_days", phrase, float(busy[0]) if len(busy) else float(len(days)), None, None, True, note
        )
    gaps = np.diff(busy[busy <= busy[0] + ERROR_COUNTS * WEEK]) - 1
    longest = float(gaps.max()) if len(gaps) else 0.0
    return LogCheck("silent_days", phrase, float(busy[0]), 0.0, longest, bool(busy[0] <= longest))


def _shares(vitals: LogProfile, rules: MonitorConfig, tr: Language) -> Iterator[LogCheck]:
    if vitals.late is not None:
        yield _share("late_share", "late_share", vitals.late, rules.missing, rules, tr)
    for column, weekly in vitals.missing.items():
        yield _share(f"missing:{column}", "missing", weekly, rules.missing, rules, tr, column=column)
    for kind, weekly in vitals.new.items():
        yield _share(f"new_values:{kind}", "new_values", weekly, rules.new_levels, rules, tr, column=kind)
    yield _share("repeated", "repeated", vitals.repeated, rules.duplicates, rules, tr)


def _share(
    name: str, phrase: str, weekly: WeeklyCounts, least: float, rules: MonitorConfig, tr: Language, **slots: str
) -> LogCheck:
    said = _said(phrase, tr, **slots)
    value = float(weekly.shares[0]) if len(weekly.rows) and weekly.rows[0] else 0.0
    span = usual_share_range(weekly, least, rules.deviations)
    if span is None:
        return LogCheck(name, said, value, None, None, True, tr("too little history yet to say what is usual"), True)
    low = span[0] if phrase in ("missing", "late_share") else 0.0
    most = MAX_REPEATED if phrase == "repeated" else 1.0
    high = min(span[1], most)
    empty = not weekly.rows[0]  # a week without rows is told by their number
    return LogCheck(name, said, value, low, high, bool(empty or low <= value <= high), "", True)


def _since(
    vitals: LogProfile, rules: MonitorConfig, before: Mapping[str, Any] | None, tr: Language
) -> Iterator[LogCheck]:
    """What came since the cutoff before."""
    aside, read = _aside(vitals.set_aside), vitals.rows_read
    if before is None:
        share = aside / read if read else 0.0
        note = tr("the first cutoff that is monitored: all rows count as new")
        yield LogCheck(
            "set_aside", _said("set_aside", tr), share, 0.0, rules.set_aside, share <= rules.set_aside, note, True
        )
        return
    new, usually = read - before["rows_read"], _aside(before["set_aside"]) / max(before["rows_read"], 1)
    share = (aside - _aside(before["set_aside"])) / new if new > 0 else aside / max(read, 1)
    high = usually + rules.set_aside
    yield LogCheck("set_aside", _said("set_aside", tr), max(share, 0.0), 0.0, high, share <= high, "", True)
    least = MIN_ROWS_KEPT * before["rows_read"]
    yield LogCheck("rows_read", _said("rows_read", tr), float(read), least, None, read >= least)
    came = float(vitals.days["events"][: before["days"]].sum())
    same = vitals.fingerprint == before["fingerprint"] and not came
    note = tr("the log is the one of the cutoff before: the same file was delivered again") if same else ""
    yield LogCheck("new_rows", _said("new_rows", tr), came, 0.0, None, not same, note)


def _said(phrase: str, tr: Language, **slots: str) -> str:
    return tr(PHRASES[phrase], **slots)


def _aside(reasons: Mapping[str, int]) -> int:
    return sum(rows for reason, rows in reasons.items() if reason not in CONFIGURED_REASONS)
