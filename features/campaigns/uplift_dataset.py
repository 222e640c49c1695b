"""Contacts as trials: of each customer and round what was known before, what was done, and what came of it.

A round is a run of contacts: it begins with its first day, which is the cutoff of its features, and holds those that
come less than `[uplift] round` later. A customer's first contact of a round counts, and what came in
[its day, its day + horizon). What follows later, other contacts included, belongs to the effect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from features.audit.audit import require_no_breach, with_too_long_windows
from features.campaigns.measured_plans import DEFAULT_CONTROL, plans_as_contacts, read_measured_plans
from features.catalog.custom import read_custom_features
from features.config.load import Config
from features.config.table_sections import Contacts
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError, RefusedError, UsageError, sample
from features.intake import read_log
from features.intake.tables import Tables
from features.point_in_time.history import order_days, rows_after_contact
from features.point_in_time.labels import churned_label, purchase_labels, value_label
from features.snapshots import build
from features.snapshots.build import Snapshots
from features.snapshots.cache import open_cache
from features.task import Task, Window

IMPOSSIBLE = "impossible propensity"  # as intake calls the rows that it sets aside
KEYS = ["customer_id", "cutoff"]


@dataclass(frozen=True)
class UpliftDataset:
    """One row a customer and round whose outcome is known, by cutoff and customer.

    Attributes:
        rows: customer_id, cutoff (the first day of the round), round (in which propensities sum to one), action,
            propensity (NaN where unknown), returned (1: a purchase within the horizon), value (net amount in it; NaN
            without money), and the features as known before the cutoff.
        names: The feature columns.
        control: The name of the arm in which nothing was done.
        rounds: Their cutoffs.
        left_out: How many contacts do not count, by the reason.
        task: Horizon and windows.
        fingerprint: Of the features.
        data_fingerprint: Of the data.
        own: Digest of the user's own features.
        end: First day about which nothing is known.
        plans: The measured plans by whose lot the arms were drawn; empty where the contacts tell their propensities.
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


def build_uplift_dataset(config: Config) -> UpliftDataset:
    """Reads a config's log, and makes trials of its contacts.

    Raises:
        UsageError: There are no contacts or no control, or the log is one of contracts alone.
        RefusedError: Propensities are not given, and the config does not accept an observational estimate.
        DataError: The log breaks its contract, or its contacts cannot be those of a trial.
    """
    section = require_uplift_contacts(config)
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        tables = with_too_long_windows(read_log.read_tables(config, engine), task)
        require_no_breach(tables, task, engine)
        refuse_impossible_propensity(tables, config)
        plans = randomising_plans(config)
        given, left_out = _planned(config) if plans else _contacts(tables, section, config, engine)
        given = _mature(given, _arms(given, section, config), tables, task, left_out)
        rounds = sorted({moment.date() for moment in given.cutoff})
        built = build.snapshots_from_tables(
            tables, task, rounds, engine, own=read_custom_features(config, task, tables.contract), with_labels=False,
            cache=open_cache(config),
        )  # fmt: skip
        units = _units(given, built, section.control or DEFAULT_CONTROL, config, left_out)
        came = _outcomes(units, tables, task, engine)
    rows = _joined(units, came, built)
    return UpliftDataset(
        rows, tuple(built.names), section.control or DEFAULT_CONTROL, tuple(rounds), left_out, task, built.fingerprint,
        built.data_fingerprint, built.own, built.end, plans,
    )  # fmt: skip


def require_uplift_contacts(config: Config) -> Contacts:
    """The section of contacts, where effects can be learned from it.

    Raises:
        UsageError: There is none, or no control, or the log is one of contracts alone.
        RefusedError: It names no propensity, and the config does not accept an observational estimate.
    """
    section, accepted = config.contacts, config.uplift.observational
    if section is None:
        raise UsageError(
            "there is no [contacts]: the effect of actions is learned from what was done to whom; name the table"
        )
    if config.only_subscriptions:
        raise UsageError("[events] is not given: the effect of actions is on purchases, and terms alone show none")
    if not section.propensity and not accepted and not read_measured_plans(config):
        raise RefusedError(
            "[contacts] propensity is not set, so nothing says that contacts were drawn at random: whoever was chosen "
            "for an action may differ from the others in what comes anyway. Name the column of the probability of each "
            "contact's action, or measure a plan (`regulars measure`), whose holdout is such a draw, or accept an "
            "estimate from what can be seen, marked as such wherever it shows: [uplift] observational = true"
        )
    if not section.control and not accepted and section.propensity:
        raise UsageError(
            "[contacts] control is not set: an effect is the difference to customers to whom nothing was done; write "
            "them into the contacts, as a plan's holdout is, and name their action in control"
        )
    return section


def randomising_plans(config: Config) -> tuple[str, ...]:
    """The measured plans that say how contacts were drawn, where the contacts do not; else none."""
    if config.uplift.observational or (config.contacts and config.contacts.propensity):
        return ()
    return tuple(f"{plan.cutoff}/{plan.campaign}" for plan in read_measured_plans(config))


def refuse_impossible_propensity(tables: Tables, config: Config) -> None:
    """Refuses contacts that intake set aside for a propensity that no draw can have; raises DataError."""
    if config.uplift.observational:
        return
    for aside in tables.sides["contacts"].set_aside:
        if aside.reason == IMPOSSIBLE and aside.rows:
            raise DataError(
                f"{aside.rows:,} contacts have a propensity outside (0, 1) (customers such as "
                f"{sample(aside.customers, 3)}): mend the column that [contacts] propensity names"
            )


def round_starts(days: Sequence[date], length: Window) -> dict[date, date]:
    """The first day of the round to which each day belongs.

    >>> days = [date(2024, 1, 1), date(2024, 1, 3), date(2024, 1, 9)]
    >>> [str(first) for first in rounds_of(days, Window(7)).values()]
    ['2024-01-01', '2024-01-01', '2024-01-09']
    """
    found: dict[date, date] = {}
    first: date | None = None
    for day in sorted(set(days)):
        if first is None or day >= first + length.delta:
            first = day
        found[day] = first
    return found


def _planned(config: Config) -> tuple[pd.DataFrame, dict[str, int]]:
    """What measured plans meant for each customer (cutoff, day, action, propensity, round), and how many do not count.

    Who was in several plans of one cutoff counts in none: what came cannot be told apart.
    """
    given = plans_as_contacts(config).to_pandas()
    given["cutoff"] = pd.to_datetime(given.day)
    several = given.duplicated(KEYS, keep=False)
    return given[~several], {"in several plans of one cutoff": int(several.sum())}


def _contacts(tables: Tables, section: Contacts, config: Config, engine: Engine) -> tuple[pd.DataFrame, dict[str, int]]:
    """Each customer's first contact of a round (cutoff, day, action, propensity), and how many do not count."""
    e, c = tables.events, tables.sides["contacts"].rows
    first = e.group_by("customer_id").aggregate(first=e.day.min())
    joined = c.left_join(first, "customer_id").select("customer_id", "day", "time", "action", "propensity", "first")
    given = engine.to_arrow(joined).to_pandas()
    left_out = dict(_strangers(given, config, section))
    given = given[given["first"].notna() & (given["first"] < given.day)]
    if given.empty:
        raise DataError("no contact is of a customer who was there before it: check [contacts] customer and time")
    starts = round_starts(given.day.tolist(), config.uplift.round)
    given = given.assign(cutoff=pd.to_datetime(given.day.map(starts)))
    given = given.sort_values([*KEYS, "time", "action", "propensity"], kind="stable")
    firsts = given[given.time == given.groupby(KEYS).time.transform("min")]
    several = firsts.groupby(KEYS).action.transform("nunique") > 1
    left_out["several actions at one moment"] = int(several.sum())
    once = firsts[~several].drop_duplicates(KEYS)
    left_out["after the first of the round"] = len(given) - len(once) - int(several.sum())
    once = once.assign(round=once.cutoff.dt.strftime("%Y-%m-%d"))
    return once[[*KEYS, "day", "action", "propensity", "round"]], left_out


def _strangers(given: pd.DataFrame, config: Config, section: Contacts) -> Iterator[tuple[str, int]]:
    """Contacts of whom nothing is known: counted and, where they are many, refused."""
    unknown = given["first"].isna()
    early = ~unknown & (given["first"] >= given.day)
    for rows, what, why, ask in (
        (unknown, "of unknown customers", "whom the events do not know", "are the ids those of [events]"),
        (early, "before the customer's first event", "who had no event yet", "is the log of [events] whole"),
    ):
        count = int(rows.sum())
        if count > section.max_unreadable * len(given):
            some = sample(sorted(given.customer_id[rows].unique())[:3])
            raise DataError(
                f"{count:,} of {len(given):,} contacts are of customers {why} (such as {some}), above [contacts] "
                f"max_unreadable = {section.max_unreadable:g}: {ask}? If it is, raise max_unreadable: they are left "
                "out and counted, since nothing was known of them before the contact"
            )
        yield what, count


def _arms(given: pd.DataFrame, section: Contacts, config: Config) -> list[str]:
    """The names of all arms; raises DataError on an action that the config lacks, or an arm without anybody."""
    control, found = section.control or DEFAULT_CONTROL, set(given.action.unique())
    wanted = list(config.uplift.actions) or sorted(found - {control})
    for strange in sorted(found - {control, *wanted}):
        near = difflib.get_close_matches(strange, [*wanted, control], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {sample([control, *wanted], 20)}"
        raise DataError(
            f"[contacts] holds the action {strange!r}, which [uplift] actions lacks; {hint} Add it, or leave it out in "
            "[contacts] query"
        )
    if control in wanted:
        raise UsageError(f"[uplift] actions names the control {control!r}: nothing is done there; take it out")
    arms = wanted if config.uplift.observational else [control, *wanted]
    if empty := [arm for arm in arms if arm not in found]:
        raise DataError(
            f"arm {sample(empty)} has no customers in [contacts] (found: {sample(sorted(found), 20)}): its effect "
            "cannot be measured; check its name, or wait for a round with it"
        )
    if not wanted:
        raise DataError(f"[contacts] holds nobody but the control {control!r}: there is no effect to learn")
    return arms


def _mature(
    given: pd.DataFrame, arms: Sequence[str], tables: Tables, task: Task, left_out: dict[str, int]
) -> pd.DataFrame:
    """The contacts whose horizon has passed; raises DataError where an arm has none."""
    latest = tables.end - task.horizon.delta
    known = given.day.map(lambda day: day <= latest).astype(bool)
    left_out["immature"] = int((~known).sum())
    for arm in arms:
        mine = given.day[given.action == arm]
        if not known[mine.index].any():
            raise DataError(
                f"arm {arm!r} has no outcomes yet: its first contact was on {min(mine)}, the log ends at {tables.end} "
                f"and [task] horizon is {task.horizon}; wait until {min(mine) + task.horizon.delta}, or shorten it"
            )
    return given[known]


def _units(
    given: pd.DataFrame, built: Snapshots, control: str, config: Config, left_out: dict[str, int]
) -> pd.DataFrame:
    """The contacts of the cohorts with the `place` of their features; what the log does not draw, also who had none."""
    cohort = pd.DataFrame({name: built.rows[name].to_pandas() for name in KEYS})
    cohort["cutoff"] = cohort.cutoff.astype(given.cutoff.dtype)
    cohort["place"] = np.arange(len(cohort))
    units = cohort.merge(given, on=KEYS, how="left" if config.uplift.observational else "inner", sort=False)
    left_out["not active at the time"] = len(given) - int(units.action.notna().sum())
    if units.empty:
        raise DataError("no contact is of an active customer ([task] active_within): no effect can be learned")
    units["day"] = units.day.where(units.day.notna(), units.cutoff.dt.date)
    units["action"] = units.action.fillna(control)
    units["round"] = units["round"].fillna(units.cutoff.dt.strftime("%Y-%m-%d"))
    return units.sort_values("place", kind="stable").reset_index(drop=True)


def _outcomes(units: pd.DataFrame, tables: Tables, task: Task, engine: Engine) -> pd.DataFrame:
    """returned and value of each unit."""
    told = pa.table(
        {
            "customer_id": pa.array(units.customer_id, pa.string()),
            "cutoff": pa.array(units.cutoff.dt.date, pa.date32()),
            "contact_day": pa.array(units.day, pa.date32()),
        }
    )
    contacts, has_amount = engine.store_arrow("trial_contacts", told), tables.contract.has_amount
    future = purchase_labels(rows_after_contact(order_days(tables), contacts, task.horizon), has_amount)
    joined = contacts.left_join(future, KEYS)
    found = joined.select(
        customer_id=joined.customer_id,
        cutoff=joined.cutoff.cast("timestamp"),
        returned=1 - churned_label(joined, contractual=False),
        value=value_label(joined, has_amount, contractual=False),
    )
    return engine.to_arrow(found).to_pandas()


def _joined(units: pd.DataFrame, came: pd.DataFrame, built: Snapshots) -> pa.Table:
    came["cutoff"] = came.cutoff.astype(units.cutoff.dtype)
    told = units.merge(came, on=KEYS, how="left", sort=False)
    features = built.rows.take(pa.array(told.place.to_numpy()))
    columns = {
        "round": pa.array(told["round"], pa.string()),
        "action": pa.array(told.action, pa.string()),
        "propensity": told.propensity.to_numpy(float),
        "returned": told.returned.to_numpy(float),
        "value": told.value.to_numpy(float),
    }
    return pa.table(
        {**{name: features[name] for name in KEYS}, **columns, **{name: features[name] for name in built.names}}
    )
