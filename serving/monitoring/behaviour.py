"""Changes of customers' behaviour: who stays away, what an order is worth, and what is bought.

Each figure of the newest period is compared with its mean over the six periods before, and so is the mean of the newest
two. What is usual comes from how well earlier periods were predicted in the same way. A figure has changed if it is off
by more than chance explains and by more than a practical size: a relative one, and for a share also SMALL of everything
unless it changed by LARGE of itself, so that a category with a fiftieth of the order lines raises no alert for a few of
them. These checks use outcomes, so they see concept drift.

With errors e of n earlier predictions, in units of their standard errors for independent customers, the variance is
taken (PRIOR + sum of e^2) / (PRIOR + n) times as large, but at least once. So a business with seasons or campaigns gets
wider limits, and a calm one those of chance. The quantile is Student's t with PRIOR + n degrees of freedom, at the
chance divided by the number of figures (Bonferroni). It is not divided by the two spans, which share most of their
data: customers keep their habits from period to period, so the standard errors of a change are too large already.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import t as student

from features.audit.behaviour_profile import BehaviourProfile, PeriodRates
from features.config.monitor import MonitorConfig
from serving.language.messages import N_, Language
from serving.monitoring.log_health import LogCheck

BASE, SPANS = 6, (1, 2)  # periods that predict; newest periods that are compared
SMALL, LARGE = 0.005, 0.5  # a share's change in points that never matters, unless it is large relative to the share
MIN_ERRORS, PRIOR = 3, 10  # fewest earlier predictions; how many calm ones are assumed beside them
BEHAVIOUR = ("away", "order_amount", "value_share")
PHRASES = {
    "away": N_("customers without an order in the last {days} days"),
    "order_amount": N_("mean amount of an order in the last {days} days"),
    "value_share": N_("share of {value} in {column} in the last {days} days"),
}


def behaviour_checks(profile: BehaviourProfile, rules: MonitorConfig, tr: Language) -> list[LogCheck]:
    """Compares the newest periods with those before.

    Args:
        profile: The figures by period.
        rules: The [monitor] section with its thresholds.
        tr: The language of the phrases.

    Returns:
        One check for each figure: of the span that is further off, relative to its limits.
    """
    figures = list(_figures(profile))
    chance = rules.false_alarms / max(len(figures), 1)
    return [_check(name, rates, slots, chance, rules.behaviour, tr) for name, rates, slots in figures]


def _figures(profile: BehaviourProfile) -> Iterator[tuple[str, PeriodRates, dict[str, str]]]:
    yield "away", profile.away, {}
    if profile.amount is not None:
        yield "order_amount", profile.amount, {}
    for (kind, value), rates in profile.shares.items():
        yield f"value_share:{kind}:{value}", rates, {"column": kind, "value": value}


def _check(name: str, rates: PeriodRates, slots: dict[str, str], chance: float, least: float, tr: Language) -> LogCheck:
    what, is_share = name.split(":")[0], not name.startswith("order_amount")
    smallest = SMALL if is_share else 0.0
    found = [
        (span, limits) for span in SPANS if (limits := usual_limits(rates, span, chance, least, smallest)) is not None
    ]
    if not found:
        phrase = tr(PHRASES[what], days=28, **slots)
        value = float(rates.values[0]) if len(rates.values) and np.isfinite(rates.values[0]) else 0.0
        note = tr("too little history yet to know the usual range")
        return LogCheck(name, phrase, value, None, None, True, note, is_share)
    span, (value, low, high) = max(found, key=lambda item: _excess(*item[1]))
    return LogCheck(
        name, tr(PHRASES[what], days=28 * span, **slots), value, low, high, low <= value <= high, "", is_share
    )


def _excess(value: float, low: float, high: float) -> float:
    """How far a value is from the middle of its limits, in half their width, on the log scale."""
    middle, half = np.log(low * high) / 2, np.log(high / low) / 2
    return float(abs(np.log(value) - middle) / half)


def usual_limits(
    rates: PeriodRates, span: int, chance: float, least: float, smallest: float = 0.0
) -> tuple[float, float, float] | None:
    """The newest figure over some periods, and its usual range.

    Args:
        rates: The figure by period.
        span: How many newest periods are averaged.
        chance: Probability that an unchanged figure is outside.
        least: Smallest relative change that matters.
        smallest: Smallest absolute change that matters, unless it is LARGE relative to the figure.

    Returns:
        The value, and the lower and upper limit; None if the history is too short.

    >>> rates = PeriodRates(np.array([0.22, *[0.2] * 12]), np.full(13, 0.01))
    >>> [round(x, 3) for x in usual_limits(rates, 1, 0.001, 0.05)]
    [0.22, 0.19, 0.21]
    >>> [round(x, 3) for x in usual_limits(rates, 1, 0.001, 0.05, smallest=0.03)]
    [0.22, 0.17, 0.23]
    """
    usable = np.isfinite(rates.values) & (rates.values > 0) & np.isfinite(rates.errors)
    logs, variances = np.log(np.where(usable, rates.values, 1.0)), np.where(usable, rates.errors, 0.0) ** 2
    places = [p for p in range(len(logs) - span - BASE + 1) if usable[p : p + span + BASE].all()]
    if 0 not in places:
        return None
    errors = [(_gap(logs, p, span), np.sqrt(_gap_variance(variances, p, span))) for p in places]
    earlier = np.array([gap / error for gap, error in errors[1:] if error > 0])
    if len(earlier) < MIN_ERRORS:
        return None
    inflation = max((PRIOR + float((earlier**2).sum())) / (PRIOR + len(earlier)), 1.0)
    scale = float(student.isf(chance / 2, PRIOR + len(earlier))) * float(errors[0][1]) * np.sqrt(inflation)
    expected, factor = float(np.exp(logs[span : span + BASE].mean())), max(float(np.exp(scale)), 1 + least)
    low = min(expected / factor, max(expected - smallest, expected / (1 + LARGE)))
    high = max(expected * factor, min(expected + smallest, expected * (1 + LARGE)))
    return float(np.exp(logs[:span].mean())), low, high


def _gap(logs: np.ndarray, place: int, span: int) -> float:
    """The mean of the periods from a place on, minus the mean of those before them in time."""
    return float(logs[place : place + span].mean() - logs[place + span : place + span + BASE].mean())


def _gap_variance(variances: np.ndarray, place: int, span: int) -> float:
    newest, base = variances[place : place + span], variances[place + span : place + span + BASE]
    return float(newest.sum() / span**2 + base.sum() / BASE**2)
