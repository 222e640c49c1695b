"""Difficult files become tables of the contract or give one clear message; no row is lost without a count."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.read_log import read_tables
from features.intake.set_aside import mask_text
from features.intake.tables import Tables
from features.money import TICKS

PLAIN = "customer,time,amount\na,2024-01-01T10:00:00,1.5\nb,2024-01-03T11:30:00,-2.25\n"
Load = Callable[..., Tables]

moment = datetime.fromisoformat


@pytest.fixture
def load_text(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Load:
    """From the text (or bytes) of a CSV to the contract's tables."""

    def load_csv(text: str | bytes, name: str = "log.csv", **events: Any) -> Tables:
        content = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        header = content.split(b"\n")[0]
        amount = {"amount": "amount"} if b"amount" in header else {}
        return read_tables(make_config(**{"source": name, **amount, **events}), engine)

    return load_csv


def rows(tables: Tables, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of the usable events, sorted."""
    return sorted(tuple(row[c] for c in columns) for row in tables.events.to_pyarrow().to_pylist())


def aside(tables: Tables) -> dict[str, int]:
    return {rejected.reason: rejected.rows for rejected in tables.set_aside}


def times(tables: Tables) -> list[str]:
    return [str(time) for (time,) in rows(tables, "time")]


# Files


def test_parquet_is_read(make_log: Load) -> None:
    tables = make_log(
        [
            {"customer": "b", "time": moment("2024-01-02T09:00"), "amount": -0.5},
            {"customer": "a", "time": moment("2024-01-01T08:00"), "amount": 2.0},
        ]
    )
    assert rows(tables, "customer_id", "amount") == [("a", 2 * TICKS), ("b", -TICKS // 2)]
    assert (tables.first, tables.last, tables.rows, tables.customers) == (date(2024, 1, 1), date(2024, 1, 2), 2, 2)


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "LOG.CSV"])
def test_csv_is_read_plain_and_compressed(name: str, load_text: Load) -> None:
    tables = load_text(PLAIN, name)
    assert rows(tables, "customer_id", "amount") == [("a", 15_000), ("b", -22_500)]
    assert times(tables) == ["2024-01-01 10:00:00", "2024-01-03 11:30:00"]


@pytest.mark.parametrize("source", ["parts/*.csv", "parts", "parts/**/*.csv"])
def test_a_glob_and_a_folder_are_read_whole(source: str, tmp_path: Path, load_text: Load) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "2.csv").write_text("time,customer,amount\n2024-02-01,c,4\n")
    (tmp_path / "parts" / "notes.txt").write_text("not data")
    tables = load_text(PLAIN, "parts/1.csv", source=source)
    assert [customer for (customer,) in rows(tables, "customer_id")] == ["a", "b", "c"]


def test_a_missing_file_is_bad_data(make_config: Callable[..., Config], engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match=r"none\.parquet: no such file, folder or glob"):
        read_tables(make_config(source="none.parquet"), engine)


def test_an_empty_file_is_bad_data(load_text: Load) -> None:
    with pytest.raises(DataError, match=r"log\.csv is empty \(0 bytes\)"):
        load_text("")


def test_a_header_alone_is_bad_data(load_text: Load) -> None:
    with pytest.raises(DataError, match="has a header but no rows"):
        load_text("customer,time,amount\n")


def test_another_kind_of_file_is_bad_data(load_text: Load) -> None:
    with pytest.raises(DataError, match=r"expected Parquet .* found \.xlsx"):
        load_text(PLAIN, "log.xlsx")


def test_what_only_looks_like_parquet_is_bad_data(load_text: Load) -> None:
    with pytest.raises(DataError, match=r"log\.parquet: cannot be read as parquet"):
        load_text(PLAIN, "log.parquet")


@pytest.mark.parametrize("column", ["kind", "amount"])
def test_latin_1_says_how_to_convert(column: str, load_text: Load) -> None:
    text = f"customer,time,{column}\n" + "a,2024-01-01,1\n" * 50 + "b,2024-01-02,café £5\n"
    with pytest.raises(DataError, match=r"line 52 is not UTF-8 \(byte 0xe9\).*iconv -f latin1"):
        load_text(text.encode("latin-1"), kinds=[column])


def test_an_utf_8_mark_at_the_start_is_no_part_of_a_name(load_text: Load) -> None:
    assert load_text(b"\xef\xbb\xbf" + PLAIN.encode()).rows == 2


def test_malformed_lines_are_counted_and_the_rest_is_read(load_text: Load) -> None:
    good = "".join(f"c{n},2024-01-01,{n},x\n" for n in range(100))
    tables = load_text(f"customer,time,amount,kind\n{good}bad,2024-01-01,1,x,9,9\nshort,2024\n", kinds=["kind"])
    assert tables.rows == 100
    assert aside(tables) == {"malformed line": 2}


def test_too_many_malformed_lines_are_refused(load_text: Load) -> None:
    with pytest.raises(DataError, match="2 of 4 lines do not have the columns of the header"):
        load_text(PLAIN + "c,2024\nd,2024-01-01,1,9,9\n")


# Columns


def test_a_query_makes_the_amount(load_text: Load) -> None:
    text = 'customer,time,how many,price\na,2024-01-01,3,1.25\nb,2024-01-02,-1,"2"\n'
    query = 'SELECT *, "how many" * price AS revenue FROM source;'
    assert rows(load_text(text, query=query, amount="revenue"), "amount") == [(-20_000,), (37_500,)]


def test_a_query_that_is_not_understood_is_wrong_use(load_text: Load) -> None:
    with pytest.raises(UsageError, match=r"\[events\] query is not understood.*prize"):
        load_text(PLAIN, query="SELECT prize FROM source")


@pytest.mark.parametrize("role", ["customer", "time", "amount", "order", "quantity", "known_at", "id"])
def test_a_missing_column_names_its_role_and_the_nearest(role: str, load_text: Load) -> None:
    with pytest.raises(UsageError, match=rf"\[events\] {role}: .* no column 'custmer'; did you mean 'customer'\?"):
        load_text(PLAIN, **{role: "custmer"})


def test_a_missing_kind_lists_the_columns(load_text: Load) -> None:
    with pytest.raises(UsageError, match="no column 'colour'; it has customer, time, amount"):
        load_text(PLAIN, kinds=["colour"])


def test_kinds_of_one_slug_are_refused(load_text: Load) -> None:
    with pytest.raises(UsageError, match="features of the same name"):
        load_text("customer,time,Store ID,StoreId\na,2024-01-01,1,1\n", kinds=["Store ID", "StoreId"])


def test_shapes() -> None:
    assert mask_text("Ab-12 €3") == "aa-99 €9"


# Times


def test_a_zone_turns_clocks_into_utc_across_daylight_saving(load_text: Load) -> None:
    text = "customer,time\na,2024-03-31 00:30:00\na,2024-03-31 02:30:00\na,2024-07-01 00:30:00\na,2024-12-01 00:30:00\n"
    assert times(load_text(text, timezone="Europe/London")) == [
        "2024-03-31 00:30:00",
        "2024-03-31 01:30:00",
        "2024-06-30 23:30:00",
        "2024-12-01 00:30:00",
    ]


def test_an_unknown_zone_is_refused(load_text: Load) -> None:
    with pytest.raises((UsageError, DataError), match="Mars/Olympus"):
        load_text(PLAIN, timezone="Mars/Olympus")


def test_offsets_turn_into_utc_whatever_the_zone(load_text: Load) -> None:
    text = "customer,time\na,2024-01-01T01:00:00+02:00\na,2024-01-01T23:00:00-0500\na,2024-01-01T12:00:00Z\n"
    expected = ["2023-12-31 23:00:00", "2024-01-01 12:00:00", "2024-01-02 04:00:00"]
    assert times(load_text(text)) == expected
    assert times(load_text(text, timezone="Asia/Tokyo")) == expected


def test_mixed_zones_are_refused_until_the_config_says_one(load_text: Load) -> None:
    text = "customer,time\na,2024-07-01T12:00:00+02:00\na,2024-07-02 12:00:00\n"
    with pytest.raises(DataError, match="mixes 1 times with an offset and 1 without.*timezone"):
        load_text(text)
    tables = load_text(text, timezone="Europe/London")
    assert times(tables) == ["2024-07-01 10:00:00", "2024-07-02 11:00:00"]


def test_times_with_a_zone_of_their_own_in_parquet(make_log: Load) -> None:
    moment = pa.array([datetime(2024, 7, 1, 12, tzinfo=UTC)], pa.timestamp("us", "America/New_York"))
    tables = make_log(pa.table({"customer": ["a"], "time": moment}), timezone="Asia/Tokyo")
    assert times(tables) == ["2024-07-01 12:00:00"]


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_whole_numbers_are_read_as_yyyymmdd(name: str, load_text: Load, make_log: Load) -> None:
    if name == "log.csv":
        tables = load_text("customer,time\na,20240229\nb,20231231\n")
    else:
        tables = make_log([{"customer": "a", "time": 20240229}, {"customer": "b", "time": 20231231}])
    assert times(tables) == ["2023-12-31 00:00:00", "2024-02-29 00:00:00"]
    assert not tables.contract.has_clock


@pytest.mark.parametrize(
    ("layout", "texts"),
    [
        ("%d/%m/%Y %H:%M", ("03/01/2024 10:00", "13/02/2024 09:30")),
        ("%m/%d/%Y", ("03/01/2024", "03/02/2024")),
        ("%d/%m/%Y", ("03/01/2024", "03/02/2024")),
        ("%Y%m%d", ("20240301", "20240302")),
    ],
)
def test_time_format_sets_the_layout_of_times(
    layout: str, texts: tuple[str, str], make_log: Load, load_text: Load
) -> None:
    expected = sorted(str(datetime.strptime(text, layout)) for text in texts)  # noqa: DTZ007
    assert times(make_log([{"customer": "a", "time": text} for text in texts], time_format=layout)) == expected
    if layout != "%Y%m%d":
        assert times(load_text("customer,time\n" + "".join(f"a,{t}\n" for t in texts), time_format=layout)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13/01/2024 10:30", "2024-01-13 10:30:00"),
        ("3 Jan 2024", "2024-01-03 00:00:00"),
        ("01/13/24", "2024-01-13 00:00:00"),
        ("1705141800", "2024-01-13 10:30:00"),
        ("1705141800000", "2024-01-13 10:30:00"),
        ("202401131030", "2024-01-13 10:30:00"),
    ],
)
def test_times_are_read_as_people_and_programs_write_them(text: str, expected: str, load_text: Load) -> None:
    assert times(load_text(f"customer,time\na,{text}\n")) == [expected]


def test_day_and_month_are_not_guessed(load_text: Load) -> None:
    text = "customer,time\na,03/01/2024\nb,04/01/2024\n"
    with pytest.raises(DataError, match=r"'%d/%m/%Y' and '%m/%d/%Y' read column 'time' equally well.* time_format"):
        load_text(text)
    assert times(load_text(text + "c,13/01/2024\n"))[0] == "2024-01-03 00:00:00"
    assert times(load_text(text, time_format="%m/%d/%Y"))[0] == "2024-03-01 00:00:00"


def test_a_format_of_four_digits_does_not_read_years_of_two(load_text: Load) -> None:
    with pytest.raises(DataError, match=r"2 of 2 rows have no usable time.*'99/99/99'.*time_format to '%m/%d/%y'"):
        load_text("customer,time\na,01/05/22\nb,12/31/22\n", time_format="%m/%d/%Y")


@pytest.mark.parametrize("text", ["0022-01-05", "1899-12-31", "9999-12-31", "2200-01-01"])
@pytest.mark.parametrize("typed", [False, True])
def test_years_that_no_time_has_are_unreadable(text: str, typed: bool, load_text: Load, make_log: Load) -> None:
    good = [{"customer": "a", "time": date(2024, 1, 1)}] * 30
    if typed:
        tables = make_log([*good, {"customer": "b", "time": date.fromisoformat(text)}])
    else:
        tables = load_text("customer,time\n" + "a,2024-01-01\n" * 30 + f"b,{text}\n")
    assert (aside(tables), tables.last) == ({"unreadable time": 1}, date(2024, 1, 1))


def test_time_format_holds_for_known_at_too(load_text: Load) -> None:
    text = "customer,time,known_at\na,05/01/2024,\nb,06/01/2024,09/02/2024\n"
    tables = load_text(text, time_format="%d/%m/%Y", known_at="known_at")
    assert rows(tables, "seen") == [(date(2024, 1, 5),), (date(2024, 2, 9),)]
    iso = load_text(text.replace("09/02/2024", "2024-02-09"), time_format="%d/%m/%Y", known_at="known_at")
    assert rows(iso, "seen") == rows(tables, "seen")
    several = ("%d/%m/%Y", "%d.%m.%y")
    other = load_text(text.replace("09/02/2024", "09.02.24"), time_format=several, known_at="known_at")
    assert rows(other, "seen") == rows(tables, "seen")


@pytest.mark.parametrize(
    ("text", "advice"),
    [("soon", "%d/%m/%Y %H:%M"), ("20241301", "%d%m%Y"), ("44567", "1899-12-30"), ("240113", "%y%m%d")],
)
def test_times_that_cannot_be_read_are_refused_with_their_shape(text: str, advice: str, load_text: Load) -> None:
    with pytest.raises(DataError, match=r"2 of 2 rows have no usable time.*customers 'a', 'b'") as problem:
        load_text(f"customer,time\na,{text}\nb,{text}\n")
    assert advice in str(problem.value)
    assert text not in str(problem.value)


def test_a_few_unreadable_times_are_set_aside_with_their_customers(load_text: Load) -> None:
    good = "".join(f"c{n},2024-01-01,1\n" for n in range(60))
    tables = load_text(f"customer,time,amount\n{good}x,never,1\ny,,1\n")
    assert aside(tables) == {"unreadable time": 1, "missing time": 1}
    assert {rejected.reason: rejected.customers for rejected in tables.set_aside}["unreadable time"] == ("x",)
    assert (tables.rows_read, tables.rows) == (62, 60)


def test_max_unreadable_sets_how_many_rows_may_be_unreadable(load_text: Load) -> None:
    text = "customer,time\na,2024-01-01\nb,never\n"
    with pytest.raises(DataError, match=r"max_unreadable \(now 0.05\)"):
        load_text(text)
    assert load_text(text, max_unreadable=0.5).rows == 1


def test_a_column_that_is_no_time_is_wrong_use(make_log: Load) -> None:
    with pytest.raises(UsageError, match=r"\[events\] time: column 'time' holds float64"):
        make_log([{"customer": "a", "time": 1.5}])


def test_the_end_of_a_log_with_clocks_is_its_last_day_and_without_the_day_after(load_text: Load) -> None:
    assert load_text("customer,time\na,2024-01-01 10:00:00\n").end == date(2024, 1, 1)
    assert load_text("customer,time\na,2024-01-01\n").end == date(2024, 1, 2)


def test_until_sets_aside_what_is_on_or_after_it(load_text: Load) -> None:
    text = "customer,time\na,2024-01-01\nb,2024-01-31 23:59:59\nc,2024-02-01\nd,2099-01-01\n"
    tables = load_text(text, until="2024-02-01")
    assert aside(tables) == {"on or after until": 2}
    assert (tables.last, tables.end) == (date(2024, 1, 31), date(2024, 2, 1))
    with pytest.raises(UsageError, match=r"\[events\] until: expected a date"):
        load_text(text, until="February")
    with pytest.raises(UsageError, match=r"\[events\] until: expected a date from 1970-01-01 to 2200-01-01"):
        load_text(text, until="9999-12-31")


def test_known_at_delays_a_row_and_never_hastens_it(make_log: Load) -> None:
    when, late, early = moment("2024-01-05T09:00"), moment("2024-01-09T09:00"), moment("2024-01-01T00:00")
    known = [when, late, early, None]
    log = [{"customer": str(n), "time": when, "known_at": moment} for n, moment in enumerate(known)]
    seen = [row["seen"].day for row in sorted(make_log(log).events.to_pyarrow().to_pylist(), key=str)]
    assert sorted(seen) == [5, 5, 5, 9]


def test_a_known_at_that_cannot_be_read_counts_as_a_time_does(load_text: Load) -> None:
    text = "customer,time,known_at\na,2024-01-01,\nb,2024-01-02,later\n"
    with pytest.raises(DataError, match="1 of 2 rows have no usable known_at in column 'known_at'"):
        load_text(text, known_at="known_at")
    assert aside(load_text(text, known_at="known_at", max_unreadable=0.5)) == {"unreadable known_at": 1}


# Amounts


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (["£12.50", "£1,300.00"], [12.5, 1300.0]),
        (["12,50", "1.234,00", "3"], [12.5, 1234.0, 3.0]),
        (["1 234,50 €", "(2,00 €)", "0,99 €-"], [1234.5, -2.0, -0.99]),
        (["12.50", "1,234.00", "n/a"], [12.5, 1234.0]),
    ],
)
def test_amounts_are_read_as_people_write_them(amounts: list[str], expected: list[float], load_text: Load) -> None:
    text = "customer,time,amount\n" + "".join(f'a,2024-01-0{n + 1},"{a}"\n' for n, a in enumerate(amounts))
    tables = load_text(text, max_unreadable=0.4)
    assert [row["amount"] / TICKS for row in tables.events.order_by("day").to_pyarrow().to_pylist()] == expected
    assert aside(tables) == ({"missing amount": 1} if "n/a" in amounts else {})


def test_a_number_that_may_be_two_is_refused_until_the_config_says_which(load_text: Load) -> None:
    text = 'customer,time,amount\na,2024-01-01,"1,234"\nb,2024-01-02,7\n'
    with pytest.raises(DataError, match=r"1 number written like '9,999'.* set \[events\] decimal_separator"):
        load_text(text)
    assert rows(load_text(text, decimal_separator="."), "amount")[-1] == (1234 * TICKS,)
    assert rows(load_text(text, decimal_separator=","), "amount")[0] == (12_340,)


def test_points_in_a_csv_may_separate_thousands_too(load_text: Load) -> None:
    text = "customer,time,amount,n\na,2024-01-01,1.234,1.500\nb,2024-01-02,12,2\n"
    with pytest.raises(DataError, match=r"amount: column 'amount' has 1 number written like '9,999' or '9.999'"):
        load_text(text)
    assert rows(load_text(text, decimal_separator=","), "amount") == [(12 * TICKS,), (1234 * TICKS,)]
    assert rows(load_text(text, decimal_separator="."), "amount") == [(12_340,), (12 * TICKS,)]
    doubled = load_text(text, query="SELECT *, 2 * n AS twice FROM source", amount="twice")
    assert rows(doubled, "amount") == [(3 * TICKS,), (4 * TICKS,)]


def test_amounts_in_two_currencies_are_refused_or_converted(load_text: Load) -> None:
    text = "customer,time,amount\na,2024-01-01,10 EUR\nb,2024-01-02,10 USD\n"
    with pytest.raises(DataError, match="holds amounts in EUR and USD, which cannot be added up"):
        load_text(text)
    with pytest.raises(DataError, match=r"1 of 2 rows.*amounts in USD need a rate in \[events\] rates"):
        load_text(text, currency="EUR")
    tables = load_text(text, currency="EUR", rates={"EUR": 1, "USD": 0.5})
    assert rows(tables, "amount") == [(5 * TICKS,), (10 * TICKS,)]


def test_a_column_of_currencies_converts_or_sets_aside(load_text: Load) -> None:
    lines = [f"a,2024-01-01,10,{code}" for code in ["EUR"] * 8 + ["usd", "$", "", "GBP"]]
    text = "\n".join(["customer,time,amount,cur", *lines]) + "\n"
    with pytest.raises(DataError, match=r"4 of 12 rows.*no usable currency.*\(rows without a rate: "):
        load_text(text, currency="cur")
    tables = load_text(text, currency="cur", rates={"EUR": 1, "USD": 0.5}, max_unreadable=0.2)
    assert rows(tables, "amount") == [(5 * TICKS,)] * 2 + [(10 * TICKS,)] * 8
    assert aside(tables) == {"missing currency": 1, "other currency": 1}


def test_few_rows_with_most_of_the_money_are_refused(load_text: Load) -> None:
    good = "".join(f"c{n},2024-01-01,5\n" for n in range(99))
    with pytest.raises(DataError, match=r"1 of 100 rows, with about 9\d% of the money, have no usable amount"):
        load_text(f"customer,time,amount\n{good}x,2024-01-01,9999.00 pcs\n")
    with pytest.raises(DataError, match=r"1 of 100 rows, with about 9\d% of the money, have no usable time"):
        load_text(f"customer,time,amount\n{good}x,soon,9999\n")
    assert aside(load_text(f"customer,time,amount\n{good}x,2024-01-01,3 pcs\n")) == {"unreadable amount": 1}


@pytest.mark.parametrize(
    ("role", "value", "reason", "advice"),
    [
        ("quantity", "2 pcs", "unreadable", r"keep only the number in \[events\] query"),
        ("discount", "10%", "unreadable", "a percentage is no money"),
        ("discount", "-1", "negative", "repair them"),
    ],
)
def test_every_number_counts(role: str, value: str, reason: str, advice: str, load_text: Load) -> None:
    text = f"customer,time,amount,{role}\n" + "a,2024-01-01,1,1\n" * 24 + f"b,2024-01-01,1,{value}\n"
    assert aside(load_text(text, **{role: role})) == {f"{reason} {role}": 1}
    with pytest.raises(DataError, match=rf"2 of 26 rows.* have no usable {role}.*{advice}"):
        load_text(text + f"c,2024-01-01,1,{value}\n", **{role: role})


def test_a_refund_may_take_its_discount_back(load_text: Load) -> None:
    tables = load_text("customer,time,amount,discount\na,2024-01-01,-9,-1\n", discount="discount")
    assert rows(tables, "amount", "discount") == [(-9 * TICKS, -TICKS)]


def test_empty_rows_are_ignored_and_counted_once(load_text: Load) -> None:
    tables = load_text("customer,time,amount\na,2024-01-01,1\n,,\n , ,\n,2024-01-01,\n", max_unreadable=1.0)
    assert aside(tables) == {"empty row": 2, "missing customer": 1}
    assert (tables.rows_read, tables.rows, tables.source.count().execute()) == (4, 1, 2)


def test_unusable_amounts_are_set_aside_by_reason(make_log: Load) -> None:
    odd = [None, float("nan"), float("inf"), float("-inf"), 2e12]
    log = [{"customer": f"c{n}", "time": date(2024, 1, 1), "amount": amount} for n, amount in enumerate(odd)]
    fine = [{"customer": "ok", "time": date(2024, 1, 1), "amount": amount} for amount in (1.0, 0.0, -1.0)]
    tables = make_log(log + fine, max_unreadable=1.0)
    assert aside(tables) == {"missing amount": 2, "infinite amount": 2, "amount beyond 1e12": 1}
    assert rows(tables, "amount") == [(-TICKS,), (0,), (TICKS,)]


def test_too_many_infinite_amounts_are_refused(make_log: Load) -> None:
    log = [{"customer": "a", "time": date(2024, 1, 1), "amount": amount} for amount in (1.0, float("inf"))]
    with pytest.raises(DataError, match="1 of 2 rows have no usable amount in column 'amount'"):
        make_log(log)


def test_sums_of_money_are_exact(make_log: Load) -> None:
    tables = make_log([{"customer": "a", "time": date(2024, 1, 1), "amount": 0.1} for _ in range(10)])
    assert sum(amount for (amount,) in rows(tables, "amount")) == TICKS


# Customers


@pytest.mark.parametrize(
    "ids",
    [
        ("7", "007"),
        ("é", "e\u0301"),
        ("商店 1", "Ωmega"),
        ("x" * 40, "x" * 39 + "y"),
        ("9" * 40, "9" * 39 + "8"),
        ("12345678901234567890", "12345678901234567891"),
        ("a'b", 'a"b'),
    ],
)
def test_ids_of_text_stay_as_they_are(ids: tuple[str, str], make_log: Load, load_text: Load) -> None:
    from_parquet = make_log([{"customer": id, "time": date(2024, 1, 1)} for id in ids])
    quoted = ['"' + id.replace('"', '""') + '"' for id in ids]
    from_csv = load_text("customer,time\n" + "".join(f"{id},2024-01-01\n" for id in quoted))
    for tables in (from_parquet, from_csv):
        assert [customer for (customer,) in rows(tables, "customer_id")] == sorted(ids)


def test_long_order_ids_of_digits_stay_distinct(load_text: Load) -> None:
    tables = load_text(f"customer,time,order\na,2024-01-01,{'9' * 30}\na,2024-01-01,{'9' * 29}8\n", order="order")
    assert len(set(rows(tables, "order_id"))) == 2


def test_numbers_as_ids_read_the_same_with_and_without_a_point(make_log: Load, load_text: Load) -> None:
    floats = pa.table({"customer": pa.array([17850.0, None, 3.5]), "time": [date(2024, 1, 1)] * 3})
    integers = [{"customer": 17850, "time": date(2024, 1, 1)}]
    assert rows(make_log(floats), "customer_id") == [("17850",), ("3.5",)]
    assert rows(make_log(integers), "customer_id") == [("17850",)]
    assert rows(load_text("customer,time\n17850.0,2024-01-01\n,2024-01-01\n"), "customer_id") == [("17850",)]


def test_rows_without_a_customer_are_set_aside(make_log: Load) -> None:
    texts = [{"customer": id, "time": date(2024, 1, 1)} for id in ("a", None, "", "  ")]
    assert aside(make_log(texts)) == {"missing customer": 3}
    nan = pa.table({"customer": pa.array([1.0, float("nan")]), "time": [date(2024, 1, 1)] * 2})
    assert aside(make_log(nan)) == {"missing customer": 1}


def test_no_usable_row_lists_the_reasons(make_log: Load) -> None:
    with pytest.raises(DataError, match=r"none of 1 rows can be used \(missing customer: 1\)"):
        make_log(pa.table({"customer": pa.array([None], pa.string()), "time": [date(2024, 1, 1)]}))


def test_lines_without_an_order_id_are_one_order_a_moment(make_log: Load) -> None:
    first, second = moment("2024-01-01T09:00"), moment("2024-01-01T10:00")
    orders = [("7", first), (None, first), (None, first), ("", second)]
    tables = make_log([{"customer": "a", "time": time, "order": order} for order, time in orders])
    assert len(set(rows(tables, "order_id"))) == 3


# Duplicates

TWICE = "customer,time,amount,line\na,2024-01-01,1,1\na,2024-01-01,1,1\na,2024-01-01,1,2\n"


def test_equal_rows_are_kept_unless_the_config_drops_them(load_text: Load) -> None:
    kept, dropped = load_text(TWICE), load_text(TWICE, duplicates="drop")
    assert (kept.rows, kept.duplicates_dropped) == (3, 0)
    assert (dropped.rows, dropped.duplicates_dropped, dropped.rows_read) == (2, 1, 3)


def test_rows_that_repeat_an_event_id_are_set_aside(load_text: Load) -> None:
    tables = load_text(TWICE, id="line")
    assert (tables.rows, aside(tables)) == (2, {"repeated event id": 1})


def test_a_missing_event_id_repeats_nothing(load_text: Load) -> None:
    assert load_text("customer,time,line\na,2024-01-01,\nb,2024-01-01,\n", id="line").rows == 2


def test_the_fingerprint_follows_rows_and_not_their_order(load_text: Load) -> None:
    head, *lines = PLAIN.splitlines()
    first = load_text(PLAIN).fingerprint
    assert load_text("\n".join([head, *lines[::-1]]) + "\n").fingerprint == first
    assert load_text(PLAIN.replace("1.5", "1.51")).fingerprint != first
    assert load_text(PLAIN, kinds=["customer"]).fingerprint != first
