"""Answer what pages ask the log and the models after they have loaded: history, what-if, and the test of a model.

These take longer than a page may, so they have a queue of their own (`parts.slow_queries`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow.compute as pc

from features.errors import RegularsError
from features.intake.log import Log, opened
from features.snapshots.one_customer import CustomerHistory, read_customer_history
from serving.charts.axes import format_tick
from serving.charts.evaluation import calibration_chart, evaluation_groups, ranking_charts
from serving.charts.flows import TimelineEvent, order_timeline
from serving.explanation.what_if import find_what_if
from serving.language.formats import format_money, task_terms
from serving.scoring.predictions import build_cohort, load_champions
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site, number_format
from serving.web.parts.slow_queries import QueueFullError, Stop, TooSlowError, Work
from training.registry import load_evaluation

LISTED = 100
AGAIN = 15  # seconds after which it is worth asking again


def customer_history(site: Site, at: ScoredCutoff, customer: str) -> dict[str, Any]:
    """Read a customer's orders and contacts before a cutoff, as a chart and as lists.

    Args:
        site: The output folder and the config.
        at: The scored cutoff.
        customer: The customer's id.

    Returns:
        The context of the template `history.html.j2`.

    Raises:
        MissingOutput: The log cannot be read.
    """

    def read(stopped_by: Callable[[Stop], None]) -> CustomerHistory:
        with opened(site.config) as log:
            stopped_by(log.engine.interrupt)
            return read_customer_history(log, customer, at.cutoff)

    try:
        customer_log = _answer(site, ("history", customer, at.cutoff), read)
    except RegularsError as problem:
        raise MissingOutput(site.tr("The log cannot be read: {why}", why=str(problem)), "regulars check", 503) from None
    orders = [_order(site, row) for row in customer_log.orders]
    contacts = [_contact(site, row) for row in customer_log.contacts]
    alt = site.tr.many("{n} order before {day}", "{n} orders before {day}", len(orders), day=at.cutoff)
    if contacts:
        alt += "; " + site.tr.many("{n} contact", "{n} contacts", len(contacts))
    return {
        "picture": order_timeline(alt, orders, contacts, at.cutoff, format_tick) if orders or contacts else None,
        "alt": alt,
        "orders": customer_log.orders[:LISTED],
        "contacts": customer_log.contacts[:LISTED],
        "more": max(len(orders) - LISTED, 0),
    }


def _order(site: Site, row: Mapping[str, Any]) -> TimelineEvent:
    """Make the event of an order; one without an amount is drawn as 1."""
    day = _day(row["day"])
    if row["amount"] is None:
        return TimelineEvent(day, 1.0, site.tr("order of {day}", day=day))
    amount = float(str(row["amount"]))
    return TimelineEvent(
        day, amount, site.tr("order of {day}: {amount}", day=day, amount=format_money(amount, site.tr))
    )


def _contact(site: Site, row: Mapping[str, Any]) -> TimelineEvent:
    day, action = _day(row["day"]), str(row["action"])
    if row["held_out"]:
        return TimelineEvent(day, 0.0, site.tr("{day}: {action} (held out)", day=day, action=action), hollow=True)
    return TimelineEvent(day, 0.0, site.tr("contact of {day}: {action}", day=day, action=action))


def _day(value: object) -> date:
    return date.fromisoformat(str(value)[:10])


def model_test(site: Site, at: ScoredCutoff) -> dict[str, Any]:
    """Draw the test of the model that scored a cutoff: calibration, gains, lift, and value by group.

    Args:
        site: The output folder and the config.
        at: The scored cutoff.

    Returns:
        `cutoff` of the test and `charts`.

    Raises:
        MissingOutput: The training run is gone or has no groups.
    """
    models: Mapping[str, Mapping[str, Any]] = at.manifest.models
    run = str((models.get("value") or models.get("churn") or {}).get("run_id", ""))
    try:
        groups = _answer(site, ("test", run), lambda stopped_by: load_evaluation(site.config, run).groups)
    except RegularsError as problem:
        message = site.tr("This cannot be computed right now: {why}", why=str(problem))
        raise MissingOutput(message, "regulars train", 503) from None
    if groups.empty:
        raise MissingOutput(site.tr("The training run has no test."), "regulars train")
    cutoff, form = str(groups["cutoff"].astype(str).max()), replace(number_format(site, at), tr=site.tr)
    risk, value = (evaluation_groups(groups, cutoff, number) for number in ("churn", "value"))
    caption = site.tr("Expected and observed share of leavers by risk group; the line is the confidence interval.")
    calibration = [{"svg": calibration_chart(risk, form), "caption": caption}] if risk else []
    return {"cutoff": cutoff, "charts": [*calibration, *ranking_charts(risk, value, form)]}


def find_counterfactual(site: Site, at: ScoredCutoff, customer: str, below: float | None) -> dict[str, Any]:
    """Find changes of a customer's past that would bring the predicted risk below a level.

    Args:
        site: The output folder and the config.
        at: The scored cutoff.
        customer: The customer's id.
        below: The level, in (0, 1); None takes the mean risk of the cohort.

    Returns:
        The context of the template `what_if.html.j2`.

    Raises:
        MissingOutput: The models, the log or the customer are not there.
    """

    def compute(stopped_by: Callable[[Stop], None]) -> dict[str, Any]:
        with opened(site.config) as log:
            stopped_by(log.engine.interrupt)
            return _counterfactual(log, site, at, customer, below)

    try:
        answer: dict[str, Any] = _answer(site, ("what-if", customer, at.fingerprint, below), compute)
        return answer
    except RegularsError as problem:
        message = site.tr("This cannot be computed right now: {why}", why=str(problem))
        raise MissingOutput(message, f"regulars explain CUSTOMER --cutoff {at.cutoff}", 503) from None


def _answer(site: Site, question: tuple[Hashable, ...], work: Work) -> Any:
    """The answer to a question about the log, from the queue of those that take long.

    Raises:
        MissingOutput: Too many questions wait, or this one takes longer than a page may.
    """
    try:
        return site.slow_queries.answer(question, work)
    except QueueFullError:
        message = site.tr("Others are asking right now, and each question takes a while. Try again in {n} s.", n=AGAIN)
        raise MissingOutput(message, status=503, retry_after=AGAIN) from None
    except TooSlowError:
        message = site.tr(
            "This takes longer than a page can wait. Ask again in {n} s: the answer may be there then.", n=2 * AGAIN
        )
        raise MissingOutput(message, status=503, retry_after=2 * AGAIN) from None


def _counterfactual(log: Log, site: Site, at: ScoredCutoff, customer: str, below: float | None) -> dict[str, Any]:
    models = load_champions(site.config)
    snapshots = build_cohort(log, at.cutoff)
    place = pc.index(snapshots.rows["customer_id"], customer).as_py()
    if place < 0:
        member = task_terms(site.config.task).member
        raise MissingOutput(
            site.tr("The log has no such customer at {day} who {member}.", day=at.cutoff, member=member)
        )
    row, bundle = snapshots.rows.slice(place, 1), models.richest.bundle
    mean_risk = float(site.query_row(f"SELECT avg(churn_probability) AS mean FROM {ROWS}", [at.files])["mean"])
    counterfactual = find_what_if(
        log, bundle, snapshots.features, row, at.cutoff, mean_risk if below is None else below
    )
    models_then: Mapping[str, Mapping[str, Any]] = at.manifest.models
    scored_model = models_then.get("churn", {})
    return {
        "answer_set": counterfactual,
        "mean": below is None,
        "other_model": "" if scored_model.get("digest") == models.churn.bundle.digest else models.churn.version.label,
    }
