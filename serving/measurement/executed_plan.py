"""A plan beside what came of it: who was meant to get what, who really got it, and what they did since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.campaigns.plan_outcomes import PlanOutcomes, read_plan_outcomes
from features.config.load import Config
from features.errors import DataError, RefusedError, sample
from features.task import Window
from serving.planning.plan import Plan

RETURN, VALUE = "return", "value"


@dataclass(frozen=True)
class ExecutedPlan:
    """The customers of a plan whom the log knows (n), in the plan's order.

    Attributes:
        plan: As it was made.
        actions: Its actions (a).
        segment: Names (n,).
        eligible: (n,) who took part in the lot.
        held_out: (n,) who was held out.
        assigned: (n,) place of the action meant for each, those held out included; -1: none.
        contacts: (n, a) contacts received with each action.
        other_contacts: (n,) contacts with an action that the plan does not have.
        cost: (n,) of the contacts with the plan's actions.
        cost_source: 'contacts' where they tell their cost, else 'plan'.
        outcomes: (n,) by name: return (1: a purchase; of contracts, not cancelled) and, where there is money, value.
        covariates: (n, k) what was known when the plan was made, and `names` (k) what it is.
        missing_customers: How many of the plan's customers the log does not know.
        contacted_outside: How many customers who are not in the plan had a contact with its actions.
        other_actions: Customers by action that the plan does not have.
        log: What the log told.
        horizon: Over which the plan is judged.
    """

    plan: Plan
    actions: tuple[str, ...]
    segment: np.ndarray
    eligible: np.ndarray
    held_out: np.ndarray
    assigned: np.ndarray
    contacts: np.ndarray
    other_contacts: np.ndarray
    cost: np.ndarray
    cost_source: str
    outcomes: dict[str, np.ndarray]
    covariates: np.ndarray
    covariate_names: tuple[str, ...]
    missing_customers: int
    contacted_outside: int
    other_actions: dict[str, int]
    log: PlanOutcomes
    horizon: Window

    @property
    def treated(self) -> np.ndarray:
        """(n,) who was meant to get an action and was not held out."""
        return np.asarray((self.assigned >= 0) & ~self.held_out)

    @property
    def mature(self) -> bool:
        """Whether the log reaches the horizon's end."""
        return self.log.days >= self.horizon.days

    @property
    def matures(self) -> date:
        """When it does."""
        return self.plan.cutoff + self.horizon.delta


def load_executed_plan(config: Config, plan: Plan, other_log: bool = False) -> ExecutedPlan:
    """Joins a plan with the contacts that went out and the events since.

    Args:
        config: The business.
        plan: Of it.
        other_log: Whether a log will do that is not the one planned from.

    Raises:
        UsageError: There are no contacts in the config.
        RefusedError: The log's past is not that of the plan.
        DataError: Nothing can be compared: nobody held out or contacted, nothing since, or customers of another log.
    """
    facts, table = plan.manifest, plan.table()
    _refuse_no_comparison(plan, table)
    horizon = Window(int(facts["horizon_days"]))
    past = facts.get("past") or {"before": str(plan.cutoff)}
    log = read_plan_outcomes(config, table["customer_id"], plan.cutoff, horizon, date.fromisoformat(past["before"]))
    known = log.customers["known"].to_numpy(zero_copy_only=False)
    if not other_log:
        _refuse_other_log(plan, log, table, known)
    if not known.any():
        raise DataError(f"the log knows none of the {len(known):,} customers of {plan.folder}: it is another log")
    actions = tuple(facts["actions"])
    _refuse_not_carried_out(plan, actions, log)
    return _joined(plan, actions, table, known, log, horizon)


def _joined(
    plan: Plan, actions: tuple[str, ...], table: pa.Table, known: np.ndarray, log: PlanOutcomes, horizon: Window
) -> ExecutedPlan:
    got, other, cost, outside = _contacts(table["customer_id"], actions, plan, log)
    meant = pc.index_in(table["would_have"], value_set=pa.array(actions, pa.string())).fill_null(-1).to_numpy()
    came = {RETURN: 1.0 - log.customers["churned"].to_numpy()}
    if not log.customers["value"].null_count:
        came[VALUE] = log.customers["value"].to_numpy()
    columns = {"before": log.customers["before"], **{name: table[name] for name in ("churn_probability", "value")}}
    columns = {name: column for name, column in columns.items() if not column.null_count}
    elsewhere = log.contacts.filter(pc.invert(pc.is_in(log.contacts["action"], pa.array(actions, pa.string()))))
    return ExecutedPlan(
        plan=plan,
        actions=actions,
        segment=table["segment"].to_numpy(zero_copy_only=False)[known],
        eligible=table["eligible"].to_numpy()[known],
        held_out=table["holdout"].to_numpy()[known],
        assigned=meant[known],
        contacts=got[known],
        other_contacts=other[known],
        cost=cost[known],
        cost_source="contacts" if log.has_cost else "plan",
        outcomes={name: values[known] for name, values in came.items()},
        covariates=np.column_stack([column.to_numpy() for column in columns.values()])[known],
        covariate_names=tuple(columns),
        missing_customers=int((~known).sum()),
        contacted_outside=outside,
        other_actions={row["values"]: row["counts"] for row in elsewhere["action"].value_counts().to_pylist()},
        log=log,
        horizon=horizon,
    )


def _contacts(
    customers: pa.ChunkedArray, actions: tuple[str, ...], plan: Plan, log: PlanOutcomes
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Contacts with each action (n, a), with others (n,), the cost of the former (n,), and customers outside the plan.

    A contact whose cost is not told costs what the plan said.
    """
    n, a, rows = len(customers), len(actions), log.contacts
    who = pc.index_in(rows["customer_id"], value_set=customers.combine_chunks()).fill_null(-1).to_numpy()
    what = pc.index_in(rows["action"], value_set=pa.array(actions, pa.string())).fill_null(a).to_numpy()
    number, costed = (rows[name].to_numpy().astype(float) for name in ("contacts", "costed"))
    ours, inside = what < a, who >= 0
    got = np.zeros((n, a + 1))
    np.add.at(got, (who[inside], what[inside]), number[inside])
    prices = np.array([plan.manifest["rules"]["actions"][name]["cost"] for name in actions] + [0.0])
    money = rows["cost"].to_numpy() + (number - costed) * prices[what]
    cost = np.zeros(n)
    np.add.at(cost, who[inside & ours], money[inside & ours])
    outside = len(set(rows["customer_id"].filter(pa.array(ours & ~inside)).to_pylist()))
    return got[:, :a], got[:, a], cost, outside


def _refuse_no_comparison(plan: Plan, table: pa.Table) -> None:
    """A plan must have both sides: some with an action and some held out from one."""
    meant, held = table["would_have"].is_valid().to_numpy(), table["holdout"].to_numpy()
    done, kept = int((meant & ~held).sum()), int((meant & held).sum())
    if not done:
        raise DataError(f"{plan.folder}: the plan gives nobody an action, so there is nothing to measure")
    if not kept:
        raise DataError(
            f"{plan.folder}: nobody who would have an action was held out, so there is nothing to compare {done:,} "
            "customers with: an effect cannot be told from what would have come anyway; set [plan] holdout for the next"
        )


def _refuse_other_log(plan: Plan, log: PlanOutcomes, table: pa.Table, known: np.ndarray) -> None:
    """The log must be the one planned from, grown."""
    way_out = "measure with that log grown on, or, if its past was mended, with --other-log"
    if not known.all():
        lost = table["customer_id"].filter(pa.array(~known)).to_pylist()
        raise RefusedError(
            f"another log: it lacks {len(lost):,} of {len(known):,} customers of {plan.folder} (such as "
            f"{sample(lost, 3)}); {way_out}"
        )
    past = plan.manifest.get("past")
    if past and any(past[name] != count for name, count in log.marks.items()):
        raise RefusedError(
            f"another log: before {past['before']} it has {log.marks['events']:,} events of {log.marks['customers']:,} "
            f"customers, and {plan.folder} was made from {past['events']:,} of {past['customers']:,}"
            + ("" if past["events"] != log.marks["events"] else " with other amounts or days")
            + f"; {way_out}"
        )


def _refuse_not_carried_out(plan: Plan, actions: tuple[str, ...], log: PlanOutcomes) -> None:
    """Contacts with an action of the plan must have gone out, by the names that the plan uses."""
    found = sorted(set(log.contacts["action"].to_pylist()))
    strange = [name for name in found if name not in actions]
    span = f"[{plan.cutoff}, {min(log.end, plan.cutoff + Window(plan.manifest['horizon_days']).delta)})"
    for name in (name for name in actions if name not in found and plan.manifest["actions"][name]["customers"]):
        plain = {one.casefold(): one for one in strange}
        near = get_close_matches(name.casefold(), list(plain), n=1, cutoff=0.75)
        if near:
            raise DataError(
                f"[contacts] has no {name!r} in {span} but has {plain[near[0]]!r}, which the config lacks: give it the "
                "plan's name in [contacts] query"
            )
    if not set(found) & set(actions):
        there = f"its actions are {sample(strange)}" if strange else "it has no contact at all then"
        raise DataError(
            f"the plan was not carried out: [contacts] has none of {sample(actions)} in {span}; {there}. Enter what "
            "went out, under the plan's names"
        )
