"""Which ids belong to one person at which cutoff: a union of ids over time, without any table.

A join says that an id belongs to a person from a day on; the person is named by an id too, so that joins form chains.
Before the day both are customers of their own. From then on the person has the rows of both, the earlier ones too. So
what a cutoff sees depends only on joins that were known before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise


@dataclass(frozen=True)
class Join:
    """That an id belongs to a person; `day` is the day on which it became known, None if it was always known."""

    id: str
    person: str
    day: date | None = None


@dataclass(frozen=True)
class Ownership:
    """The customer to whom an id belongs at the cutoffs in (start, end]; None is without limit.

    Attributes:
        customer: The customer.
        start: The day after which the cutoffs begin.
        end: The last cutoff.
        before_first: Whether the id has no row before any of these cutoffs, so that only labels see its rows.
    """

    customer: str
    start: date | None = None
    end: date | None = None
    before_first: bool = False


@dataclass(frozen=True)
class Persons:
    """The ids of each person.

    Attributes:
        absorbed: For an id that is not the name of its person for ever: the day on which that changed (None: it never
            was), and the id that names the person from then on.
        ids: By the name that each person has at the end: all ids of the person, sorted.
        several: Ids that were joined to persons who are not the same by other joins; they are one person all the same.
        circles: Ids that were joined to an id of their own person, which changes nothing.
        forgotten: Ids of persons of whom an id is to be forgotten.
    """

    absorbed: Mapping[str, tuple[date | None, str]] = field(default_factory=dict)
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    several: tuple[str, ...] = ()
    circles: tuple[str, ...] = ()
    forgotten: frozenset[str] = frozenset()

    @property
    def is_dated(self) -> bool:
        """Whether some ids belong to different customers at different cutoffs."""
        return any(day is not None for day, _ in self.absorbed.values())

    def name(self, customer: str) -> str:
        """The name that the person of an id has at the end; the id itself if it is joined to nothing."""
        while customer in self.absorbed:
            customer = self.absorbed[customer][1]
        return customer

    def name_at(self, customer: str, cutoff: date) -> str:
        """The name that the person of an id has at a cutoff."""
        while customer in self.absorbed:
            day, person = self.absorbed[customer]
            if day is not None and day >= cutoff:
                break
            customer = person
        return customer

    def ids_of(self, customer: str) -> tuple[str, ...]:
        """All ids of the person of an id."""
        return self.ids.get(self.name(customer), (customer,))

    def ids_at(self, customer: str, cutoff: date) -> tuple[str, ...]:
        """The ids whose rows belong to a customer at a cutoff; none if one of the person's ids is to be forgotten."""
        if customer in self.forgotten:
            return ()
        return tuple(x for x in self.ids_of(customer) if self.name_at(x, cutoff) == customer)

    def owners(self, customer: str) -> list[Ownership]:
        """To whom the rows of an id belong, by cutoff, ascending.

        >>> persons = join_ids([Join("guest", "ann", date(2024, 3, 1))])
        >>> [(owner.customer, str(owner.start), str(owner.end)) for owner in persons.owners("guest")]
        [('guest', 'None', '2024-03-01'), ('ann', '2024-03-01', 'None')]
        """
        names: list[tuple[date | None, str]] = [(None, customer)]
        while names[-1][1] in self.absorbed:
            day, person = self.absorbed[names[-1][1]]
            if day == names[-1][0]:
                names.pop()
            names.append((day, person))
        ends = [*(day for day, _ in names[1:]), None]
        return [Ownership(name, start, end) for (start, name), end in zip(names, ends, strict=True)]

    def label_owners(self, customer: str, first_days: Mapping[str, date]) -> list[Ownership]:
        """To whom the rows of an id belong, also at cutoffs before its first row, where they count for labels only.

        An id that appears after a cutoff belongs, at this cutoff, to the customer of the person's oldest id. So
        somebody who comes back under a new id has come back, and every row counts for one customer only.

        Args:
            customer: The id.
            first_days: By id, the day of its first row; ids without rows are left out.

        Returns:
            The owners, ascending.
        """
        own = self.owners(customer)
        first, rows = first_days.get(customer), [x for x in self.ids_of(customer) if x in first_days]
        if first is None:
            return own
        oldest = min(rows, key=lambda x: (first_days[x], x))
        before = [
            Ownership(owner.customer, owner.start, first if owner.end is None else min(owner.end, first), True)
            for owner in (self.owners(oldest) if oldest != customer else own)
            if owner.start is None or owner.start < first
        ]
        after = [
            Ownership(owner.customer, first if owner.start is None else max(owner.start, first), owner.end)
            for owner in own
            if owner.end is None or owner.end > first
        ]
        return list(_without_seams([*before, *after]))


NO_PERSONS = Persons()


def join_ids(joins: Iterable[Join], forgotten: Iterable[str] = ()) -> Persons:
    """Unites ids, in the order of the days on which their joins became known; on one day by id and person.

    Args:
        joins: The joins, in any order.
        forgotten: Ids that are to be forgotten.

    Returns:
        The persons. An id that joins several persons makes them one, with the name of the one whom it joined first.

    >>> join_ids([Join("c", "b"), Join("b", "a")]).ids
    {'a': ('a', 'b', 'c')}
    """
    absorbed: dict[str, tuple[date | None, str]] = {}
    shortcut: dict[str, str] = {}  # to an id nearer to the name, so that long chains are walked once
    joined, several, circles = set[str](), set[str](), set[str]()

    def root(node: str) -> str:
        passed = []
        while node in shortcut:
            passed.append(node)
            node = shortcut[node]
        for before in passed:
            shortcut[before] = node
        return node

    ordered = sorted(set(joins), key=lambda join: (join.day or date.min, join.id, join.person))
    for join in ordered:
        mine, theirs = root(join.id), root(join.person)
        if mine == theirs:
            if join.id == mine:
                circles.add(join.id)
            continue
        if join.id in joined:
            several.add(join.id)
            mine, theirs = theirs, mine
        absorbed[mine], shortcut[mine] = (join.day, theirs), theirs
        joined.add(join.id)
    members = defaultdict(set)
    for node in {node for join in ordered for node in (join.id, join.person)}:
        members[root(node)].add(node)
    ids = {name: tuple(sorted(nodes)) for name, nodes in sorted(members.items())}
    gone = {root(node) for node in forgotten}
    all_gone = frozenset(node for name in gone if name in ids for node in ids[name])
    return Persons(absorbed, ids, tuple(sorted(several)), tuple(sorted(circles)), all_gone)


def _without_seams(owners: list[Ownership]) -> Iterator[Ownership]:
    """Neighbouring intervals of one customer as one."""
    start = owners[0].start
    for owner, following in pairwise([*owners, Ownership("")]):
        if following.customer != owner.customer:
            yield replace(owner, start=start)
            start = following.start
