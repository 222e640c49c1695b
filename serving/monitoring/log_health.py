"""Health checks of a log: volume, delay, gaps, duplicates and new values against the log's own history.

The usual range of a count comes from how well earlier counts were predicted. A count is predicted by the median of the
eight counts before it (of the same weekday, or of the weeks before), and the logarithm of actual over predicted is
compared with the same log ratios of earlier counts, by their median and median absolute deviation. This is robust: a
broken day in the past hardly widens the range. A growing log has ratios above 1 throughout, so steady growth is usual.
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

BASE_COUNTS = 8  # earlier counts that predict a count
ERROR_COUNTS, MIN_COUNTS = 26, 4  # earlier predictions that show the usual error; fewest counts needed
YEAR = {1: 52, WEEK: 364}  # positions back to the same season, by stride
MIN_SCATTER = 0.05  # least scatter of a log ratio
DEFAULT_SCATTER = 0.25  # its scatter where there are too few earlier predictions
MAD = 1.4826  # times the median absolute deviation is the standard deviation of a normal distribution
# Rows set aside because the config says so, and rows without any content.
CONFIGURED_REASONS = ("on or after until", "repeated event id", "empty row", "total")
MIN_ROWS_KEPT = 0.9  # of the previous rows: a log with fewer has lost some
MAX_REPEATED = 0.49  # share of rows: a log delivered twice repeats half of its rows in every week
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
    "new_rows": N_("events since the previous cutoff"),
}


@dataclass(frozen=True)
class LogCheck:
    """The result of one check of the log.

    Attributes:
        name: The kind of check, with the column or table after a colon where needed, such as 'missing:channel'.
        phrase: What was measured, in words.
        value: The measured count or share.
        low: Lower end of the usual range; None if unknown or unlimited.
        high: Upper end of the usual range; None if unknown or unlimited.
        ok: Whether the value is usual, or the usual range is not known yet.
        note: A remark in words; mostly empty.
        share: Whether the value is a share rather than a count.
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
        """The check as in monitor.json."""
        fields = {name: getattr(self, name) for name in ("name", "phrase", "value", "low", "high", "note", "share")}
        return {**fields, "ok": bool(self.ok)}


def check_log_health(
    vitals: LogProfile, rules: MonitorConfig, before: Mapping[str, Any] | None, tr: Language
) -> list[LogCheck]:
    """Runs all checks of the log.

    Args:
        vitals: Profile of the log at the cutoff.
        rules: The [monitor] section with its thresholds.
        before: The `health_record` of the previous cutoff; None on the first night.
        tr: The language of the phrases.

    Returns:
        The results.
    """
    return [
        *_volume_checks(vitals, rules, tr),
        *_share_checks(vitals, rules, tr),
        *_growth_checks(vitals, rules, before, tr),
    ]


def health_record(vitals: LogProfile) -> dict[str, Any]:
    """What is stored for comparison at the next cutoff."""
    return {
        "rows_read": vitals.rows_read,
        "set_aside": dict(vitals.set_aside),
        "dropped": vitals.dropped,
        "fingerprint": vitals.fingerprint,
    }


def usual_range(counts: np.ndarray, stride: int, deviations: float) -> tuple[float, float] | None:
    """Computes the usual range of the newest count.

    Args:
        counts: Counts, newest first; the first is the one to check.
        stride: Distance between comparable counts: 7 for days, as weekdays differ; 1 for weeks.
        deviations: How many robust standard deviations are usual.

    Returns:
        Lowest and highest usual count; None if the history is too short.

    >>> weekly = np.array([10.0, 100, 104, 98, 101, 99, 103, 97, 100, 102, 98, 101, 100, 99])
    >>> [round(bound) for bound in usual_range(weekly, 1, 4.0)]
    [63, 149]
    """
    expected = _expected_count(counts, 0, stride)
    if expected is None:
        return None
    errors = np.array(
        [e for t in range(1, ERROR_COUNTS * stride + 1) if (e := _log_ratio(counts, t, stride)) is not None]
    )
    centre = float(np.median(errors)) if len(errors) else 0.0
    scatter = MAD * float(np.median(np.abs(errors - centre))) if len(errors) >= MIN_COUNTS * stride else DEFAULT_SCATTER
    scale = deviations * max(scatter, MIN_SCATTER, 1 / np.sqrt(expected + 1))
    levels = [expected * np.exp(centre), expected * seasonal_ratio(counts, stride)]
    tail = norm.sf(deviations)
    low = min(min(level * np.exp(-scale), poisson.ppf(tail, level)) for level in levels)
    high = max(max(level * np.exp(scale), poisson.isf(tail, max(level, 1.0))) for level in levels)
    return max(float(low), 0.0), float(high)


def seasonal_ratio(counts: np.ndarray, stride: int) -> float:
    """The count of a year ago over its prediction from the counts before it; 1 if the history is too short."""
    error = _log_ratio(counts, YEAR[stride], stride)
    return 1.0 if error is None else float(np.exp(error))


def usual_share_range(weekly: WeeklyCounts, least: float, deviations: float) -> tuple[float, float] | None:
    """Computes the usual range of the newest week's share.

    Args:
        weekly: Counts by week, newest first.
        least: Smaller changes do not matter.
        deviations: How many robust standard deviations are usual.

    Returns:
        Lowest and highest usual share; None if there are too few weeks.
    """
    shares = weekly.shares[1:]
    finite = shares[np.isfinite(shares)]
    if len(finite) < MIN_COUNTS:
        return None
    middle = float(np.median(finite))
    n = max(float(weekly.rows[0]), 1.0)
    chance = np.sqrt((middle + 1 / n) * (1 - middle) / n)
    tolerance = max(deviations * max(MAD * float(np.median(np.abs(finite - middle))), chance), least)
    return max(middle - tolerance, 0.0), min(middle + tolerance, 1.0)


def _expected_count(counts: np.ndarray, place: int, stride: int) -> float | None:
    before = counts[place + stride : place + stride * BASE_COUNTS + 1 : stride]
    return float(np.median(before)) if len(before) >= MIN_COUNTS else None


def _log_ratio(counts: np.ndarray, place: int, stride: int) -> float | None:
    """The logarithm of a count over its prediction from the counts before it; None if these are too few."""
    base = _expected_count(counts, place, stride)
    return None if base is None else float(np.log((counts[place] + 0.5) / (base + 0.5)))


def weekly_totals(days: np.ndarray) -> np.ndarray:
    """Totals (w,) of complete weeks from days (d,), newest first.

    >>> weekly_totals(np.arange(15.0)).tolist()
    [21.0, 70.0]
    """
    return np.asarray(days[: len(days) // WEEK * WEEK].reshape(-1, WEEK).sum(axis=1))


def _volume_checks(vitals: LogProfile, rules: MonitorConfig, tr: Language) -> Iterator[LogCheck]:
    days = vitals.days["events"]
    yield _silence_check(days, tr)
    yield _count_check("events_day", "events_day", days, WEEK, rules, tr)
    yield _count_check("events_week", "events_week", weekly_totals(days), 1, rules, tr)
    for name in (name for name in vitals.days if name != "events"):
        table = name.removeprefix("activities.")
        yield _count_check(
            f"activities_week:{table}", "activities_week", weekly_totals(vitals.days[name]), 1, rules, tr, table=table
        )


def _count_check(
    name: str, phrase: str, counts: np.ndarray, stride: int, rules: MonitorConfig, tr: Language, **slots: str
) -> LogCheck:
    value = float(counts[0]) if len(counts) else 0.0
    text = _phrase_text(phrase, tr, **slots)
    span = usual_range(counts, stride, rules.deviations) if len(counts) else None
    if span is None:
        return LogCheck(name, text, value, None, None, True, tr("too little history yet to know the usual range"))
    ratio = seasonal_ratio(counts, stride)
    note = tr("a year ago, this season had {ratio} times the count of the weeks before it", ratio=f"{ratio:.2f}")
    known = len(counts) > YEAR[stride] + MIN_COUNTS * stride
    return LogCheck(name, text, value, *span, span[0] <= value <= span[1], note if known else "")


def _silence_check(days: np.ndarray, tr: Language) -> LogCheck:
    """Checks the days without an event before the cutoff against the longest such gap in the half year before."""
    phrase = _phrase_text("silent_days", tr)
    busy = np.flatnonzero(days > 0)
    if len(busy) < 2 * WEEK:
        note = tr("too little history yet to know the usual range")
        return LogCheck(
            "silent_days", phrase, float(busy[0]) if len(busy) else float(len(days)), None, None, True, note
        )
    gaps = np.diff(busy[busy <= busy[0] + ERROR_COUNTS * WEEK]) - 1
    longest = float(gaps.max()) if len(gaps) else 0.0
    return LogCheck("silent_days", phrase, float(busy[0]), 0.0, longest, bool(busy[0] <= longest))


def _share_checks(vitals: LogProfile, rules: MonitorConfig, tr: Language) -> Iterator[LogCheck]:
    if vitals.late is not None:
        yield _share_check("late_share", "late_share", vitals.late, rules.missing, rules, tr)
    for column, weekly in vitals.missing.items():
        yield _share_check(f"missing:{column}", "missing", weekly, rules.missing, rules, tr, column=column)
    for kind, weekly in vitals.new.items():
        yield _share_check(f"new_values:{kind}", "new_values", weekly, rules.new_levels, rules, tr, column=kind)
    yield _share_check("repeated", "repeated", vitals.repeated, rules.duplicates, rules, tr)


def _share_check(
    name: str, phrase: str, weekly: WeeklyCounts, least: float, rules: MonitorConfig, tr: Language, **slots: str
) -> LogCheck:
    text = _phrase_text(phrase, tr, **slots)
    value = float(weekly.shares[0]) if len(weekly.rows) and weekly.rows[0] else 0.0
    span = usual_share_range(weekly, least, rules.deviations)
    if span is None:
        return LogCheck(name, text, value, None, None, True, tr("too little history yet to know the usual range"), True)
    low = span[0] if phrase in ("missing", "late_share") else 0.0
    most = MAX_REPEATED if phrase == "repeated" else 1.0
    high = min(span[1], most)
    empty = not weekly.rows[0]  # a week without rows is reported by its count
    return LogCheck(name, text, value, low, high, bool(empty or low <= value <= high), "", True)


def _growth_checks(
    vitals: LogProfile, rules: MonitorConfig, before: Mapping[str, Any] | None, tr: Language
) -> Iterator[LogCheck]:
    """Checks what was added to the log since the previous cutoff."""
    aside, read = _unintended_rows(vitals.set_aside), vitals.rows_read
    if before is None:
        share = aside / read if read else 0.0
        note = tr("first monitored cutoff: all rows count as new")
        yield LogCheck(
            "set_aside",
            _phrase_text("set_aside", tr),
            share,
            0.0,
            rules.set_aside,
            share <= rules.set_aside,
            note,
            True,
        )
        return
    new, usually = read - before["rows_read"], _unintended_rows(before["set_aside"]) / max(before["rows_read"], 1)
    share = (aside - _unintended_rows(before["set_aside"])) / new if new > 0 else aside / max(read, 1)
    high = usually + rules.set_aside
    yield LogCheck("set_aside", _phrase_text("set_aside", tr), max(share, 0.0), 0.0, high, share <= high, "", True)
    least = MIN_ROWS_KEPT * before["rows_read"]
    yield LogCheck("rows_read", _phrase_text("rows_read", tr), float(read), least, None, read >= least)
    new_events = float(vitals.days["events"][: before["days"]].sum())
    same = vitals.fingerprint == before["fingerprint"] and not new_events
    note = tr("the log is the same as at the previous cutoff: the same file was delivered again") if same else ""
    yield LogCheck("new_rows", _phrase_text("new_rows", tr), new_events, 0.0, None, not same, note)


def _phrase_text(phrase: str, tr: Language, **slots: str) -> str:
    return tr(PHRASES[phrase], **slots)


def _unintended_rows(reasons: Mapping[str, int]) -> int:
    return sum(rows for reason, rows in reasons.items() if reason not in CONFIGURED_REASONS)
