"""Which customers may get which action, after earlier contacts and the config's exclusions, with reasons and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.audit.exclusion_lists import ListMatch, match_list, read_excluded
from features.campaigns.contact_history import read_attributes, read_days_since_actions, read_earlier_contacts
from features.config.monitor import ALL_CUSTOMERS
from features.config.plan import Exclusion, PlanConfig
from features.errors import DataError, UsageError
from features.intake.identifiers import identifier_text
from features.intake.log import Log
from features.task import Window
from features.templates import Phrase, phrase

OTHER_GROUPS = "not in the groups that the plan is for"
NO_ACTION = "no action is open to them"
WRONG_LIST = "So nobody would be excluded: write the ids as the log has them, or remove the rule"
SCORE_COLUMNS = ("segment", "tier", "lifecycle")
YES = ("yes", "true", "1", "y", "t")  # texts that mean consent, in lower case
ONE_DAY = Window(1)
MatchedRule = tuple[str, np.ndarray, tuple[str, ...]]  # the reason, who matches (n,), and the actions (none: all)


@dataclass(frozen=True)
class Eligibility:
    """Which customers may get which action.

    Attributes:
        allowed: (n, a) whether a customer may get an action; all false for customers who are left out.
        reasons: Why customers are left out, in words.
        reason_index: (n,) index of the first reason that leaves a customer out, or -1.
        blocked: By action and reason, how many of the remaining customers may not get it.
        lists: By reason, how many ids of a list are customers of the log.
    """

    allowed: np.ndarray
    reasons: tuple[str, ...]
    reason_index: np.ndarray
    blocked: dict[str, dict[str, int]]
    lists: dict[str, ListMatch]

    @property
    def left_out(self) -> dict[str, int]:
        """Number of customers left out, by reason."""
        customers = np.bincount(self.reason_index[self.reason_index >= 0], minlength=len(self.reasons))
        return {reason: int(number) for reason, number in zip(self.reasons, customers, strict=True)}


def apply_eligibility_rules(
    log: Log,
    rules: PlanConfig,
    cutoff: date,
    scores: pa.Table,
    has_effect: np.ndarray,
    first: Iterable[MatchedRule] = (),
) -> Eligibility:
    """Applies the given rules, the limits on earlier contacts, the exclusions in the config's order, then consent.

    Args:
        log: The log of the business.
        rules: Its [plan].
        cutoff: Contacts and attributes are taken as known before it.
        scores: The score table, n rows.
        has_effect: (n, a) whether the effect of the action on the customer is known.
        first: Rules that come before all others.

    Returns:
        Which customers may get which action, in the order of the score table.

    Raises:
        UsageError: A rule names a column or a file that does not exist.
        DataError: A table cannot be read, or a list of customers is surely not one of this log.
    """
    names, n = list(rules.actions), scores.num_rows
    allowed, reason_index = has_effect.copy(), np.full(n, -1)
    reasons: list[str] = []
    blocked: dict[str, dict[str, int]] = {name: {} for name in names}
    lists: dict[str, ListMatch] = {}
    for reason, matched, actions in (
        *first,
        *_only_rules(rules, scores),
        *_contact_rules(log, rules, cutoff, scores),
        *_rest_rules(log, rules, cutoff, scores),
        *_exclusion_rules(log, rules, cutoff, scores, lists),
        *_consent_rules(log, rules, cutoff, scores),
    ):
        if not actions:
            reasons.append(reason)
            reason_index[matched & (reason_index < 0)] = len(reasons) - 1
        for name in actions:
            column = names.index(name)
            blocked[name][reason] = int((matched & allowed[:, column] & (reason_index < 0)).sum())
            allowed[matched, column] = False
    reasons.append(NO_ACTION)
    reason_index[(reason_index < 0) & ~allowed.any(axis=1)] = len(reasons) - 1
    allowed[reason_index >= 0] = False
    return Eligibility(allowed, tuple(reasons), reason_index, blocked, lists)


def _only_rules(rules: PlanConfig, scores: pa.Table) -> Iterator[MatchedRule]:
    """Customers in none of the groups that the plan is for."""
    if not rules.only or ALL_CUSTOMERS in rules.only:
        return
    groups = pa.array(rules.only, pa.string())
    member = np.zeros(scores.num_rows, bool)
    for column in SCORE_COLUMNS:
        member |= pc.is_in(scores[column], value_set=groups).to_numpy()
    if not member.any():
        raise UsageError(
            f"[plan] only: nobody is in {', '.join(rules.only)}; expected names of segments, tiers or "
            "lifecycle stages of the scores"
        )
    yield OTHER_GROUPS, ~member, ()


def _consent_rules(log: Log, rules: PlanConfig, cutoff: date, scores: pa.Table) -> Iterator[MatchedRule]:
    """Customers without consent for an action: theirs is not yes, or unknown."""
    needed = {name: action.consent for name, action in rules.actions.items() if action.consent}
    for name, column in needed.items():
        place = f"[plan.actions.{name}] consent"
        values = _attribute_columns(log, cutoff, scores, [column], place, ())[column]
        given = pc.is_in(pc.utf8_lower(values), value_set=pa.array(YES, pa.string()))
        yield no_consent_reason(column), ~given.to_numpy(), (name,)


def no_consent_reason(column: str) -> Phrase:
    """Say that a customer did not consent, by the column that holds the consent."""
    return phrase("without consent (<column>)", column=column)


def _contact_rules(log: Log, rules: PlanConfig, cutoff: date, scores: pa.Table) -> Iterator[MatchedRule]:
    if log.config.contacts is None or (rules.contacted_within is None and rules.contacts_at_most is None):
        return
    contacts = read_earlier_contacts(log, cutoff, rules.contacts_window or ONE_DAY)
    place = pc.index_in(scores["customer_id"], value_set=contacts.customers.combine_chunks())
    age, recent = (_values_at(column, place) for column in (contacts.days_since, contacts.recent))
    if rules.contacted_within is not None:
        days = rules.contacted_within.days
        yield recent_contact_reason(days), age <= days, ()
    if rules.contacts_at_most is not None and rules.contacts_window is not None:
        most = rules.contacts_at_most
        yield frequent_contacts_reason(most, rules.contacts_window.days), recent > most, ()


def _rest_rules(log: Log, rules: PlanConfig, cutoff: date, scores: pa.Table) -> Iterator[MatchedRule]:
    """Customers who received an action so lately that they do not get it again."""
    rests = {name: action.rest.days for name, action in rules.actions.items() if action.rest is not None}
    if log.config.contacts is None or not rests:
        return
    received = read_days_since_actions(log, cutoff, list(rests))
    for name, days in rests.items():
        lately = pc.and_(pc.equal(received["action"], name), pc.less_equal(received["days_since"], days))
        ids = received["customer_id"].filter(lately).combine_chunks()
        yield same_action_reason(days), pc.is_in(scores["customer_id"], value_set=ids).to_numpy(), (name,)


def same_action_reason(days: int) -> Phrase:
    """Say that a customer got the same action in the last days."""
    return phrase(f"got it in the last {_days(days)}", days=days)


def recent_contact_reason(days: int) -> Phrase:
    """Say that a customer was contacted in the last days."""
    return phrase(f"contacted in the last {_days(days)}", days=days)


def frequent_contacts_reason(most: int, days: int) -> Phrase:
    """Say that a customer had more contacts than allowed in the last days."""
    contacts = "1 contact" if most == 1 else "<times> contacts"
    return phrase(f"more than {contacts} in the last {_days(days)}", times=most, days=days)


def _days(days: int) -> str:
    return "day" if days == 1 else "<days> days"


def _values_at(column: pa.ChunkedArray, place: pa.ChunkedArray) -> np.ndarray:
    """The values at given indices, nan for null: every comparison with nan is false."""
    return np.asarray(column.cast(pa.float64()).take(place).fill_null(np.nan).to_numpy())


def _exclusion_rules(
    log: Log, rules: PlanConfig, cutoff: date, scores: pa.Table, lists: dict[str, ListMatch]
) -> Iterator[MatchedRule]:
    """The exclusions in the config's order; adds to `lists` how each list of customers matches the log."""
    wanted = list(dict.fromkeys(r.column for r in rules.exclude if r.column and r.column not in SCORE_COLUMNS))
    columns = _attribute_columns(log, cutoff, scores, wanted)
    for rule in rules.exclude:
        if rule.column in SCORE_COLUMNS:
            column, listed = scores[rule.column], rule.values_as_text()
        elif rule.column:
            column = columns[rule.column]
            listed = [identifier_text(value) or value for value in rule.values_as_text()]
        else:
            column, listed = scores["customer_id"], _listed_customers(log, rule, cutoff, lists)
        matched = pc.is_in(column, value_set=pa.array(listed, pa.string()))
        yield rule.why, matched.to_numpy(), rule.actions


def _listed_customers(log: Log, rule: Exclusion, cutoff: date, lists: dict[str, ListMatch]) -> list[str]:
    """The customers in a list, with all that are the same person, even if that became known after the cutoff.

    Raises:
        DataError: The list is surely not one of this log.
    """
    excluded = read_excluded(log.config, rule)
    with log.stages() as (engine, tables):
        match, persons = match_list(excluded, tables, log.config, engine), tables.persons
    lists[rule.why] = match
    if match.is_wrong:
        raise DataError(f"{excluded.where}: {match.text()}. {WRONG_LIST}")
    names = {name for names in excluded.names for name in names}
    return sorted({persons.name_at(own_id, cutoff) for name in names for own_id in persons.ids_of(name)})


def _attribute_columns(
    log: Log,
    cutoff: date,
    scores: pa.Table,
    names: list[str],
    place: str = "[[plan.exclude]] column",
    others: tuple[str, ...] = SCORE_COLUMNS,
) -> dict[str, pa.ChunkedArray]:
    """Attributes of the scored customers as text, by attribute name.

    Args:
        log: The log.
        cutoff: The attributes are as known before it.
        scores: The score table.
        names: Names of the attributes.
        place: The key of the config that names them, for messages.
        others: Columns that the key may name too.

    Raises:
        UsageError: An attribute does not exist.
    """
    if not names:
        return {}
    section = log.config.customers
    known = (*others, *(section.attributes if section else ()))
    for name in names:
        if section is None or name not in section.attributes:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            of_scores = "columns of the scores, and " if others else ""
            raise UsageError(
                f"{place}: there is no {name!r}; {hint}expected one of {', '.join(known) or 'none'} ({of_scores}"
                "attributes of [customers])"
            )
    if section is None:
        return {}
    table = read_attributes(log, section, cutoff, names)
    index = pc.index_in(scores["customer_id"], value_set=table["customer_id"].combine_chunks())
    return {name: table[name].take(index) for name in names}
