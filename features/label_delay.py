"""How long labels wait for late rows, so that a customer whose purchase is not known yet does not count as churned.

Rows of the last days of a log may still arrive. From the log's own delays (known_at - time) follows how many days after
a horizon 99% of its rows are usually known. The newest delays are cut off, because a row that is still on its way is in
no log. So their distribution is estimated for right-truncated times: the product of reverse-time hazards (Lagakos,
Barraj and De Gruttola, Biometrika 75, 1988; Kalbfleisch and Lawless, JASA 84, 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from features.task import Window

USUAL, NO_WAIT = "usual", "none"  # other values of [task] label_delay are durations
ARRIVED = 0.99  # share of the rows of a horizon that must usually have arrived
RECENT = Window(365)  # older delays, such as those of a first load of the log, say nothing about today's


@dataclass(frozen=True)
class LabelDelay:
    """How long labels wait for late rows.

    Attributes:
        days: So many days after a horizon, 99% of its rows have usually become known.
        wait: So many days before the end of the log, labels are known up to; 0 if the rows have had their time.
        given: Whether [task] label_delay says the days, and not the log.
        capped: Whether 99% have not become known within a further horizon, beyond which no label waits.
    """

    days: int = 0
    wait: int = 0
    given: bool = False
    capped: bool = False


NO_LABEL_DELAY = LabelDelay()


@dataclass(frozen=True)
class ArrivalCounts:
    """How many rows of each day became known how many days later.

    Attributes:
        day: Days (n,) as ordinals.
        delay: Days (n,) from them until the rows were known, 0 or more.
        rows: Numbers of rows (n,).
    """

    day: np.ndarray
    delay: np.ndarray
    rows: np.ndarray

    @property
    def last_seen(self) -> int:
        """The last day on which a row became known; 0 without rows."""
        return int((self.day + self.delay).max(initial=0))

    def where(self, mask: np.ndarray) -> ArrivalCounts:
        """The entries of a mask (n,)."""
        return ArrivalCounts(self.day[mask], self.delay[mask], self.rows[mask])


def usual_delay(counts: ArrivalCounts, horizon: Window) -> LabelDelay:
    """After how many days 99% of the rows of a horizon are usually known; at most a horizon.

    Args:
        counts: The rows by day and delay.
        horizon: Of the labels.

    Returns:
        The delay, still without its `wait`.

    >>> at_once = ArrivalCounts(np.arange(100), np.zeros(100, int), np.full(100, 9))
    >>> usual_delay(at_once, Window(28)).days
    0
    >>> five_days = ArrivalCounts(np.arange(100), np.full(100, 5), np.full(100, 9))
    >>> usual_delay(five_days, Window(28)).days
    5
    """
    share = known_share(counts.where(counts.day > counts.last_seen - RECENT.days))
    longest = len(share) - 1
    by_day = np.concatenate([share, np.ones(horizon.days)])
    for days in range(min(longest, horizon.days) + 1):
        if by_day[days : days + horizon.days].mean() >= ARRIVED:
            return LabelDelay(days)
    return LabelDelay(horizon.days, capped=True)


def known_share(counts: ArrivalCounts) -> np.ndarray:
    """The share of rows (m,) that are known 0, 1, ..., m - 1 days after they happened.

    A row with a delay of d can be in the log only if it happened d days before the end of the log or earlier. So the
    hazard at d, in reverse time, counts only the rows of days that early.

    >>> day, delay = np.array([1, 1, 2]), np.array([0, 1, 0])  # the late row of day 2 comes on day 3
    >>> known_share(ArrivalCounts(day, delay, np.array([10, 10, 10]))).tolist()
    [0.5, 1.0]
    """
    share = np.ones(int(counts.delay.max(initial=0)) + 1)
    for delay in range(len(share) - 1, 0, -1):
        at_risk = (counts.delay <= delay) & (counts.day <= counts.last_seen - delay)
        hazard = counts.rows[at_risk & (counts.delay == delay)].sum() / max(counts.rows[at_risk].sum(), 1)
        share[delay - 1] = share[delay] * (1 - hazard)
    return share


def label_delay_note(delay: LabelDelay, end: date, horizon: Window) -> tuple[str, ...]:
    """Says which cutoffs have no outcome yet because rows may still arrive; empty if it is the same ones as without.

    Args:
        delay: How long labels wait.
        end: First day about which the log says nothing.
        horizon: Of the labels.

    Returns:
        No sentence or one.

    >>> label_delay_note(LabelDelay(6, wait=5), date(2024, 3, 31), Window(28))[0].split(", so ")[1]
    'the newest cutoff with one is 2024-02-27 and not 2024-03-03'
    """
    if not delay.wait:
        return ()
    of_horizon = f"of the rows of a horizon ({horizon})"
    why = f"99% {of_horizon} are usually known {delay.days} days after it"
    if delay.given:
        why = f"outcomes wait {delay.days} days for rows that become known late"
    elif delay.capped:
        why = f"less than 99% {of_horizon} are usually known {horizon} after it, and outcomes wait no longer"
    until = end - timedelta(days=delay.wait)
    return (
        f"{why} ([task] label_delay). Outcomes count up to {until}, {delay.wait} days before the end of the log, so "
        f"the newest cutoff with one is {until - horizon.delta} and not {end - horizon.delta}",
    )
