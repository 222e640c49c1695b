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
from features.point_in_time.history import days_before_contact
from features.task import Window

MAX_TRIALS = 52  # each builds the features of a whole cohort
BEFORE, MAX_RATIO, MAX_ERRORS = Window(28), 2.0, 3.0  # of events on a contact's day to those on the days before it
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


def refuse_triggered_contacts(contacts: pd.DataFrame, tables: Tables, engine: Engine) -> None:
    """Refuses contacts that follow events of the same day, such as a message about an order.

    Outcomes begin with the day, so those events would count as the contact's effect. What came before a contact cannot
    be its effect: if it is much more frequent than on the four weeks' days before, events trigger the contacts. Without
    clocks nothing tells what came first.

    Args:
        contacts: customer_id, cutoff, day and time, one row a contact.
        tables: The contract.
        engine: Where the tables are.

    Raises:
        RefusedError: Events trigger the contacts.
    """
    clocked = contacts[contacts.time != contacts.time.dt.normalize()]
    if not tables.contract.has_clock or clocked.empty:
        return
    keys = pa.table(
        {
            "customer_id": pa.array(clocked.customer_id, pa.string()),
            "cutoff": pa.array(clocked.cutoff.dt.date, pa.date32()),
            "contact_day": pa.array(clocked.day, pa.date32()),
            "contact_time": pa.array(clocked.time, pa.timestamp("us")),
        }
    )
    stored = engine.store_arrow("clocked_contacts", keys)
    met = engine.to_arrow(days_before_contact(tables.events, stored, BEFORE).order_by("cutoff", "customer_id"))
    count, same_day = len(clocked), int(np.sum(met["same_day"].to_numpy()))
    share, usual = same_day / count, float(np.sum(met["days"].to_numpy())) / (BEFORE.days * count)
    error = float(np.sqrt(max(usual * (1 - usual), 1 / count) / count))
    if share > MAX_RATIO * usual and share > usual + MAX_ERRORS * error:
        raise RefusedError(
            f"{same_day:,} of {count:,} contacts ({share:.0%}) came after an event of the same day, and these "
            f"customers had one on {usual:.1%} of the days before: events trigger the contacts, so that nothing tells "
            "their effect from what customers did anyway. Leave such contacts out in [contacts] query, or hold some "
            "customers out at random and name the propensity in [contacts] propensity"
        )
