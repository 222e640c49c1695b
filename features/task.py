"""The prediction task: who counts as a customer, what is predicted and when; and the arithmetic of cutoffs.

Every interval is half-open. A cutoff is a date and means the start of that day in the business's time zone, so each day
is either before the cutoff or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal

Interval = tuple[date, date]
UTC_ZONE = "UTC"
RETURN_LABELS = ("return_days", "return_orders")  # days to the first purchase, and purchases within the horizon


@dataclass(frozen=True, order=True)
class Window:
    """A length of time in whole days.

    >>> Window.parse("90d"), str(Window.parse("4w"))
    (Window(days=90), '28d')
    """

    days: int

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError(f"a duration is one day or more, found {self.days} days")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Parse '90d' (days) or '12w' (weeks); raises ValueError for any other text."""
        match = re.fullmatch(r"\s*(\d{1,5})\s*([dw])\s*", text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"a duration is a number of days or weeks such as '90d' or '12w', found {text!r}")
        return cls(int(match[1]) * (7 if match[2] == "w" else 1))

    @property
    def delta(self) -> timedelta:
        """The window as a timedelta."""
        return timedelta(days=self.days)

    def before(self, cutoff: date) -> Interval:
        """Return the interval that a feature over this window uses: [cutoff - window, cutoff).

        >>> Window(7).before(date(2024, 3, 8))
        (datetime.date(2024, 3, 1), datetime.date(2024, 3, 8))
        """
        return cutoff - self.delta, cutoff

    def after(self, cutoff: date) -> Interval:
        """Return the interval that a label over this horizon uses: [cutoff, cutoff + window)."""
        return cutoff, cutoff + self.delta

    def __str__(self) -> str:
        return f"{self.days}d"


@dataclass(frozen=True)
class Cohort:
    """Who counts as a customer at a cutoff: those with a purchase in [cutoff - active_within, cutoff).

    If churn is 'cancelled', these are the customers with a running term instead.
    """

    active_within: Window

    def holds(self, recency: Any) -> Any:
        """Whether the cohort holds customers by the days since their last purchase: a number or an expression."""
        return recency <= self.active_within.days


@dataclass(frozen=True)
class LapsedCohort(Cohort):
    """Former customers at a cutoff: the last purchase lies in [cutoff - active_within, cutoff - silent_for).

    >>> lapsed = LapsedCohort(Window(1095), silent_for=Window(365))
    >>> [lapsed.holds(days) for days in (365, 366, 1095, 1096)]
    [False, True, True, False]
    """

    silent_for: Window

    def holds(self, recency: Any) -> Any:
        """Whether the cohort holds customers by the days since their last purchase: a number or an expression."""
        return (recency > self.silent_for.days) & super().holds(recency)


@dataclass(frozen=True)
class Task:
    """What is predicted, for whom, and from which windows of the past.

    Attributes:
        horizon: The label uses events in [cutoff, cutoff + horizon).
        cohort: The customers to predict.
        every: The time between training cutoffs.
        windows: The windows of features, ascending.
        churn: 'inactive': no purchase within the horizon; 'cancelled': the contract ends by cancellation within it.
        value_horizons: Longer horizons for which value is predicted as well, ascending.
        timezone: The zone in which days begin.
    """

    horizon: Window
    cohort: Cohort
    every: Window
    windows: tuple[Window, ...]
    churn: Literal["inactive", "cancelled"] = "inactive"
    value_horizons: tuple[Window, ...] = ()
    timezone: str = UTC_ZONE

    def __post_init__(self) -> None:
        if not self.windows or list(self.windows) != sorted(set(self.windows)):
            raise ValueError(
                f"windows must be distinct and ascending, found {', '.join(map(str, self.windows)) or 'none'}"
            )
        if list(self.value_horizons) != sorted({w for w in self.value_horizons if w > self.horizon}):
            raise ValueError(
                f"value_horizons must be distinct, ascending and longer than the horizon {self.horizon}, for which "
                f"value is always predicted; found {', '.join(map(str, self.value_horizons))}"
            )

    def lapsed_until(self, limit: Window) -> Task:
        """Return the task of former customers: those silent for longer than `active_within`, up to a limit.

        The limit is the longest window, so that the past of somebody who is silent for long is seen as well.
        """
        windows = tuple(sorted({limit, *(w for w in self.windows if w < limit)}))
        cohort = LapsedCohort(limit, self.cohort.active_within)
        return replace(self, cohort=cohort, windows=windows, value_horizons=())

    @property
    def purchase_windows(self) -> tuple[Window, ...]:
        """The windows in which a customer of the cohort can have a purchase."""
        if not isinstance(self.cohort, LapsedCohort):
            return self.windows
        return tuple(w for w in self.windows if w > self.cohort.silent_for)

    @property
    def contractual(self) -> bool:
        """Whether churn means the end of a contract, and not inactivity."""
        return self.churn == "cancelled"

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the labels, in order."""
        return ("churned", "value", *self.longer, *RETURN_LABELS)

    @property
    def longer(self) -> dict[str, Window]:
        """The longer horizons by the column of their value.

        >>> Task(Window(90), Cohort(Window(365)), Window(30), (Window(30),), value_horizons=(Window(180),)).longer
        {'value_180d': Window(days=180)}
        """
        return {f"value_{horizon}": horizon for horizon in self.value_horizons}

    def value_labels(self, spans: Sequence[Window] = ()) -> dict[str, Window]:
        """The horizons of value labels beyond the task's own, ascending, by column.

        Args:
            spans: Further horizons, over which forecasts are compared with what came; those that are not longer than
                the horizon are left out.

        Returns:
            Those of `longer`, and the spans.

        >>> task = Task(Window(90), Cohort(Window(365)), Window(30), (Window(30),), value_horizons=(Window(180),))
        >>> list(task.value_labels([Window(365), Window(90)]))
        ['value_180d', 'value_365d']
        """
        wanted = {*self.value_horizons, *(span for span in spans if span > self.horizon)}
        return {f"value_{horizon}": horizon for horizon in sorted(wanted)}

    def is_mature(self, cutoff: date, end: date) -> bool:
        """Return whether the label of `cutoff` is known by `end`, the first day without data.

        >>> task = Task(Window(90), Cohort(Window(365)), Window(30), (Window(30),))
        >>> task.is_mature(date(2024, 1, 1), end=date(2024, 3, 31)), task.is_mature(date(2024, 1, 2), date(2024, 3, 31))
        (True, False)
        """
        return cutoff + self.horizon.delta <= end

    def mature_cutoffs(self, first: date, end: date) -> list[date]:
        """Return all mature cutoffs with some history, ascending, `every` apart, the last one as late as possible.

        Args:
            first: The day of the first event.
            end: The first day without data.

        Returns:
            Cutoffs c with c + horizon <= end and at least min(every, horizon) of log before them.

        >>> task = Task(Window(28), Cohort(Window(365)), Window(28), (Window(28),))
        >>> print(*task.mature_cutoffs(date(2024, 1, 1), date(2024, 4, 1)))
        2024-02-05 2024-03-04
        """
        earliest = first + min(self.every, self.horizon).delta
        cutoff, cutoffs = end - self.horizon.delta, []
        while cutoff >= earliest:
            cutoffs.append(cutoff)
            cutoff -= self.every.delta
        return cutoffs[::-1]


def other_zone(recorded: Mapping[str, Any], zone: str) -> str:
    """Return how something was made whose days begin in another zone than `zone`, for a message; empty if they do not.

    Args:
        recorded: The task that it was made for, as it was written; one without a zone is of UTC.
        zone: [task] timezone as it is now.

    Returns:
        Words such as those below.

    >>> other_zone({"timezone": "Asia/Tokyo"}, "Europe/Berlin")
    "with days that begin in 'Asia/Tokyo', and [task] timezone is now 'Europe/Berlin'"
    >>> other_zone({}, "UTC")
    ''
    """
    theirs = recorded.get("timezone", UTC_ZONE)
    return "" if theirs == zone else f"with days that begin in {theirs!r}, and [task] timezone is now {zone!r}"


def is_label(name: str) -> bool:
    """Return whether this is the name of a label or of its prediction, which no feature may have.

    >>> [name for name in ("churned", "value", "value_365d", "value_365d_low", "value_added") if is_label(name)]
    ['churned', 'value', 'value_365d', 'value_365d_low']
    """
    return name in RETURN_LABELS or re.fullmatch(r"churned|value(_\d+d)?(_low|_high)?", name) is not None
