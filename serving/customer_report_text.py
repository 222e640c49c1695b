"""The text that explains one customer: predictions, reasons, and what-if changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.errors import UsageError, printable
from features.intake.identity import customer_names
from features.intake.log import Log
from features.phrases import format_number
from serving.explanation.contributions import Contributions, compute_contributions, top_reasons
from serving.explanation.return_reasons import return_contributions
from serving.explanation.what_if import find_what_if, what_if_lines
from serving.language.formats import format_money, task_terms
from serving.language.messages import get_language
from serving.scoring.columns import NEXT_PURCHASE, NEXT_PURCHASE_COLUMNS
from serving.scoring.lifetime_totals import is_lifetime, lifetime_name
from serving.scoring.predictions import build_cohort, load_champions, model_features, predict_cohort
from serving.scoring.value_tiers import NO_SKILL

MOST_REASONS, MOST_SOONER = 8, 4
STARTING_POINT = "starting point: a typical customer"
TITLES = {"churn": "why this risk", "value": "why this value"}


def explanation_text(log: Log, customer: str, cutoff: date, below: float | None, with_what_if: bool) -> str:
    """Explain the predictions for one customer, as `explain_customer`.

    Args:
        log: The opened log.
        customer: The customer's id.
        cutoff: The cutoff.
        below: The risk that what-if changes must come below; None: the mean of the cutoff's cohort.
        with_what_if: Whether to search for what-if changes.

    Returns:
        The text.

    Raises:
        UsageError: There is no champion, or the customer is not in the cutoff's cohort.
    """
    config = log.config
    models = load_champions(config)
    snapshots = build_cohort(log, cutoff)
    place = _row_of(snapshots.rows["customer_id"], customer, cutoff, log)
    cohort = predict_cohort(models, snapshots)
    columns = {name: values[place] for name, values in cohort.items()}
    row = snapshots.rows.slice(place, 1)
    lines = [f"customer {printable(customer, keep='')} at {cutoff}", "", *_prediction_lines(columns, config)]
    if not models.richest.bundle.skill:
        return "\n".join([NO_SKILL, "", *lines])
    contributions = compute_contributions(models.richest.bundle, row)
    features = model_features(models, snapshots.features, snapshots.own)
    for name in (name for name in TITLES if name in contributions):
        lines += [
            "",
            *_reason_lines(
                TITLES[name], contributions[name], top_reasons(contributions[name], row, features, MOST_REASONS)[0]
            ),
        ]
    if returns := models.richest.bundle.returns:
        part, days = return_contributions(models.richest.bundle, row, returns.marks[0]), returns.marks[0]
        title = f"why sooner or later (a purchase within {days} days)"
        lines += ["", *_reason_lines(title, part, top_reasons(part, row, features, MOST_SOONER)[0])]
    if not with_what_if:
        return "\n".join(lines)
    level = float(cohort["churn_probability"].mean()) if below is None else below
    what_if = find_what_if(log, models.richest.bundle, snapshots.features, row, cutoff, level)
    return "\n".join([*lines, "", *what_if_lines(what_if, snapshots.rows.num_rows if below is None else 0)])


def _row_of(ids: pa.ChunkedArray, customer: str, cutoff: date, log: Log) -> int:
    config = log.config
    # A reader of a report with hashed ids knows only the hash.
    for name in customer_names(config, log.tables.persons, customer, cutoff):
        place = pc.index(ids, name).as_py()
        if place >= 0:
            return int(place)
    near = [] if config.privacy.hash_ids else get_close_matches(customer, ids.to_pylist(), n=3)
    hint = f" Close to it: {', '.join(printable(name, keep='') for name in near)}." if near else ""
    raise UsageError(
        f"customer {customer!r} is not in the cohort of {cutoff}: {len(ids):,} customers who "
        f"{task_terms(config.task).member}.{hint}"
    )


def _prediction_lines(columns: dict[str, Any], config: Config) -> list[str]:
    horizon, chance = config.task.horizon.days, task_terms(config.task).chance
    money = partial(format_money, tr=get_language("en", config.currency))
    lines = [f"probability of {chance} in the next {horizon} days   {columns['churn_probability']:.1%}"]
    if "value" in columns:
        inside = f"{config.serving.interval:.0%} of such customers: {money(columns['value_low'])} to"
        lines += [
            f"expected value over {horizon} days (LTV)   {money(columns['value'])} "
            f"({inside} {money(columns['value_high'])})",
            f"value at risk   {money(columns['value_at_risk'])}",
        ]
    for name, longer in config.task.to_task().longer.items():
        if name in columns:  # a horizon that no cutoff has completed is not in the model
            lines.append(f"the same over {longer.days} days   {money(columns[name])}")
    english = get_language("en")
    for name in (name for name in columns if is_lifetime(name)):
        value, low, high = (money(columns[f"{name}{end}"]) for end in ("", "_low", "_high"))
        lines.append(f"{lifetime_name(name, english).lower()}   {value} ({low} to {high})")
    lines += next_purchase_lines(columns, config.task.horizon.days, config.serving.interval)
    lines.append(f"rhythm {columns['lifecycle']}, tier {columns['tier']}, segment '{columns['segment']}'")
    return [f"  {line}" for line in lines]


def next_purchase_lines(columns: Mapping[str, Any], horizon: int, inside: float) -> list[str]:
    """When a customer's next purchase is expected, how overdue they are, and how many orders are expected, as lines.

    Args:
        columns: The customer's score columns; dates and numbers are Arrow scalars or plain, or not there.
        horizon: Of the labels, in days.
        inside: The probability that the interval holds, in (0, 1).

    Returns:
        The lines; none if the model does not say when customers return.
    """
    if NEXT_PURCHASE not in columns:
        return []
    day, low, high = (_plain(columns[name]) for name in NEXT_PURCHASE_COLUMNS)
    ends = f" ({inside:.0%} between {low} and {high})" if high else f" ({(1 - inside) / 2:.0%} by {low})" if low else ""
    expected = (
        f"next purchase expected around {day:%A} {day}{ends}"
        if day
        else f"next purchase less likely than not within {2 * horizon} days{ends}"
    )
    lines = [expected, f"expected orders over {horizon} days   {float(_plain(columns['expected_orders'])):.2f}"]
    overdue = _plain(columns["overdue_days"])
    if overdue is not None and overdue >= 0.5:
        lines.append(f"{overdue:.0f} days overdue: silent for longer than usual between orders")
    elif overdue is not None:
        due = _plain(columns["cutoff"]).date() + timedelta(days=round(-overdue))
        lines.append(f"due on {due:%A} {due} by the usual days between orders")
    return lines


def _plain(value: Any) -> Any:
    """A value as Python has it."""
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _reason_lines(title: str, part: Contributions, top: list[dict[str, Any]]) -> list[str]:
    """Return lines from the base over the strongest reasons and all other features to the prediction."""
    total, rest = float(part.total[0]), float(part.total[0]) - part.base
    lines = [f"{title}: from {_amount(part.base, part.unit)} ({STARTING_POINT}) to {_amount(total, part.unit)}"]
    for reason in top:
        rest -= reason["contribution"]
        lines.append(f"  {_signed(reason['contribution'], part.unit):>12}  {reason['reading']}  [{reason['phrase']}]")
    return [*lines, f"  {_signed(rest, part.unit):>12}  everything else together"]


def _amount(number: float, unit: str) -> str:
    return f"{number:.1%}" if unit == "probability" else format_number(number, "money")


def _signed(number: float, unit: str) -> str:
    return f"{100 * number:+.1f} points" if unit == "probability" else f"{number:+,.2f}"
