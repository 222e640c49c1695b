"""The data set for uplift models: features before a contact, the action, and the outcome, by customer and round.

A round begins with the day of its first contact, which is the cutoff of its features, and has all contacts that come
less than `[uplift] round` later. A customer's first contact in a round counts, with the outcome in
[its day, its day + horizon). Whatever happens after it, other contacts included, is part of the effect. Contacts that
were not randomised are sequential trials instead (`sequential_trials`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from features.campaigns.measured_plans import DEFAULT_CONTROL, plans_as_contacts, read_measured_plans
from features.campaigns.required_contacts import require_uplift_contacts
from features.campaigns.sequential_trials import refuse_triggered_contacts, sequential_trials
from features.campaigns.trial_outcomes import OUTCOMES, final_outcomes, revised_outcomes
from features.config.load import Config
from features.config.table_sections import Contacts
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.log import Business, Log, opened
from features.intake.tables import Tables
from features.point_in_time.history import owned_columns
from features.snapshots import build
from features.snapshots.build import Snapshots
from features.snapshots.cache import open_cache
from features.task import Task, Window

IMPOSSIBLE = "impossible propensity"  # the reason for which intake sets such rows aside
KEYS = ["customer_id", "cutoff"]
NOBODY = pd.DataFrame(columns=KEYS)


@dataclass(frozen=True)
class UpliftDataset:
    """One row for each customer and round whose outcome is known, by cutoff and customer.

    Attributes:
        rows: customer_id, cutoff (the first day of the round), day (of the contact), round (within one, propensities
            add up to 1), action, propensity (NaN if unknown), returned (1: a purchase within the horizon), value (net
            amount within the horizon; NaN if the log has no amounts), and the features as known before the cutoff.
        names: The feature columns.
        control: The name of the arm in which nothing was done.
        rounds: The cutoffs of the rounds.
        left_out: How many contacts do not count, by reason.
        task: Horizon and windows.
        fingerprint: Fingerprint of the features.
        data_fingerprint: Fingerprint of the data.
        own: Digest of the user's own features.
        end: First day of which the log knows nothing.
        plans: The measured plans whose random assignment is used; empty if the contacts state their propensities.
        revisions: customer_id, cutoff, known_by, returned and value: outcomes that were other ones at the begin of a
            later round, because purchases were not known yet; None if there are none.
    """

    rows: pa.Table
    names: tuple[str, ...]
    control: str
    rounds: tuple[date, ...]
    left_out: Mapping[str, int]
    task: Task
    fingerprint: str
    data_fingerprint: str
    own: str
    end: date
    plans: tuple[str, ...] = ()
    revisions: pa.Table | None = None

    def outcomes_as_known(self, day: date) -> pd.DataFrame:
        """Outcomes (`returned`, `value`) of the rows as known before a round began; NaN until the horizon has passed.

        Args:
            day: One of the rounds.
        """
        rows = self.rows.select([*KEYS, "day", *OUTCOMES]).to_pandas()
        if self.revisions is not None:
            known = self.revisions.to_pandas()
            known = known[known.known_by == day].drop(columns="known_by")
            known["cutoff"] = known.cutoff.astype(rows.cutoff.dtype)
            revised = rows[KEYS].merge(known, on=KEYS, how="left", sort=False)
            for name in OUTCOMES:
                rows[name] = revised[name].where(revised.returned.notna(), rows[name])
        passed = pd.to_datetime(rows.day) + self.task.horizon.delta <= pd.Timestamp(day)
        return rows[list(OUTCOMES)].where(passed)


def build_uplift_dataset(business: Business) -> UpliftDataset:
    """Builds the data set from a log and its contacts; the business is an opened log, a config, or its path.

    Raises:
        UsageError: There are no contacts or no control, or the log has only subscriptions.
        RefusedError: Propensities are not given, and the config does not accept an observational estimate.
        DataError: The log breaks its contract, or its contacts cannot be those of an experiment.
    """
    with opened(business) as log:
        return _build_dataset(log, require_uplift_contacts(log.config))


def _build_dataset(log: Log, section: Contacts) -> UpliftDataset:
    config, task = log.config, log.config.task.to_task()
    with build.checked_log(log) as (engine, tables, own):
        refuse_impossible_propensity(tables, config)
        plans = randomising_plans(config)
        contacts, left_out, excluded = _contacts_of_rounds(tables, section, config, engine, bool(plans))
        contacts = _mature_contacts(contacts, _arm_names(contacts, section, config), tables, task, left_out)
        rounds = sorted({moment.date() for moment in contacts.cutoff})
        snapshots = build.snapshots_from_tables(
            tables, task, rounds, engine, own=own, with_labels=False, cache=open_cache(config)
        )
        control = section.control or DEFAULT_CONTROL
        units = _units_with_features(contacts, excluded, snapshots, control, config, left_out)
        outcomes = final_outcomes(units, tables, task, engine)
        revisions = revised_outcomes(units, tables, task, rounds, engine)
    rows = _dataset_rows(units, outcomes, snapshots)
    return UpliftDataset(
        rows=rows,
        names=tuple(snapshots.names),
        control=control,
        rounds=tuple(rounds),
        left_out=left_out,
        task=task,
        fingerprint=snapshots.fingerprint,
        data_fingerprint=snapshots.data_fingerprint,
        own=snapshots.own,
        end=snapshots.end,
        plans=plans,
        revisions=revisions,
    )


def randomising_plans(config: Config) -> tuple[str, ...]:
    """The measured plans whose random assignment is used if the contacts have no propensities; else empty."""
    if config.uplift.observational or (config.contacts and config.contacts.propensity):
        return ()
    return tuple(f"{plan.cutoff}/{plan.campaign}" for plan in read_measured_plans(config))


def refuse_impossible_propensity(tables: Tables, config: Config) -> None:
    """Raises DataError if intake set contacts aside because of a propensity outside (0, 1)."""
    if config.uplift.observational:
        return
    for aside in tables.sides["contacts"].set_aside:
        if aside.reason == IMPOSSIBLE and aside.rows:
            raise DataError(
                f"{aside.rows:,} contacts have a propensity outside (0, 1) (customers such as "
                f"{sample(aside.customers, 3)}): correct the column that [contacts] propensity names"
            )


def round_starts(days: Sequence[date], length: Window) -> dict[date, date]:
    """The first day of the round to which each day belongs.

    >>> days = [date(2024, 1, 1), date(2024, 1, 3), date(2024, 1, 9)]
    >>> [str(first) for first in round_starts(days, Window(7)).values()]
    ['2024-01-01', '2024-01-01', '2024-01-09']
    """
    starts: dict[date, date] = {}
    first: date | None = None
    for day in sorted(set(days)):
        if first is None or day >= first + length.delta:
            first = day
        starts[day] = first
    return starts


def _plan_contacts(config: Config) -> tuple[pd.DataFrame, dict[str, int]]:
    """What measured plans intended for customers (cutoff, day, action, propensity, round), and counts of rows left out.

    A customer in several plans of one cutoff counts in none, because the effects of the plans cannot be separated.
    """
    contacts = plans_as_contacts(config).to_pandas()
    contacts["cutoff"] = pd.to_datetime(contacts.day)
    several = contacts.duplicated(KEYS, keep=False)
    return contacts[~several], {"in several plans of one cutoff": int(several.sum())}


def _contacts_of_rounds(
    tables: Tables, section: Contacts, config: Config, engine: Engine, planned: bool
) -> tuple[pd.DataFrame, dict[str, int], pd.DataFrame]:
    """The contacts that count, counts of those left out, and who is in no group of a round (customer_id, cutoff)."""
    if planned:
        return *_plan_contacts(config), NOBODY
    contacts, left_out = _usable_contacts(tables, section, config, engine)
    if not config.uplift.observational:
        return *_first_contacts(contacts, config, left_out), NOBODY
    control, latest = section.control or DEFAULT_CONTROL, tables.labels_end - config.task.horizon.delta
    owned = _of_owners(contacts.assign(cutoff=pd.to_datetime(contacts.day)))
    trials = sequential_trials(owned, control, config.uplift.round, latest)
    refuse_triggered_contacts(trials.contacts, tables, engine)
    return trials.contacts, left_out | trials.left_out, trials.excluded


def _usable_contacts(
    tables: Tables, section: Contacts, config: Config, engine: Engine
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The contacts of customers who had an event before them, and counts of the others."""
    e, c = tables.events, tables.sides["contacts"].rows
    first = e.group_by("customer_id").aggregate(first=e.day.min())
    names = ("customer_id", "day", "time", "action", "propensity", "first", *owned_columns(c))
    joined = c.left_join(first, "customer_id").select(names)
    contacts = engine.to_arrow(joined).to_pandas()
    left_out = dict(_unusable_contacts(contacts, config, section))
    contacts = contacts[contacts["first"].notna() & (contacts["first"] < contacts.day)]
    if contacts.empty:
        raise DataError(
            "no contact is of a customer who had an event before it: check the columns [contacts] customer and time"
        )
    return contacts, left_out


def _first_contacts(
    contacts: pd.DataFrame, config: Config, left_out: dict[str, int]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Each customer's first contact of a round, and counts of contacts left out.

    The columns are customer_id, cutoff, day, action, propensity and round.
    """
    starts = round_starts(contacts.day.tolist(), config.uplift.round)
    contacts = _of_owners(contacts.assign(cutoff=pd.to_datetime(contacts.day.map(starts))))
    contacts = contacts.sort_values([*KEYS, "time", "action", "propensity"], kind="stable")
    firsts = contacts[contacts.time == contacts.groupby(KEYS).time.transform("min")]
    several = firsts.groupby(KEYS).action.transform("nunique") > 1
    left_out["several actions at one moment"] = int(several.sum())
    once = firsts[~several].drop_duplicates(KEYS)
    left_out["after the first of the round"] = len(contacts) - len(once) - int(several.sum())
    once = once.assign(round=once.cutoff.dt.strftime("%Y-%m-%d"))
    return once[[*KEYS, "day", "action", "propensity", "round"]], left_out


def _of_owners(contacts: pd.DataFrame) -> pd.DataFrame:
    """The contacts that are the customer's at their cutoff; all of them unless ids were joined at known dates."""
    if "owned_from" not in contacts:
        return contacts
    start, end = (pd.to_datetime(contacts[name]) for name in ("owned_from", "owned_until"))
    return contacts[~(start >= contacts.cutoff) & ~(end < contacts.cutoff)]


def _unusable_contacts(contacts: pd.DataFrame, config: Config, section: Contacts) -> Iterator[tuple[str, int]]:
    """Counts contacts of customers without any event before them; raises DataError if they are too many."""
    unknown = contacts["first"].isna()
    early = ~unknown & (contacts["first"] >= contacts.day)
    for rows, reason, problem, question in (
        (unknown, "of unknown customers", "who are not in the events", "are the ids those of [events]"),
        (early, "before the customer's first event", "who had no event yet", "is the log of [events] complete"),
    ):
        count = int(rows.sum())
        if count > section.max_unreadable * len(contacts):
            some = sample(sorted(contacts.customer_id[rows].unique())[:3])
            raise DataError(
                f"{count:,} of {len(contacts):,} contacts are of customers {problem} (such as {some}), above "
                f"[contacts] max_unreadable = {section.max_unreadable:g}: {question}? If so, raise max_unreadable: "
                "these contacts are then left out and counted, because nothing was known of the customers before them"
            )
        yield reason, count


def _arm_names(contacts: pd.DataFrame, section: Contacts, config: Config) -> list[str]:
    """The names of all arms; raises DataError for an action that the config lacks, or an arm without customers."""
    control, present = section.control or DEFAULT_CONTROL, set(contacts.action.unique())
    wanted = list(config.uplift.actions) or sorted(present - {control})
    for unlisted in sorted(present - {control, *wanted}):
        nearest = difflib.get_close_matches(unlisted, [*wanted, control], n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has {sample([control, *wanted], 20)}."
        raise DataError(
            f"[contacts] has the action {unlisted!r}, which is not in [uplift] actions; {hint} Add it there, or remove "
            "its rows in [contacts] query"
        )
    if control in wanted:
        raise UsageError(f"[uplift] actions names the control {control!r}, which is no action; remove it")
    arms = wanted if config.uplift.observational else [control, *wanted]
    if empty := [arm for arm in arms if arm not in present]:
        raise DataError(
            f"arm {sample(empty)} has no customers in [contacts] (found: {sample(sorted(present), 20)}): its effect "
            "cannot be measured; check its name, or wait for a round with it"
        )
    if not wanted:
        raise DataError(
            f"[contacts] has only the control {control!r}: there is no effect to learn; add the contacts of an action"
        )
    return arms


def _mature_contacts(
    contacts: pd.DataFrame, arms: Sequence[str], tables: Tables, task: Task, left_out: dict[str, int]
) -> pd.DataFrame:
    """The contacts whose horizon has passed; raises DataError if an arm has none."""
    latest = tables.labels_end - task.horizon.delta
    known = contacts.day.map(lambda day: day <= latest).astype(bool)
    left_out["immature"] = int((~known).sum())
    for arm in arms:
        days_of_arm = contacts.day[contacts.action == arm]
        if not known[days_of_arm.index].any():
            first = min(days_of_arm)
            raise DataError(
                f"arm {arm!r} has no outcomes yet: its first contact was on {first}, the log ends at {tables.end} and "
                f"[task] horizon is {task.horizon}; wait until {first + task.horizon.delta}, or shorten the horizon"
            )
    return contacts[known]


def _units_with_features(
    contacts: pd.DataFrame,
    excluded: pd.DataFrame,
    snapshots: Snapshots,
    control: str,
    config: Config,
    left_out: dict[str, int],
) -> pd.DataFrame:
    """The contacts of the cohorts with the `place` of their features; with an observational estimate all customers."""
    cohort = pd.DataFrame({name: snapshots.rows[name].to_pandas() for name in KEYS})
    cohort["cutoff"] = cohort.cutoff.astype(contacts.cutoff.dtype)
    cohort["place"] = np.arange(len(cohort))
    units = cohort.merge(contacts, on=KEYS, how="left" if config.uplift.observational else "inner", sort=False)
    left_out["not active at the time"] = len(contacts) - int(units.action.notna().sum())
    if len(excluded):
        units = units.merge(excluded.assign(excluded=True), on=KEYS, how="left", sort=False)
        units = units[units.excluded.isna() | units.action.notna()].drop(columns="excluded")
    if units.empty:
        raise DataError(
            "no contact is of a customer who was active at the time ([task] active_within): no effect can be learned; "
            "check the dates of the contacts, or widen active_within"
        )
    units["day"] = units.day.where(units.day.notna(), units.cutoff.dt.date)
    units["action"] = units.action.fillna(control)
    units["round"] = units["round"].fillna(units.cutoff.dt.strftime("%Y-%m-%d"))
    return units.sort_values("place", kind="stable").reset_index(drop=True)


def _dataset_rows(units: pd.DataFrame, outcomes: pd.DataFrame, snapshots: Snapshots) -> pa.Table:
    outcomes["cutoff"] = outcomes.cutoff.astype(units.cutoff.dtype)
    joined = units.merge(outcomes, on=KEYS, how="left", sort=False)
    features = snapshots.rows.take(pa.array(joined.place.to_numpy()))
    columns = {
        "day": pa.array(joined.day, pa.date32()),
        "round": pa.array(joined["round"], pa.string()),
        "action": pa.array(joined.action, pa.string()),
        "propensity": joined.propensity.to_numpy(float),
        "returned": joined.returned.to_numpy(float),
        "value": joined.value.to_numpy(float),
    }
    return pa.table(
        {**{name: features[name] for name in KEYS}, **columns, **{name: features[name] for name in snapshots.names}}
    )
