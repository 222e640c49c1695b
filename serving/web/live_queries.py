"""What a customer's page asks the log and the models for, when somebody clicks: history, and what would have to differ.

Both take longer than a page may. One answer is made at a time, so that clicks do not pile up work.
"""

from __future__ import annotations

from datetime import date
from threading import Lock
from typing import Any

import pyarrow.compute as pc

from features.errors import RegularsError
from features.snapshots.one_customer import read_customer_history
from serving.charts.live_svg import plain, timeline
from serving.explanation.what_if import find_what_if
from serving.language.formats import task_words
from serving.scoring.predictions import build_cohort, load_champions
from serving.web.parts.output_reader import ROWS, NotHere, Scored, Site

LISTED = 100
_ONE_AT_A_TIME = Lock()


def history(site: Site, at: Scored, customer: str) -> dict[str, Any]:
    """A customer's orders and contacts before a cutoff, as a picture and as lists.

    Raises:
        NotHere: The log cannot be read.
    """
    with _ONE_AT_A_TIME:
        try:
            found = read_customer_history(site.config, customer, at.cutoff)
        except RegularsError as problem:
            raise NotHere(site.tr("The log cannot be read: {why}", why=str(problem)), "regulars check", 503) from None
    orders = [(_day(row["day"]), float(str(row["amount"] if row["amount"] is not None else 1))) for row in found.orders]
    contacts = [(_day(row["day"]), bool(row["held_out"])) for row in found.contacts]
    alt = site.tr.many("{n} order before {day}", "{n} orders before {day}", len(orders), day=at.cutoff)
    if contacts:
        alt += "; " + site.tr.many("{n} contact", "{n} contacts", len(contacts))
    return {
        "picture": timeline(alt, orders, contacts, at.cutoff, plain) if orders or contacts else None,
        "alt": alt,
        "orders": found.orders[:LISTED],
        "contacts": found.contacts[:LISTED],
        "more": max(len(orders) - LISTED, 0),
    }


def _day(value: object) -> date:
    return date.fromisoformat(str(value)[:10])


def differently(site: Site, at: Scored, customer: str, below: float | None) -> dict[str, Any]:
    """What would have to be otherwise for the risk to come below a level, by default the mean of the cohort.

    Raises:
        NotHere: The models, the log or the customer are not there, or the champion is not the one that scored.
    """
    with _ONE_AT_A_TIME:
        try:
            return _differently(site, at, customer, below)
        except RegularsError as problem:
            said = site.tr("This cannot be asked now: {why}", why=str(problem))
            raise NotHere(said, f"regulars explain CUSTOMER --cutoff {at.cutoff}", 503) from None


def _differently(site: Site, at: Scored, customer: str, below: float | None) -> dict[str, Any]:
    models = load_champions(site.config)
    snapshots = build_cohort(site.config, at.cutoff)
    place = pc.index(snapshots.rows["customer_id"], customer).as_py()
    if place < 0:
        member = task_words(site.config.task).member
        raise NotHere(site.tr("The log knows no such customer at {day} who {member}.", day=at.cutoff, member=member))
    row, bundle = snapshots.rows.slice(place, 1), models.richest.bundle
    level = float(site.one(f"SELECT avg(churn_probability) AS mean FROM {ROWS}", [at.files])["mean"])
    found = find_what_if(site.config, bundle, snapshots.features, row, at.cutoff, level if below is None else below)
    said = at.manifest.get("models", {}).get("churn", {})
    return {
        "found": found,
        "mean": below is None,
        "other_model": "" if said.get("digest") == models.churn.bundle.digest else models.churn.version.label,
    }
