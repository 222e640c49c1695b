"""Lifetime value: the tail beyond the horizon, from BG/NBD, with its level from how earlier forecasts have aged.

At every cutoff that is used, BG/NBD is fitted to what the features say of the cohort's purchases then. How its expected
orders grow beyond the horizon, times the customer's value and the spend that Gamma-Gamma expects, is the forecast. Past
cutoffs show how far such forecasts were off, span by span, as far as labels reach (`forecast_aging`); beyond, customers
are assumed to leave as they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from features.config.load import Config
from features.config.sections import LifetimeConfig
from features.intake.log import Log
from features.snapshots.build import RowChoice, Snapshots, build_snapshots
from features.task import Window
from training.artifact.bundle import ModelBundle
from training.artifact.lifetime import Lifetime, LifetimeHorizon, anchored
from training.artifact.spread import Spread
from training.models.buying_growth import (
    AGES,
    FEWEST_ROWS,
    PURCHASES,
    BuyingCohort,
    age_forecasts,
    growth_table,
    read_cohort,
    slowing_room,
)
from training.models.forecast_aging import AgingForecast, forecast_aging
from training.models.intervals import fit_spread

MONTH = 365 / 12
LATER_YEARS = (4, 5, 7, 10, 15, 20, 30)  # ends of periods; the last one ends a life
WHOLE_LIFE = "lifetime_value"
ANCHOR = 0.5
LEAST_SLOWING, MOST_SLOWING = -0.5, 1.0
SLOWED_DAYS = 1095  # later, customers leave as BG/NBD says: what slows them is not extrapolated to a whole life
LONGEST_DOUBLING = 300  # days: years follow
MOST_CUTOFFS, SPREAD_CUTOFFS = 12, 3


def month_days(months: int) -> int:
    """Days of so many months.

    >>> [month_days(months) for months in (12, 24, 36)]
    [365, 730, 1095]
    """
    return round(MONTH * months)


def label_spans(horizon: Window, config: LifetimeConfig, cutoffs: Sequence[date]) -> tuple[Window, ...]:
    """The spans over which forecasts are compared with what came: doublings of the horizon, and the reported months.

    Args:
        horizon: Of the labels.
        config: The reported horizons; without any there are no spans.
        cutoffs: Mature cutoffs; spans whose outcome is known at none of them are left out.

    Returns:
        The spans, ascending.

    >>> label_spans(Window(90), LifetimeConfig(), [date(2023, 1, 1), date(2024, 6, 1)])
    (Window(days=180), Window(days=365))
    """
    if not config.months or not cutoffs:
        return ()
    known = (max(cutoffs) - min(cutoffs)).days + horizon.days
    doubled = {horizon.days * 2**power for power in range(1, 10)}
    wanted = {days for days in doubled if days <= LONGEST_DOUBLING} | {month_days(months) for months in config.months}
    return tuple(Window(days) for days in sorted(wanted) if horizon.days < days <= known)


def build_training_rows(log: Log, config: Config, choice: RowChoice) -> tuple[Snapshots, Snapshots | None]:
    """The rows to learn from and, for lifetime value, the newest customers.

    Args:
        log: An opened log.
        config: The business.
        choice: Which rows to learn from.

    Returns:
        The rows, with labels over spans if lifetime value is wanted, and the newest customers without labels; None in
        place of them if it is not.
    """
    if not (config.has_value and config.lifetime.months) or config.task.to_task().contractual:
        return build_snapshots(log, choice=choice), None
    spans = label_spans(config.task.horizon, config.lifetime, choice.cutoffs)
    rows = build_snapshots(log, choice=replace(choice, spans=spans))
    return rows, build_snapshots(log, choice=replace(choice, cutoffs=(rows.end,)), with_labels=False)


def with_lifetime(
    bundle: ModelBundle | None,
    snapshots: Snapshots,
    config: LifetimeConfig,
    cutoffs: Sequence[date],
    known_by: date,
    latest: Snapshots | None = None,
) -> tuple[ModelBundle | None, tuple[str, ...]]:
    """Extends a value model to lifetime value.

    Args:
        bundle: The value model; None without money.
        snapshots: With labels at all of these cutoffs.
        config: The reported horizons.
        cutoffs: The only cutoffs that are used.
        known_by: Labels that end after this day are not used.
        latest: The newest customers, whose labels nobody knows yet: the forecast starts from them. None: from those of
            the newest cutoff.

    Returns:
        The model with lifetime value, and notes in words: how far it can see, or why it is left out.
    """
    if bundle is None or bundle.spread is None or not config.months:
        return bundle, ()
    if snapshots.task.contractual:
        return bundle, ("lifetime value is left out: it is not made for contracts yet",)
    cohorts = [cohort for c in spread_evenly(cutoffs) if (cohort := read_cohort(snapshots, c, known_by))]
    if not cohorts:
        return bundle, (f"lifetime value is left out: no cutoff has {FEWEST_ROWS} customers of whom spend is expected",)
    newest = read_cohort(latest, latest.cutoffs[0], known_by) if latest and latest.rows.num_rows else None
    lifetime = fit_lifetime(bundle, bundle.spread, config, cohorts, newest or cohorts[-1])
    return replace(bundle, lifetime=lifetime), (reach_note(lifetime),)


def spread_evenly(cutoffs: Sequence[date], most: int = MOST_CUTOFFS) -> list[date]:
    """At most so many of the cutoffs, spread evenly, the first and the last among them.

    >>> [day.day for day in spread_evenly([date(2024, 1, day) for day in range(1, 8)], 3)]
    [1, 4, 7]
    """
    ordered = sorted(set(cutoffs))
    return [ordered[place] for place in np.unique(np.linspace(0, len(ordered) - 1, most).round().astype(int))]


def reach_note(lifetime: Lifetime) -> str:
    """How far lifetime value can see, in words."""
    return (
        f"lifetime value: labels reach {lifetime.reach} days after a cutoff; beyond, it rests on the assumption that "
        "customers drop out as they did"
    )


def fit_lifetime(
    bundle: ModelBundle, spread: Spread, config: LifetimeConfig, cohorts: Sequence[BuyingCohort], newest: BuyingCohort
) -> Lifetime:
    """Fits growth beyond the horizon, its level and the intervals.

    Where the newest cutoff's data determine BG/NBD, earlier ones whose fit still needed a prior say nothing of it.

    Args:
        bundle: The value model, with its longer horizons.
        spread: The spread of its value.
        config: The reported horizons.
        cohorts: Past ones with known outcomes, ascending.
        newest: The customers that the forecast starts from.

    Returns:
        The fitted lifetime value.
    """
    horizon = newest.horizon
    reported = {f"value_{m}m": days for m in config.months if (days := month_days(m)) >= horizon}
    labelled = {step.days: step.spread.level_error for step in bundle.longer}
    ends = _period_ends(horizon, [*reported.values(), *labelled])
    alike = [cohort for cohort in cohorts if cohort.model.penalised <= newest.model.penalised]
    aged = [one for cohort in alike for one in age_forecasts(cohort, ANCHOR)]
    room = slowing_room(newest, [min(end, SLOWED_DAYS) for end in ends])
    aging = forecast_aging(aged, newest.day, horizon, ends, list(room))
    value = bundle.predict(newest.features)["value"]
    growth, tails = _levelled_growth(newest, value, ends, aging)
    errors = dict(zip(ends, _total_errors(value.sum(), tails, spread.level_error, aging.errors), strict=True))
    errors |= {horizon: spread.level_error, **labelled}
    horizons = (
        LifetimeHorizon(name, end, _spread_over(cohorts, end, spread.inside, errors[end]))
        for name, end in {**reported, WHOLE_LIFE: ends[-1]}.items()
    )
    return Lifetime(
        horizon=horizon,
        window=newest.window,
        days=ends,
        purchases=PURCHASES,
        ages=AGES,
        growth=tuple(tuple(tuple(float(x) for x in row) for row in block) for block in growth),
        anchor=ANCHOR,
        horizons=tuple(horizons),
        discount=config.discount,
        reach=max(span for cohort in cohorts for span in cohort.actual),
        margin=config.margin,
    )


def _period_ends(horizon: int, wanted: Sequence[int]) -> tuple[int, ...]:
    """The ends of the periods after the horizon, in days: those that are wanted, and later years."""
    later = [round(365 * year) for year in LATER_YEARS]
    return tuple(sorted({end for end in (*wanted, *later) if end > horizon}))


def _levelled_growth(
    cohort: BuyingCohort, value: np.ndarray, ends: Sequence[int], aging: AgingForecast
) -> tuple[np.ndarray, np.ndarray]:
    """The table of growth (p, a, d) with which totals are as `aging` corrects them, and these totals (d,)."""
    plain = cohort.expected @ cohort.growth(growth_table(cohort.model, cohort.horizon, ends))
    level = (value.sum() / cohort.expected.sum()) ** ANCHOR
    tails = np.maximum.accumulate(plain * level * np.exp(aging.shifts))
    slowing = float(np.clip(aging.slowing, LEAST_SLOWING, MOST_SLOWING))
    table = growth_table(cohort.model, cohort.horizon, ends, slowing)
    factors = tails / (anchored(value, cohort.expected, ANCHOR) @ cohort.growth(table))
    return np.maximum.accumulate(table * factors, axis=2), tails


def _total_errors(value: float, tails: np.ndarray, level_error: float, errors: np.ndarray) -> np.ndarray:
    """Standard deviations (d,) of the log of value plus tails (d,); a tail shares ANCHOR of the value's log error."""
    shared = (value + ANCHOR * tails) * level_error
    return np.asarray(np.sqrt(shared**2 + (tails * errors) ** 2) / (value + tails))


def _spread_over(cohorts: Sequence[BuyingCohort], end: int, inside: float, error: float) -> Spread:
    """The distribution of actual over expected values, over the longest known span up to `end`, at its newest cutoffs.

    What BG/NBD and Gamma-Gamma expected stands for the forecast: at these cutoffs they had seen nothing that came.
    """
    known = max((span for cohort in cohorts for span in cohort.actual if span <= end), default=cohorts[0].horizon)
    folds = [cohort for cohort in cohorts if known in cohort.actual][-SPREAD_CUTOFFS:]
    expected = [_expected_over(cohort, known) for cohort in folds]
    actual = [np.maximum(cohort.actual[known], 0.0) for cohort in folds]
    return fit_spread([np.ones_like(e) for e in expected], expected, actual, inside, error)


def _expected_over(cohort: BuyingCohort, span: int) -> np.ndarray:
    """What BG/NBD and Gamma-Gamma expect over a span (n,)."""
    if span <= cohort.horizon:
        return cohort.expected
    return np.asarray(cohort.expected * (1 + cohort.growth(growth_table(cohort.model, cohort.horizon, (span,)))[:, 0]))
