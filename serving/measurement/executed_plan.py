"""A plan joined with what happened since: who was assigned to which action, who was contacted, and the outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.campaigns.plan_outcomes import PlanOutcomes, read_plan_outcomes
from features.errors import DataError, RefusedError, sample
from features.intake.log import Log
from features.task import Window, other_zone
from serving.experiments.arms import NOTHING
from serving.measurement.shared_draw import SharedDraw, first_scores
from serving.planning.plan import Plan

RETURN, VALUE = "return", "value"


@dataclass(frozen=True)
class ExecutedPlan:
    """The customers of a plan whom the log knows (n), in the plan's order.

    Attributes:
        plan: The plan.
        actions: Its actions (a).
        segment: Names (n,).
        eligible: Whether each customer (n,) took part in the randomisation.
        held_out: Whether each customer (n,) was held out.
        assigned: Place (n,) of the action that each customer was assigned to before the holdout was drawn; -1: none.
        contacts: Contacts (n, a) received with each action.
        other_contacts: Contacts (n,) with actions that the plan does not have.
        cost: Cost (n,) of the contacts with the plan's actions.
        cost_source: 'contacts' if they have a cost column, else 'plan'.
        outcomes: By name (n,): return (1: a purchase; of contracts, not cancelled) and, if there is money, value.
        covariates: What was known when the plan was made (n, k).
        covariate_names: Their names (k).
        missing_customers: Number of the plan's customers whom the log does not know.
        contacted_outside: Number of customers outside the plan who had a contact with its actions.
        responses: By action, the contacts with customers who were meant to get it, and how many of these were opened,
            clicked and converted; empty if the log does not say.
        other_actions: Customers contacted, by each action that the plan does not have.
        log: Outcomes and contacts, from the log.
        horizon: Days over which outcomes count.
        policy_since: The cutoff of the first plan that held out the same customers; None if this plan drew its own.
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
    responses: dict[str, dict[str, int]]
    other_actions: dict[str, int]
    log: PlanOutcomes
    horizon: Window
    policy_since: date | None = None

    @property
    def treated(self) -> np.ndarray:
        """Whether each customer (n,) is in the treatment group: assigned to an action and not held out."""
        return np.asarray((self.assigned >= 0) & ~self.held_out)

    @property
    def experiment(self) -> bool:
        """Whether arms were assigned at random; those held out are then the arm without an action."""
        return self.plan.manifest.experiment is not None

    @property
    def control(self) -> np.ndarray:
        """Whether each customer (n,) is held out from an action, or in an experiment's arm without an action."""
        return np.asarray(self.held_out & ((self.assigned >= 0) | self.experiment))

    def arm(self, name: str) -> np.ndarray:
        """Whether each customer (n,) is in an arm of the experiment."""
        return (
            self.control if name == NOTHING else np.asarray(self.treated & (self.assigned == self.actions.index(name)))
        )

    @property
    def mature(self) -> bool:
        """Whether the log reaches the end of the horizon."""
        return self.log.days >= self.horizon.days

    @property
    def matures(self) -> date:
        """The day on which the horizon ends."""
        return self.plan.cutoff + self.horizon.delta


def load_executed_plan(log: Log, plan: Plan, other_log: bool = False) -> ExecutedPlan:
    """Join a plan with the contacts that were made and the events since.

    Args:
        log: The log.
        plan: A plan of its business.
        other_log: Whether to accept a log other than the one that the plan was made from.

    Returns:
        The plan's customers with their contacts and outcomes.

    Raises:
        UsageError: The config has no contacts.
        RefusedError: The log's past is not the one that the plan was made from, or days begin in another zone.
        DataError: There is nothing to compare: nobody was held out or contacted, nothing has happened since, or the
            log has other customers.
    """
    facts, table = plan.manifest, plan.table()
    if not other_log:
        _refuse_other_zone(plan, log.config.task.timezone)
    if facts.experiment is None:
        _refuse_no_comparison(plan, table)
    horizon = Window(int(facts.horizon_days))
    past = facts.past or {"before": str(plan.cutoff)}
    day = date.fromisoformat(past["before"])
    outcomes = read_plan_outcomes(log, table["customer_id"], plan.cutoff, horizon, day)
    known = outcomes.customers["known"].to_numpy(zero_copy_only=False)
    if not other_log:
        _refuse_other_log(plan, outcomes, table, known)
    if not known.any():
        raise DataError(
            f"the log knows none of the {len(known):,} customers of {plan.folder}, so it is another log; expected the "
            "log that the plan was made from"
        )
    actions = tuple(facts.actions)
    _refuse_not_executed(plan, actions, outcomes)
    return _join(plan, actions, table, known, outcomes, horizon, first_scores(log.config, plan))


def _join(
    plan: Plan,
    actions: tuple[str, ...],
    table: pa.Table,
    known: np.ndarray,
    log: PlanOutcomes,
    horizon: Window,
    draw: SharedDraw,
) -> ExecutedPlan:
    contacts, other_contacts, cost, outside = _contacts(table["customer_id"], actions, plan, log)
    assigned = pc.index_in(table["would_have"], value_set=pa.array(actions, pa.string())).fill_null(-1).to_numpy()
    outcomes = {RETURN: 1.0 - log.customers["churned"].to_numpy()}
    if not log.customers["value"].null_count:
        outcomes[VALUE] = log.customers["value"].to_numpy()
    before = {} if draw.since else {"before": log.customers["before"]}
    columns = {**before, **draw.scores}
    columns = {name: column for name, column in columns.items() if not column.null_count}
    other_actions = log.contacts.filter(pc.invert(pc.is_in(log.contacts["action"], pa.array(actions, pa.string()))))
    return ExecutedPlan(
        plan=plan,
        actions=actions,
        segment=table["segment"].to_numpy(zero_copy_only=False)[known],
        eligible=table["eligible"].to_numpy()[known],
        held_out=table["holdout"].to_numpy()[known],
        assigned=assigned[known],
        contacts=contacts[known],
        other_contacts=other_contacts[known],
        cost=cost[known],
        cost_source="contacts" if log.has_cost else "plan",
        outcomes={name: values[known] for name, values in outcomes.items()},
        covariates=np.column_stack([column.to_numpy() for column in columns.values()])[known],
        covariate_names=tuple(columns),
        missing_customers=int((~known).sum()),
        contacted_outside=outside,
        responses=_responses(table, actions, log.contacts),
        other_actions={row["values"]: row["counts"] for row in other_actions["action"].value_counts().to_pylist()},
        log=log,
        horizon=horizon,
        policy_since=draw.since,
    )


def _contacts(
    customers: pa.ChunkedArray, actions: tuple[str, ...], plan: Plan, log: PlanOutcomes
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Contacts with each action (n, a) and with others (n,), cost of the former (n,), and customers outside the plan.

    A contact without a cost costs what the plan assumed for its action.
    """
    n, a, rows = len(customers), len(actions), log.contacts
    who = pc.index_in(rows["customer_id"], value_set=customers.combine_chunks()).fill_null(-1).to_numpy()
    what = pc.index_in(rows["action"], value_set=pa.array(actions, pa.string())).fill_null(a).to_numpy()
    number, costed = (rows[name].to_numpy().astype(float) for name in ("contacts", "costed"))
    planned, inside = what < a, who >= 0
    counts = np.zeros((n, a + 1))
    np.add.at(counts, (who[inside], what[inside]), number[inside])
    prices = np.array([plan.manifest.rules["actions"][name]["cost"] for name in actions] + [0.0])
    money = rows["cost"].to_numpy() + (number - costed) * prices[what]
    cost = np.zeros(n)
    np.add.at(cost, who[inside & planned], money[inside & planned])
    outside = len(set(rows["customer_id"].filter(pa.array(planned & ~inside)).to_pylist()))
    return counts[:, :a], counts[:, a], cost, outside


def _responses(table: pa.Table, actions: tuple[str, ...], contacts: pa.Table) -> dict[str, dict[str, int]]:
    """The answers to the contacts that the plan asked for, by action; empty if the log records none."""
    answers = [role for role in ("opened", "clicked", "converted") if role in contacts.column_names]
    planned = table.filter(table["action"].is_valid()).select(["customer_id", "action"])
    received = contacts.join(planned, ["customer_id", "action"], join_type="inner")
    responses = {}
    for name in actions if answers else ():
        rows = received.filter(pc.equal(received["action"], name))
        responses[name] = {key: int(pc.sum(rows[key]).as_py() or 0) for key in ("contacts", *answers)}
    return responses


def _refuse_no_comparison(plan: Plan, table: pa.Table) -> None:
    """Refuse a plan without a treatment group or without a holdout."""
    assigned, held_out = table["would_have"].is_valid().to_numpy(), table["holdout"].to_numpy()
    n_treated, n_held_out = int((assigned & ~held_out).sum()), int((assigned & held_out).sum())
    if not n_treated:
        raise DataError(f"{plan.folder}: the plan gives nobody an action, so there is nothing to measure")
    if not n_held_out:
        raise DataError(
            f"{plan.folder}: no customer assigned to an action was held out, so there is no control group for the "
            f"{n_treated:,} customers treated, and no effect can be measured; set [plan] holdout for the next plan"
        )


def _refuse_other_zone(plan: Plan, zone: str) -> None:
    """Refuse a plan whose cutoff is the begin of a day in another zone: its past and its outcomes begin elsewhere."""
    if problem := other_zone({"timezone": plan.manifest.timezone}, zone):
        raise RefusedError(
            f"{plan.folder} was made {problem}; set it back to measure this plan, or measure it over the days of the "
            "new zone with --other-log"
        )


def _refuse_other_log(plan: Plan, log: PlanOutcomes, table: pa.Table, known: np.ndarray) -> None:
    """Refuse a log that is not the one that the plan was made from, with later events added."""
    way_out = "measure with that log and its later events or, if its past was corrected, with --other-log"
    if not known.all():
        lost = table["customer_id"].filter(pa.array(~known)).to_pylist()
        raise RefusedError(
            f"another log: it lacks {len(lost):,} of {len(known):,} customers of {plan.folder} (such as "
            f"{sample(lost, 3)}); {way_out}"
        )
    past = plan.manifest.past
    if past and any(past[name] != count for name, count in log.marks.items()):
        raise RefusedError(
            f"another log: before {past['before']} it has {log.marks['events']:,} events of {log.marks['customers']:,} "
            f"customers, and {plan.folder} was made from {past['events']:,} of {past['customers']:,}"
            + ("" if past["events"] != log.marks["events"] else " with other amounts or days")
            + f"; {way_out}"
        )


def _refuse_not_executed(plan: Plan, actions: tuple[str, ...], log: PlanOutcomes) -> None:
    """Refuse contacts without an action of the plan, or with an action that is spelled differently."""
    contacted = sorted(set(log.contacts["action"].to_pylist()))
    unplanned = [name for name in contacted if name not in actions]
    span = f"[{plan.cutoff}, {min(log.end, plan.cutoff + Window(plan.manifest.horizon_days).delta)})"
    for name in (name for name in actions if name not in contacted and plan.manifest.actions[name]["customers"]):
        by_casefold = {other.casefold(): other for other in unplanned}
        similar = get_close_matches(name.casefold(), list(by_casefold), n=1, cutoff=0.75)
        if similar:
            raise DataError(
                f"[contacts] has no {name!r} in {span} but has {by_casefold[similar[0]]!r}, which the plan does not "
                "have: give it the plan's name in [contacts] query"
            )
    if not set(contacted) & set(actions):
        there = f"its actions are {sample(unplanned)}" if unplanned else "it has no contacts in that time"
        raise DataError(
            f"the plan was not carried out: [contacts] has none of {sample(actions)} in {span}; {there}. Add the "
            "contacts that were made, with the plan's names of actions"
        )
