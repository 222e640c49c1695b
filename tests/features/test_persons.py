"""Ids of one person are united over time; at each cutoff every id belongs to exactly one customer."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from features.persons import Join, Ownership, Persons, join_ids

FIRST = date(2024, 1, 1)


def day(number: int) -> date:
    """A day of the log."""
    return FIRST + timedelta(days=number)


def test_chains_are_one_person_in_any_order() -> None:
    for joins in ([Join("c", "b"), Join("b", "a")], [Join("b", "a"), Join("c", "b")]):
        persons = join_ids(joins)
        assert {persons.name(x) for x in "abc"} == {"a"} and persons.ids_of("c") == ("a", "b", "c")
        assert not persons.is_dated and persons.name("z") == "z" and persons.ids_of("z") == ("z",)


def test_before_the_day_of_a_join_both_are_customers_of_their_own() -> None:
    persons = join_ids([Join("guest", "ann", day(10)), Join("ann", "ann@shop", day(20))])
    names = {number: persons.name_at("guest", day(number)) for number in (10, 11, 20, 21)}
    assert names == {10: "guest", 11: "ann", 20: "ann", 21: "ann@shop"}
    assert persons.ids_at("ann", day(15)) == ("ann", "guest") and persons.ids_at("guest", day(15)) == ()
    assert persons.owners("ann") == [Ownership("ann", None, day(20)), Ownership("ann@shop", day(20), None)]


def test_a_join_that_was_always_known_has_no_day() -> None:
    persons = join_ids([Join("x", "y"), Join("y", "z", day(5))])
    assert persons.owners("x") == [Ownership("y", None, day(5)), Ownership("z", day(5), None)]


def test_an_id_of_two_persons_makes_them_one_with_the_first_name() -> None:
    persons = join_ids([Join("b", "a", day(1)), Join("b", "z", day(3))])
    assert persons.several == ("b",) and persons.name("z") == "a"
    assert persons.name_at("z", day(3)) == "z" and persons.name_at("z", day(4)) == "a"


def test_circles_change_nothing_and_are_listed() -> None:
    persons = join_ids([Join("a", "b"), Join("b", "a"), Join("c", "c")])
    assert persons.ids == {"b": ("a", "b"), "c": ("c",)} and persons.circles == ("b", "c")


def test_all_ids_of_a_person_are_forgotten_with_one_of_them() -> None:
    persons = join_ids([Join("c", "b", day(1)), Join("b", "a", day(2)), Join("y", "x")], ["c"])
    assert persons.forgotten == {"a", "b", "c"} and persons.ids_at("a", day(9)) == ()


def test_an_id_that_appears_later_counts_for_the_oldest_id_of_its_person() -> None:
    persons = join_ids([Join("guest", "ann", day(10)), Join("new", "ann", day(30))])
    first_days = {"guest": day(1), "ann": day(8), "new": day(30)}
    assert [o.customer for o in persons.label_owners("ann", first_days)] == ["guest", "ann"]
    assert persons.label_owners("ann", first_days)[0] == Ownership("guest", None, day(8), True)
    assert [(o.customer, o.end) for o in persons.label_owners("new", first_days)] == [("guest", day(10)), ("ann", None)]
    assert persons.label_owners("guest", first_days) == persons.owners("guest")


def random_persons(seed: int, count: int = 12) -> Persons:
    """Made-up joins among a few ids, some without a day."""
    draw = np.random.default_rng(seed)
    ids = [f"i{number}" for number in range(count)]
    joins = [
        Join(str(draw.choice(ids)), str(draw.choice(ids)), None if draw.random() < 0.2 else day(int(draw.integers(40))))
        for _ in range(int(draw.integers(1, 10)))
    ]
    return join_ids(joins)


@pytest.mark.parametrize("seed", range(40))
def test_at_each_cutoff_every_row_belongs_to_one_customer_and_names_stay(seed: int) -> None:
    persons = random_persons(seed)
    draw = np.random.default_rng(seed + 1000)
    first_days = {x: day(int(draw.integers(50))) for ids in persons.ids.values() for x in ids if draw.random() < 0.8}
    for x in (x for ids in persons.ids.values() for x in ids):
        for number in range(-1, 55):
            cutoff = day(number)
            name = persons.name_at(x, cutoff)
            assert owner_at(persons.owners(x), cutoff).customer == name
            assert persons.name_at(name, cutoff) == name and x in persons.ids_at(name, cutoff)
            owner = owner_at(persons.label_owners(x, first_days), cutoff)
            if x not in first_days or cutoff > first_days[x]:
                assert owner.customer == name and not owner.before_first
            else:
                oldest = min((y for y in persons.ids_of(x) if y in first_days), key=lambda y: (first_days[y], y))
                assert owner.customer == persons.name_at(oldest, cutoff)


def owner_at(owners: list[Ownership], cutoff: date) -> Ownership:
    """The one owner at a cutoff."""
    (owner,) = (o for o in owners if (o.start is None or o.start < cutoff) and (o.end is None or cutoff <= o.end))
    return owner
