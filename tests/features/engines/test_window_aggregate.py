"""Window aggregation compared with a slow computation in plain Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest

from features.engines import window_aggregate
from features.engines.duckdb import DuckDBEngine
from features.engines.window_aggregate import aggregate_by_window, split_by_customer
from features.engines.window_spec import EVER, Span, WindowMeasure, WindowSpec
from features.task import Window

START = date(2023, 12, 20)
SCHEMA = pa.schema(
    [("customer_id", pa.string()), ("day", pa.date32()), ("seen", pa.date32())]
    + [("product", pa.string()), ("amount", pa.int64()), ("good", pa.bool_())]
)
MEASURES = (
    WindowMeasure("events", lambda r: ibis.literal(True), "count"),
    WindowMeasure("good", lambda r: r.good, "count"),
    WindowMeasure("amount", lambda r: r.amount),
    WindowMeasure("amount_squares", lambda r: r.amount, "squares"),
    WindowMeasure("largest", lambda r: r.amount, "max"),
    WindowMeasure("smallest", lambda r: r.amount, "min"),
    WindowMeasure("largest_good", lambda r: r.good.ifelse(r.amount, ibis.null("int64")), "max"),
)
SPANS = {
    "nested": (Span.window(Window(7)), Span.window(Window(30)), EVER),
    "disjoint": (Span("recent", 0, 5), Span("a_while_ago", 20, 25)),
    "overlapping": (Span.window(Window(7)), Span.before(Window(7)), Span("middle", 3, 10), Span("old", 12, None)),
    "one": (Span.window(Window(1)),),
}
CUTOFFS = {
    "one": (date(2024, 1, 31),),
    "many": tuple(date(2024, 1, 1) + timedelta(days) for days in (0, 1, 7, 13, 30, 31, 60)),
    "before everything": (date(2023, 12, 20), date(2024, 1, 15)),
}
Row = dict[str, Any]


def make_rows(seed: int, late: bool, count: int = 300) -> list[Row]:
    """Rows of few customers, days, products and amounts, so that ties abound; some values are missing."""
    draw = random.Random(seed)  # noqa: S311
    rows = []
    for _ in range(count):
        day = START + timedelta(draw.randrange(60))
        seen = day + timedelta(draw.choice([0, 0, 1, 9, 40]) if late else 0)
        product = draw.choice(["a", "b", "c", None])
        amount = draw.choice([0, 1, -3, 250_000, 10**16, -(10**16), None])
        rows.append(
            {
                "customer_id": f"c{draw.randrange(12)}",
                "day": day,
                "seen": seen,
                "product": product,
                "amount": amount,
                "good": draw.choice([True, False, None]),
            }
        )
    return rows


def oracle(rows: Sequence[Row], plan: WindowSpec) -> dict[tuple[str, date], Row]:
    """Every column of every customer and cutoff, one at a time."""
    expected = {}
    for cutoff in plan.cutoffs:
        for customer in {row["customer_id"] for row in rows}:
            seen = [row for row in rows if row["customer_id"] == customer and row["seen"] < cutoff]
            values: Row = {}
            some = False
            for span in plan.spans:
                inside = [row for row in seen if holds(span, row, cutoff)]
                some = some or bool(inside)
                values |= {f"{name}_{span.name}": value for name, value in summed(inside).items()}
                if not span.start:
                    values[f"products_{span.name}"] = len({row["product"] for row in inside} - {None})
                    values[f"days_{span.name}"] = len({row["day"] for row in inside})
                oldest = {row["product"]: row["day"] for row in sorted(seen, key=lambda r: r["day"], reverse=True)}
                days = {row["day"] for row in inside}
                values[f"new_products_{span.name}"] = sum(p is not None and day in days for p, day in oldest.items())
            if some:
                expected[customer, cutoff] = values
    return expected


def holds(span: Span, row: Row, cutoff: date) -> bool:
    """Whether a row's age lies in (start, end]."""
    age = (cutoff - row["day"]).days
    return age > span.start and (span.end is None or age <= span.end)


def summed(rows: Sequence[Row]) -> Row:
    """What the measures come to over some rows."""
    amounts = [row["amount"] for row in rows if row["amount"] is not None]
    good = [row["amount"] for row in rows if row["good"] and row["amount"] is not None]
    return {
        "events": len(rows),
        "good": sum(bool(row["good"]) for row in rows),
        "amount": sum(amounts),
        "amount_squares": sum(x * x for x in amounts),
        "largest": max(amounts, default=None),
        "smallest": min(amounts, default=None),
        "largest_good": max(good, default=None),
    }


def make_plan(spans: str, cutoffs: str) -> WindowSpec:
    """A plan of everything that can be asked for."""
    return WindowSpec(
        CUTOFFS[cutoffs], SPANS[spans], MEASURES, {"products": "product", "days": "day"}, {"new_products": "product"}
    )


def aggregated(engine: DuckDBEngine, rows: Sequence[Row], plan: WindowSpec, threads: int = 1) -> pa.Table:
    """What `by_window` makes of the rows."""
    return aggregate_by_window(
        engine.store_arrow("rows", pa.Table.from_pylist(list(rows), SCHEMA)), plan, threads
    ).read_all()


def by_key(table: pa.Table) -> dict[tuple[str, date], Row]:
    """Rows by customer and cutoff."""
    rows = table.to_pylist()
    rows_by_key = {(row.pop("customer_id"), row.pop("cutoff")): row for row in rows}
    assert len(rows_by_key) == len(rows)
    return rows_by_key


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("spans", SPANS)
def test_aggregates_agree_with_the_oracle(engine: DuckDBEngine, spans: str, cutoffs: str, late: bool) -> None:
    plan, rows = make_plan(spans, cutoffs), make_rows(len(spans) + len(cutoffs), late)
    expected = oracle(rows, plan)
    actual = by_key(aggregated(engine, rows, plan))
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        squares = {name: value for name, value in values.items() if "squares" in name}
        assert {name: actual[key].pop(name) for name in squares} == pytest.approx(squares, rel=1e-15, abs=0)
        assert actual[key] == {name: value for name, value in values.items() if name not in squares}


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_threads_change_nothing(
    engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch, size: int, threads: int
) -> None:
    plan, rows = make_plan("overlapping", "many"), make_rows(7, late=True)
    order = [("customer_id", "ascending"), ("cutoff", "ascending")]
    one_chunk = aggregated(engine, rows, plan).sort_by(order)
    monkeypatch.setattr(window_aggregate, "CHUNK_ROWS", size)
    parts = aggregated(engine, rows[::-1], plan, threads).sort_by(order)
    assert parts.combine_chunks().equals(one_chunk.combine_chunks())


def test_edges_of_a_window(engine: DuckDBEngine) -> None:
    """Ages 0 (not yet), 1, 7 (inside) and 8 (outside)."""
    cutoff = date(2024, 1, 31)
    days = [cutoff - timedelta(age) for age in (0, 1, 7, 8)]
    rows = [{"customer_id": "c", "day": d, "seen": d, "product": "a", "amount": 1, "good": True} for d in days]
    (row,) = aggregated(engine, rows, make_plan("nested", "one")).to_pylist()
    assert (row["events_7d"], row["events_30d"], row["events_ever"]) == (2, 3, 3)
    assert (row["products_7d"], row["days_7d"], row["new_products_7d"], row["new_products_ever"]) == (1, 2, 0, 1)


@pytest.mark.parametrize(("age", "rows"), [(7, 1), (8, 0)])
def test_the_last_day_of_the_longest_window_is_read(engine: DuckDBEngine, age: int, rows: int) -> None:
    day = date(2024, 1, 31) - timedelta(age)
    row = {"customer_id": "c", "day": day, "seen": day, "product": "a", "amount": 1, "good": True}
    plan = WindowSpec(CUTOFFS["one"], (Span.window(Window(7)),), MEASURES, {"days": "day"})
    assert aggregated(engine, [row], plan).num_rows == rows


def test_a_customer_without_visible_rows_has_no_row(engine: DuckDBEngine) -> None:
    plan = make_plan("nested", "one")
    table = aggregated(engine, [], plan)
    assert (table.num_rows, table.schema) == (0, plan.schema)


def test_a_late_row_does_not_hide_a_value_before_it_is_known(engine: DuckDBEngine) -> None:
    old = {"day": date(2024, 1, 1), "seen": date(2024, 1, 1)}
    young = {"day": date(2024, 1, 29), "seen": date(2024, 2, 15)}
    rows = [{"customer_id": "c", "product": "a", "amount": 1, "good": True, **when} for when in (old, young)]
    plan = WindowSpec((date(2024, 1, 31), date(2024, 2, 16)), (Span("60d", 0, 60),), MEASURES, {"products": "product"})
    first, second = aggregated(engine, rows, plan).sort_by("cutoff").to_pylist()
    assert (first["products_60d"], first["events_60d"]) == (1, 1)
    assert (second["products_60d"], second["events_60d"]) == (1, 2)


def test_large_sums_of_squares_do_not_overflow(engine: DuckDBEngine) -> None:
    row = {"customer_id": "c", "day": date(2024, 1, 30), "seen": date(2024, 1, 30), "product": "a", "good": True}
    rows = [{**row, "amount": 10**16 - i} for i in range(1000)]
    (totals,) = aggregated(engine, rows, make_plan("one", "one")).to_pylist()
    assert totals["amount_squares_1d"] == pytest.approx(sum(r["amount"] ** 2 for r in rows), rel=1e-15)


def test_sums_of_sums_are_integers(engine: DuckDBEngine) -> None:
    """What DuckDB added up before is 128 bits wide, whatever Ibis says."""
    rows = engine.store_arrow("rows", pa.Table.from_pylist(make_rows(3, late=False), SCHEMA))
    days = engine.store("days", rows.group_by("customer_id", "day", "seen").aggregate(amount=rows.amount.sum()))
    plan = WindowSpec(CUTOFFS["one"], (EVER,), (WindowMeasure("amount", lambda r: r.amount),))
    assert by_key(aggregate_by_window(days, plan).read_all()) == by_key(aggregate_by_window(rows, plan).read_all())


@pytest.mark.parametrize("kind", ["float64", "string"])
def test_a_measure_of_floats_or_text_is_refused(engine: DuckDBEngine, kind: str) -> None:
    rows = engine.store_arrow("rows", pa.Table.from_pylist(make_rows(3, late=False), SCHEMA))
    plan = WindowSpec(CUTOFFS["one"], (EVER,), (WindowMeasure("amount", lambda r: r.amount.cast(kind)),))
    with pytest.raises(TypeError, match="amount must be a whole number"):
        aggregate_by_window(rows, plan)


def test_chunks_never_divide_a_customer() -> None:
    ids = ["a"] * 5 + ["b"] + ["c"] * 9 + ["d"] * 2
    table = pa.table({"customer_id": ids, "n": range(len(ids))})
    parts = list(split_by_customer(table.to_batches(max_chunksize=2), min_rows=4))
    assert pa.concat_tables(parts).equals(table)
    assert ["".join(part["customer_id"].to_pylist()) for part in parts] == ["aaaaa", "b", "ccccccccc", "dd"]
