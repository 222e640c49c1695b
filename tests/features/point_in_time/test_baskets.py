"""Purchases of a kind against counts in plain Python, on both engines."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.engines.base import Engine
from features.intake.read_log import read_tables
from features.point_in_time import baskets as bought
from features.task import Window

CUTOFF, WINDOW, PERIOD = date(2024, 6, 1), Window(90), Window(20)
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
Line = dict[str, Any]


def make_lines(seed: int, one_value: bool) -> list[Line]:
    """Orders of 60 customers: values of a few kinds, refunds, rows without a value, late and future rows."""
    rng = random.Random(seed)  # noqa: S311
    lines: list[Line] = []
    for number in range(60):
        likes = rng.sample("abcdefg", 4)
        for order in range(rng.randint(1, 14)):
            time = NOON - timedelta(days=rng.choice([*range(1, 100), -1, -30, 90, 91]))
            late = time + timedelta(days=rng.choice([0, 0, 0, 40]))
            values = rng.choices(likes, k=1 if one_value else rng.randint(1, 4))
            for value in values:
                amount = rng.choice([5.0, 5.0, 5.0, 0.0, -5.0])
                row = {"customer": f"c{number}", "order": f"o{order}", "time": time, "known_at": late, "amount": amount}
                lines.append({**row, "kind": None if rng.random() < 0.05 else value})
    return lines


def known(lines: list[Line], days: int) -> list[tuple[str, str, str, int]]:
    """Paid lines as known at the cutoff: customer, order, value, age."""
    known_lines = []
    for line in lines:
        seen = max(line["time"], line["known_at"]).date()
        age = (CUTOFF - line["time"].date()).days
        if line["kind"] and line["amount"] > 0 and seen < CUTOFF and age <= days:
            known_lines.append((line["customer"], line["order"], line["kind"], age))
    return known_lines


def look(lines: list[Line], folder: Path, make_config: Callable[..., Config], engine: Engine) -> bought.KindPurchases:
    pq.write_table(pa.Table.from_pylist(lines), folder / "log.parquet")
    config = make_config(amount="amount", order="order", known_at="known_at", kinds=["kind"])
    return bought.purchases_of_kind(read_tables(config, engine), CUTOFF, WINDOW, "kind", engine)


def test_all_is_counted_as_by_hand(tmp_path: Path, make_config: Callable[..., Config], each_engine: Engine) -> None:
    lines = make_lines(3, one_value=False)
    _same(look(lines, tmp_path, make_config, each_engine), lines, "order")


def test_where_orders_hold_one_value_customers_are_the_baskets(
    tmp_path: Path, make_config: Callable[..., Config], engine: Engine
) -> None:
    lines = make_lines(4, one_value=True)
    _same(look(lines, tmp_path, make_config, engine), lines, "customer")


def _same(seen: bought.KindPurchases, lines: list[Line], basket: str) -> None:
    recent = known(lines, WINDOW.days)
    assert preferences(seen) == preferred_by_hand(recent)
    by_value, total = (table.to_pylist() for table in bought.count_by_period(seen, PERIOD, 4, min_customers=20))
    assert (by_value, total) == periods_by_hand(known(lines, 80), 4, 20)
    _same_pairs(bought.count_co_purchases(seen, 0.03), recent, basket, 0.03)
    rules = [
        {"because": a, "next": b, "confidence": round(0.9 - ord(b) / 500, 3), "lift": 2.0}
        for a in "abc"
        for b in "defg"
    ]
    assert bought.next_values(seen, pa.Table.from_pylist(rules)).to_pylist() == next_by_hand(recent, rules)


def preferences(seen: bought.KindPurchases) -> list[Line]:
    rows = bought.preferred_values(seen, 3, 0.5).to_pylist()
    return [row | {"share": pytest.approx(row["share"])} for row in rows]


def preferred_by_hand(lines: list[tuple[str, str, str, int]]) -> list[Line]:
    """Of what is in at least 3 and half of a customer's orders, what stands out most against all orders."""
    orders, with_value = defaultdict(set), defaultdict(set)
    for customer, order, value, _ in lines:
        orders[customer].add(order)
        with_value[customer, value].add(order)
    total, rows = sum(map(len, orders.values())), []
    usual = Counter(value for (_, value), orders_with in with_value.items() for _ in orders_with)
    for customer in sorted(orders):
        m = len(orders[customer])
        likely = [(v, len(orders_with)) for (c, v), orders_with in with_value.items() if c == customer]
        likely = [(v, n) for v, n in likely if n >= 3 and n / m >= 0.5]
        if likely:
            value, n = min(likely, key=lambda pair: (-(pair[1] / m - usual[pair[0]] / total), pair[0]))
            rows.append({"customer_id": customer, "preferred": value, "share": n / m, "orders": m})
    assert len(rows) > 5
    return rows


def periods_by_hand(lines: list[tuple[str, str, str, int]], count: int, fewest: int) -> tuple[list[Line], list[Line]]:
    who, orders = defaultdict(set), defaultdict(set)
    ever = defaultdict(set)
    for customer, order, value, age in lines:
        period = (age - 1) // PERIOD.days
        for key in ((value, period), (None, period)):
            who[key].add(customer)
            orders[key].add((customer, order))
        ever[value].add(customer)
    rows = [
        {"value": value, "period": period, "customers": len(who[value, period]), "orders": len(orders[value, period])}
        for value, period in sorted(key for key in who if key[0] and len(ever[key[0]]) >= fewest)
    ]
    total = [
        {"period": p, "customers": len(who[None, p]), "orders": len(orders[None, p])}
        for p in range(count)
        if (None, p) in who
    ]
    return rows, total


def _same_pairs(met: bought.CoPurchases, lines: list[tuple[str, str, str, int]], basket: str, support: float) -> None:
    unit = {"order": lambda line: line[:2], "customer": lambda line: line[:1]}[basket]
    baskets = defaultdict(set)
    for line in lines:
        baskets[unit(line)].add(line[2])
    own = Counter(key[0] for key in baskets)
    fewest = max(bought.MIN_PAIR_BASKETS, support * len(baskets))
    counts = Counter(value for values in baskets.values() for value in values)
    pairs = Counter(pair for values in baskets.values() for pair in combinations(sorted(values), 2))
    assert (met.basket, met.baskets) == (basket, len(baskets))
    assert met.squares == sum(n * n for n in own.values())
    assert met.pairs.to_pylist() == [
        {"a": a, "b": b, "both": n}
        for (a, b), n in sorted(pairs.items())
        if n >= fewest and min(counts[a], counts[b]) >= fewest
    ]
    each = Counter((key[0], value) for key, values in baskets.items() for value in values)
    for row in met.values.to_pylist():
        of = {customer: n for (customer, value), n in each.items() if value == row["value"]}
        assert row["n"] == counts[row["value"]]
        assert row["squares"] == sum(n * n for n in of.values())
        assert row["products"] == sum(n * own[customer] for customer, n in of.items())
    assert met.pairs.num_rows > 3


def next_by_hand(lines: list[tuple[str, str, str, int]], rules: list[Line]) -> list[Line]:
    has = defaultdict(set)
    for customer, _, value, _ in lines:
        has[customer].add(value)
    rows = []
    for customer in sorted(has):
        fit = [r for r in rules if r["because"] in has[customer] and r["next"] not in has[customer]]
        if fit:
            best = min(fit, key=lambda r: (-r["confidence"], -r["lift"], r["next"], r["because"]))
            rows.append({"customer_id": customer, **{k: best[k] for k in ("next", "because", "confidence", "lift")}})
    assert len(rows) > 5
    return rows
