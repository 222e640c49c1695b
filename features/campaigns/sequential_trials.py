"""Contacts that were not randomised as sequential trials: both groups' clocks start on the same day.

A day with contacts is a trial. Those contacted on it are treated. Whoever was in the cohort and was not contacted on it
is its control, also if contacted later. Cohort, features and outcome of both begin with that day. If instead the
control's clock started earlier than the contact, the control would be those who did nothing for which they were
contacted, such as a purchase: the bias of immortal time (Hernán et al., Journal of Clinical Epidemiology 79, 2016).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from features.engines.base import Engine
from features.errors import RefusedError
from features.intake.tables import Tables
from features.point_in_time.history import rows_on_contact_day
from features.task import Window

MAX_TRIALS = 52  # each builds the features of a whole cohort
MAX_RATIO, MAX_ERRORS = 2.0, 3.0  # of the share with an event before a contact to that of the control on the whole day
KEYS = ["customer_id", "cutoff"]


@dataclass(frozen=True)
class SequentialTrials:
    """Who was contacted in each trial, and who takes part in none of its groups.

    Attributes:
        contacts: customer_id, cutoff (the day of the trial), day, time, action, propensity (NaN) and round.
        excluded: customer_id and cutoff of those who were contacted shortly before, or by several actions at once.
        left_out: How many contacts do not count, by reason.
    """

    contacts: pd.DataFrame
    excluded: pd.DataFrame
    left_out: dict[str, int]


def sequential_trials(contacts: pd.DataFrame, control: str, rest: Window, latest: date) -> SequentialTrials:
    """Makes a trial of each day with contacts; of many days, of those with most contacts.

    Args:
        contacts: customer_id, day, time and action, one row a contact.
        control: The action that is no contact: its customers are in the control as all others without a contact.
        rest: Whoever was contacted within this time before a day is in neither group of its trial.
        latest: The last day whose outcomes are known; later days are trials without outcomes.

    Returns:
        The trials.
    """
    received = contacts[contacts.action != control]
    received = received.assign(cutoff=pd.to_datetime(received.day)).sort_values(
        [*KEYS, "time", "action"], kind="stable"
    )
    several = received.groupby([*KEYS, "time"]).action.transform("nunique") > 1
    first = received.assign(several=several).drop_duplicates(KEYS)
    rested = ~(first.groupby("customer_id").cutoff.diff() <= pd.Timedelta(days=rest.days))
    counts = first.day[rested & ~first.several].value_counts()
    mature = sorted((day for day in counts.index if day <= latest), key=lambda day: (-counts[day], day))
    trial_days = {*mature[:MAX_TRIALS], *(day for day in counts.index if day > latest)}
    there = first.day.isin(trial_days)
    left_out = {
        "several actions at one moment": int((there & first.several).sum()),
        "after the first of the day": len(received) - len(first),
        f"within {rest} after another": int((there & ~rested & ~first.several).sum()),
        f"on other days than the {MAX_TRIALS} with most contacts": int((~there).sum()),
    }
    treated = first[there & rested & ~first.several]
    columns = [*KEYS, "day", "time", "action", "propensity", "round"]
    trials = treated.assign(propensity=np.nan, round=treated.cutoff.dt.strftime("%Y-%m-%d"))[columns]
    return SequentialTrials(trials, _excluded(first, trial_days, rest), left_out)


def _excluded(first: pd.DataFrame, trial_days: Collection[date], rest: Window) -> pd.DataFrame:
    """The customers (customer_id, cutoff) who were contacted shortly before a trial, or by several actions in it."""
    parts = [first.loc[first.several, KEYS]]
    for day in trial_days:
        gap = (pd.Timestamp(day) - first.cutoff).dt.days
        parts.append(first.loc[(gap > 0) & (gap <= rest.days), ["customer_id"]].assign(cutoff=pd.Timestamp(day)))
    return pd.concat(parts, ignore_index=True).drop_duplicates()


def refuse_triggered_contacts(units: pd.DataFrame, control: str, tables: Tables, engine: Engine) -> None:
    """Refuses contacts that follow events of the same day, such as a message about an order.

    Outcomes begin with the day, so those events would count as the contact's effect. What came before a contact cannot
    be its effect: if it is much more frequent than events of the control on such days, events trigger the contacts.
    Without clocks nothing tells what came first.

    Args:
        units: customer_id, cutoff, day, time (of the contact; NaT in the control) and action.
        control: The name of the control.
        tables: The contract.
        engine: Where the tables are.

    Raises:
        RefusedError: Events trigger the contacts.
    """
    clocks = units.time.notna() & (units.time != units.time.dt.normalize())
    if not tables.contract.has_clock or not clocks.any():
        return
    keys = pa.table(
        {
            "customer_id": pa.array(units.customer_id, pa.string()),
            "cutoff": pa.array(units.cutoff.dt.date, pa.date32()),
            "contact_day": pa.array(units.day, pa.date32()),
            "contact_time": pa.array(units.time, pa.timestamp("us")),
        }
    )
    contacts = engine.store_arrow("trial_days", keys)
    met = engine.to_arrow(rows_on_contact_day(tables.events, contacts)).to_pandas()
    treated = int((units.action != control).sum())
    before, others = int((met.before > 0).sum()), int(met.before.isna().sum())
    share, usual = before / treated, others / max(len(units) - treated, 1)
    error = float(np.sqrt(max(usual * (1 - usual), 1 / treated) / treated))
    if share > MAX_RATIO * usual and share > usual + MAX_ERRORS * error:
        raise RefusedError(
            f"{before:,} of {treated:,} contacts ({share:.0%}) came after an event of the same day, and of the "
            f"customers without a contact {usual:.0%} had an event on such a day: events trigger these contacts, so "
            "that nothing tells their effect from what customers did anyway. Leave such contacts out in [contacts] "
            "query, or hold some customers out at random and name the propensity in [contacts] propensity"
        )
