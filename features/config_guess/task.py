"""Guesses [task]: how far ahead to predict, from how often customers come back or how long contracts last."""

from __future__ import annotations

from features.config_guess.wording import SectionDraft, Translate
from features.engines.base import Engine
from features.intake.tables import Tables
from features.task import UTC_ZONE

# By the median gap between purchases, up to so many days: horizon, active_within, every, windows.
TASKS_BY_GAP = (
    (2, "7d", "28d", "7d", (7, 28, 90, 180)),
    (12, "28d", "90d", "28d", (28, 84, 168, 364)),
    (90, "90d", "365d", "30d", (30, 90, 180, 365)),
    (180, "180d", "365d", "30d", (30, 90, 180, 365)),
    (10**6, "365d", "730d", "30d", (90, 180, 365, 730)),
)
# By the median length of contracts that ended: horizon, every, windows.
TASKS_BY_TERM = (
    (120, "28d", "28d", (28, 84, 168)),
    (400, "90d", "30d", (30, 90, 180, 365)),
    (10**6, "365d", "91d", (90, 180, 365)),
)
DEFAULT_TASK = TASKS_BY_GAP[2]


def guess_task(tables: Tables, engine: Engine, tr: Translate) -> list[str]:
    """The lines of [task], from how often customers come back.

    Args:
        tables: The log.
        engine: Where it is.
        tr: Translates the comments.

    Returns:
        The lines.
    """
    purchase_days = tables.events.select("customer_id", "day").distinct()
    previous = purchase_days.day.lag().over(group_by=purchase_days.customer_id, order_by=purchase_days.day)
    gaps = purchase_days.mutate(gap=purchase_days.day.delta(previous, unit="day"))
    gap = engine.to_arrow(gaps.aggregate(gap=gaps.gap.median()))["gap"][0].as_py()
    span = (tables.end - tables.first).days
    candidates = [pace for pace in TASKS_BY_GAP if int(pace[1][:-1]) * 3 <= span] or list(TASKS_BY_GAP[:1])
    _, horizon, active, every, windows = next((p for p in candidates if (gap or 60) <= p[0]), candidates[-1])
    why = (
        tr("customers come back after {days} days (median)", days=f"{gap:.0f}")
        if gap
        else tr("nobody came back, so this is only a guess")
    )
    usable = [w for w in windows if w < max(span, windows[0] + 1)]
    how_far = tr("{why} and the log spans {days} days; how far ahead do you plan?", why=why, days=span)
    return [*task_lines(horizon, how_far, active, every, usable, tr), *_zone_lines(tables.contract.has_clock, tr)]


def task_lines(horizon: str, why: str, active: str, every: str, windows: list[int], tr: Translate) -> list[str]:
    """The lines of [task] for customers who may be inactive.

    Args:
        horizon: How far ahead to predict.
        why: The reason for it.
        active: For how long somebody without a purchase still counts as a customer.
        every: The time between cutoffs.
        windows: Days of the features' windows.
        tr: Translates the comments.

    Returns:
        The lines.
    """
    draft = SectionDraft(tr)
    draft.add("horizon", horizon, why)
    draft.add("churn", "inactive", tr("no purchase within the horizon"))
    draft.add("active_within", active, tr("customers without a purchase for longer are not predicted"))
    _add_cutoffs(draft, every, windows)
    return draft.lines


def default_task_lines(tr: Translate) -> list[str]:
    """The lines of [task] where the log does not tell."""
    _, horizon, active, every, windows = DEFAULT_TASK
    return task_lines(horizon, tr("how far ahead do you plan?"), active, every, list(windows), tr)


def contract_task_lines(length: float | None, span: int, has_clock: bool, tr: Translate) -> list[str]:
    """The lines of [task] for contracts.

    Args:
        length: The median days of contracts that ended; None: none ended.
        span: The days that the table spans.
        has_clock: Whether its times have hours.
        tr: Translates the comments.

    Returns:
        The lines.
    """
    candidates = [task for task in TASKS_BY_TERM if int(task[1][:-1]) * 3 <= span] or list(TASKS_BY_TERM[:1])
    _, horizon, every, windows = next((task for task in candidates if (length or 365) <= task[0]), candidates[-1])
    why = (
        tr("contracts that ended lasted {days} days (median)", days=f"{length:.0f}")
        if length
        else tr("no contract ended, so this is only a guess")
    )
    usable = [w for w in windows if w < max(span, windows[0] + 1)]
    draft = SectionDraft(tr)
    draft.add("churn", "cancelled", tr("a contract ends within the horizon"))
    draft.add("horizon", horizon, tr("{why}; how far ahead do you plan?", why=why))
    _add_cutoffs(draft, every, usable)
    return [*draft.lines, *_zone_lines(has_clock, tr)]


def _zone_lines(has_clock: bool, tr: Translate) -> list[str]:
    """The question where days begin; none if the log has days only."""
    draft = SectionDraft(tr)
    if has_clock:
        question = tr('in which time zone is the business? Its days begin there, such as "Europe/London"')
        draft.ask("timezone", question, UTC_ZONE)
    return draft.lines


def _add_cutoffs(draft: SectionDraft, every: str, windows: list[int]) -> None:
    """Adds the spacing of cutoffs, and the windows."""
    tr = draft.tr
    why = tr("spacing of the cutoffs to learn from; a smaller one gives more of them, but more alike")
    draft.add("every", every, why)
    draft.add("windows", [f"{days}d" for days in windows], tr("short to long, none longer than the log"))
