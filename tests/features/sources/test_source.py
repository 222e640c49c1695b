"""Sources in a config: which are accepted, and that no password is accepted or repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import regulars
from features.config.load import Config
from features.config.table_sections import Events
from features.errors import UsageError
from features.sources.source import Source, require_columns, require_table

CANARY = "s3cret-canary"
PG = "postgresql://me@db.example:5432/shop"
Make = Callable[..., Config]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@host:5432/shop",
        "postgres://me@host/shop",
        "postgresql:///shop",
        "postgresql://host",
        "POSTGRESQL://me@host/shop",
        "postgresql://me@[::1]:5432/shop",
        "postgresql://a:5432,b:5433/shop?target_session_attrs=any",
        "postgresql://me%40corp@host/shop?sslmode=require&options=-c%20statement_timeout%3D5s",
    ],
)
def test_postgresql_urls_are_accepted(make_config: Make, url: str) -> None:
    rows = make_config(source=url, table="orders").events.to_source("events")
    assert (rows.database, rows.source, rows.table) == ("postgresql", url, "orders")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{CANARY}@host/shop",
        f"postgres://me:{CANARY}@host/shop",
        f"postgresql://me:a/{CANARY}@host/shop",
        f"postgresql://me:a@{CANARY}@host/shop",
        f"postgresql://me:{CANARY}#@host/shop",
        f"postgresql://me:{CANARY}?@host/shop",
        f"postgresql://me@host/shop?password={CANARY}",
        f"postgresql://me@host/shop?sslmode=require&sslpassword={CANARY}",
        f"postgresql://me@host/shop?PASSWORD={CANARY}",
        f"postgresql://host/shop?oauth_client_secret={CANARY}",
    ],
)
def test_password_in_the_url_is_refused_and_not_repeated(make_config: Make, url: str) -> None:
    with pytest.raises(UsageError, match=r"must not contain a password.*PGPASSWORD.*password_env") as caught:
        make_config(source=url, table="orders")
    problem: BaseException | None = caught.value
    while problem:
        assert CANARY not in f"{problem}{problem!r}"
        problem = problem.__context__


def test_type_errors_do_not_repeat_the_password() -> None:
    with pytest.raises(ValidationError) as caught:
        Events(customer="c", time="t", table="orders", source=f"postgresql://me:{CANARY}@h/s")
    assert CANARY[-6:] not in str(caught.value)


@pytest.mark.parametrize("url", [f"postgresql://me:{CANARY}", f"postgresql://{CANARY}:x y@z/#"])
def test_url_that_is_not_understood_is_not_repeated(make_config: Make, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_config(source=url, table="orders")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"source": PG}, "table ="),
        ({"source": "sqlite:///shop.db"}, "table ="),
        ({"source": "sqlite://", "table": "orders"}, "names no file"),
        ({"source": "mysql://me@host/shop", "table": "orders"}, "mysql:// is not a supported database"),
        ({"source": "log.parquet", "table": "orders"}, "remove it for files"),
        ({"source": "log.parquet", "password_env": "SHOP"}, "password_env is only for a PostgreSQL source"),
        (
            {"source": "sqlite:///shop.db", "table": "t", "password_env": "SHOP"},
            "password_env is only for a PostgreSQL source",
        ),
        ({"source": PG, "table": "t", "password_env": f"{CANARY}!"}, "name of an environment variable"),
    ],
)
def test_contradicting_keys_are_refused(make_config: Make, keys: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_config(**keys)
    assert message in str(caught.value) and CANARY not in str(caught.value)


def test_other_sections_have_the_same_keys(make_config: Make) -> None:
    section = {"source": f"postgresql://me:{CANARY}@host/shop", "table": "people", "customer": "id"}
    with pytest.raises(UsageError, match="must not contain a password"):
        make_config({"customers": section})


def test_a_variable_that_is_not_set_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("events", PG, table="orders", password_env=CANARY.replace("-", "_"))
    with pytest.raises(UsageError, match="not set") as caught:
        source.password()
    assert CANARY.replace("-", "_") not in str(caught.value)
    monkeypatch.setenv(source.password_env, "x")
    assert source.password() == "x"


def test_paths_are_relative_to_the_config_or_absolute() -> None:
    folder = Path("/srv/conf")
    paths = {
        url: Source("events", url, table="t").path(folder).as_posix() for url in ("sqlite:///a/b.db", "duckdb://b")
    }
    assert paths == {"sqlite:///a/b.db": "/srv/conf/a/b.db", "duckdb://b": "/srv/conf/b"}
    assert Source("events", "duckdb:////data/b.duckdb", table="t").path(folder).as_posix() == "/data/b.duckdb"


def test_init_refuses_a_password_in_a_url() -> None:
    result = CliRunner().invoke(regulars.cli, ["init", f"postgresql://me:{CANARY}@host/shop"])
    assert result.exit_code == 2 and "must not contain a password" in result.output
    assert CANARY not in result.output


def test_missing_names_come_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"\[contacts\] customer: .* no column 'custmer'; did you mean 'customer'\? it"
    ):
        require_columns("contacts", {"time": "time", "customer": "custmer"}, ["customer", "time"])
    with pytest.raises(UsageError, match="no column 'customer'; its first line seems to be a row") as refused:
        require_columns("contacts", {"customer": "customer"}, ["Ann", "ann@shop.com", "2024-01-05"])
    assert "Ann" not in str(refused.value)
    source = Source("contacts", PG, table="order")
    with pytest.raises(UsageError, match=r"\[contacts\] table: .* no table 'order'; did you mean 'orders'\? it has"):
        require_table(source, {"orders": '"public"."orders"', "people": '"public"."people"'})
    with pytest.raises(UsageError, match="no table that this user may read"):
        require_table(source, {})
