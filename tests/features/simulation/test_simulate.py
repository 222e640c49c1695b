"""The known parameters of a simulated business, recovered from its log; its truth against a second opinion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from features.config.load import load_config
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.read_log import read_tables as read_log
from features.simulation import simulate as module
from features.simulation.settings import Action, Settings
from features.simulation.simulate import simulate_business

Ask = Callable[..., list[tuple[Any, ...]]]
START, DAYS = date(2023, 1, 1), 730
END = START + timedelta(days=DAYS)
USUAL = Settings(contact_share=1.0)
QUIET = Settings(actions=())


def asker(folder: Path) -> Ask:
    """A function that runs SQL over the tables of a simulation, and over its `orders` (refunds left out)."""
    connection = duckdb.connect()
    for name in ("events", "contacts", "truth"):
        if (folder / name).exists():
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{folder}/{name}/*.parquet'")
    connection.execute(
        "CREATE TABLE orders AS SELECT customer_id, order_id, min(time) AS time, sum(amount) AS amount, "
        "min(time) > min(min(time)) OVER (PARTITION BY customer_id) AS again "
        "FROM events WHERE amount > 0 GROUP BY customer_id, order_id"
    )
    return lambda sql: connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Twenty thousand customers who are all offered something every month."""
    folder = tmp_path_factory.mktemp("usual")
    simulate_business(folder, 20_000, seed=5, settings=USUAL)
    return asker(folder)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Twenty thousand customers whom nobody contacts."""
    folder = tmp_path_factory.mktemp("quiet")
    simulate_business(folder, 20_000, seed=6, settings=QUIET)
    return asker(folder)


def digest(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / name).to_pylist()


def season_and_weekday(day: date, settings: Settings) -> float:
    """The factor of the rate on a day, written a second time."""
    angle = 2 * np.pi * (day.timetuple().tm_yday - settings.season_peak) / 365.25
    return (1 + settings.season * np.cos(angle)) * settings.weekdays[day.weekday()] * 7 / sum(settings.weekdays)


def act(**changes: Any) -> tuple[Action, ...]:
    return (Action(**{"name": "mail", "cost": 1, "propensity": 0.5, "days": 7, "lifts": (0.1, 0.2, 0.3), **changes}),)


# What the log is made of


def test_the_config_reads_the_log(tmp_path: Path, engine: DuckDBEngine) -> None:
    done = simulate_business(tmp_path / "shop", 1_500, days=200, seed=1)
    tables = read_log(load_config(done.config), engine)
    assert (tables.end, done.start, done.end) == (date(2023, 7, 20), START, date(2023, 7, 20))
    assert tables.rows_read == done.events == len(rows(done.folder, "events"))
    assert tables.set_aside == () or not any(found.rows for found in tables.set_aside)
    contacts = tables.sides["contacts"]
    assert done.contacts == len(rows(done.folder, "contacts")) == contacts.rows_read == engine.count_rows(contacts.rows)
    held_out = sum(row["action"] == "none" for row in rows(done.folder, "contacts"))
    assert 0 < held_out == engine.count_rows(contacts.rows.filter(contacts.rows.held_out))
    assert done.customers == 1_500 == len(rows(done.folder, "truth"))


def test_a_folder_may_look_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = simulate_business(Path("duckdb:shop"), 10, days=90, seed=1)
    assert list((tmp_path / "duckdb:shop" / "events").glob("part-*.parquet")) and done.customers == 10


def test_columns_and_types(tmp_path: Path) -> None:
    simulate_business(tmp_path / "shop", 10, days=90, seed=1)
    schemas = {name: pq.read_schema(tmp_path / "shop" / name / "part-00000.parquet") for name in ("events", "contacts")}
    assert {name: [(f.name, str(f.type)) for f in schema] for name, schema in schemas.items()} == {
        "events": [
            ("customer_id", "string"), ("time", "timestamp[us]"), ("order_id", "string"), ("amount", "double"),
            ("quantity", "int64"), ("category", "string"), ("channel", "string"),
        ],
        "contacts": [
            ("customer_id", "string"), ("time", "timestamp[us]"), ("action", "string"), ("cost", "double"),
            ("propensity", "double"),
        ],
    }  # fmt: skip


def test_ids_are_unique_and_every_customer_is_in_the_log(usual: Ask) -> None:
    assert usual("SELECT count(*), count(DISTINCT customer_id) FROM truth") == [(20_000, 20_000)]
    assert usual("SELECT count(*) FROM truth ANTI JOIN events USING (customer_id)") == [(0,)]
    assert usual("SELECT count(*) FROM events ANTI JOIN truth USING (customer_id)") == [(0,)]
    several = "SELECT order_id FROM events GROUP BY 1 HAVING count(DISTINCT (customer_id, time, channel)) > 1"
    assert usual(several) == []


def test_a_life_begins_with_an_order_and_after_its_end_come_only_refunds(usual: Ask) -> None:
    assert usual("SELECT count(*) FROM truth WHERE lifetime_end IS NULL")[0][0] in range(5_000, 15_000)
    joined = "FROM truth JOIN events USING (customer_id)"
    assert usual(f"SELECT count(*) {joined} WHERE time >= lifetime_end AND amount > 0") == [(0,)]
    assert usual(f"SELECT count(*) > 20 {joined} WHERE time >= lifetime_end AND amount < 0") == [(True,)]
    assert usual(
        f"SELECT count(*) FROM (SELECT birth, min(time) AS first {joined} GROUP BY ALL) WHERE birth <> first"
    ) == [(0,)]
    ((first, last),) = usual("SELECT min(time), max(time) FROM events")
    assert datetime(2023, 1, 1) <= first and last < datetime(END.year, END.month, END.day)


def test_amounts_are_whole_cents_and_quantities_have_the_sign_of_the_amount(usual: Ask) -> None:
    assert usual("SELECT count(*) FROM events WHERE amount = 0 OR round(amount, 2) <> amount") == [(0,)]
    assert usual("SELECT count(*) FROM events WHERE sign(amount) <> sign(quantity)") == [(0,)]


def test_a_refund_takes_a_whole_order_back_later(usual: Ask) -> None:
    pairs = (
        "SELECT sum(e.amount) FILTER (e.amount < 0) AS back, sum(e.amount) FILTER (e.amount > 0) AS paid, "
        "min(time) FILTER (amount < 0) - min(time) FILTER (amount > 0) AS delay "
        "FROM events AS e GROUP BY customer_id, replace(order_id, '-r', '') HAVING back IS NOT NULL"
    )
    ((wrong, early, mean),) = usual(
        f"SELECT count(*) FILTER (abs(back + paid) > 1e-6), count(*) FILTER (delay < INTERVAL 0 DAY), "
        f"avg(epoch(delay)) / 86400 FROM ({pairs})"
    )
    assert (wrong, early) == (0, 0) and mean == pytest.approx(USUAL.refund_delay, rel=0.08)


# Known parameters, recovered


def test_mean_rate_is_recovered(quiet: Ask) -> None:
    factors = [season_and_weekday(START + timedelta(days=d), QUIET) for d in range(DAYS)]
    total = np.concatenate([[0.0], np.cumsum(factors)])
    lived = quiet(
        f"SELECT epoch(birth - TIMESTAMP '{START}') / 86400, "
        f"epoch(coalesce(lifetime_end, TIMESTAMP '{END}') - TIMESTAMP '{START}') / 86400 FROM truth"
    )
    days = np.diff(np.interp(np.array(lived), np.arange(DAYS + 1), total), axis=1).sum()
    ((again, estimated_rate),) = quiet("SELECT count(*) FILTER (again), (SELECT avg(rate) FROM truth) FROM orders")
    assert again / days == pytest.approx(QUIET.rate_mean, rel=0.03)
    assert estimated_rate == pytest.approx(QUIET.rate_mean, rel=0.02)


def test_mean_hazard_is_recovered_from_the_survivors_of_a_year(quiet: Ask) -> None:
    ((share,),) = quiet(
        "SELECT avg((coalesce(lifetime_end, TIMESTAMP '9999-01-01') >= birth + INTERVAL 365 DAY)::INT) "
        f"FROM truth WHERE birth < TIMESTAMP '{END}' - INTERVAL 365 DAY"
    )
    shape = QUIET.hazard_shape  # survival under a gamma hazard is (1 + mean t / shape) ** -shape
    assert shape * (share ** (-1 / shape) - 1) / 365 == pytest.approx(QUIET.hazard_mean, rel=0.05)


def test_mean_amount_refunds_and_kinds_are_recovered(quiet: Ask) -> None:
    ((amount, lines, refunds),) = quiet(
        "SELECT (SELECT avg(amount) FROM orders WHERE NOT again), "
        "(SELECT count(*) FILTER (amount > 0) FROM events) / (SELECT count(*) FROM orders), "
        "(SELECT count(DISTINCT order_id) FROM events WHERE amount < 0) / (SELECT count(*) FROM orders)"
    )
    assert amount == pytest.approx(QUIET.amount_mean, rel=0.03)
    assert lines == pytest.approx(1 + QUIET.extra_lines, rel=0.02)
    assert refunds == pytest.approx(QUIET.refund_share, rel=0.05)  # the last few lie beyond the end
    ((channel, category),) = quiet(
        "SELECT avg((e.channel = t.channel)::INT), avg((e.category = t.category)::INT) "
        "FROM events AS e JOIN truth AS t USING (customer_id)"
    )
    assert channel == pytest.approx(0.7 + 0.3 / 3, abs=0.01) and category == pytest.approx(0.7 + 0.3 / 5, abs=0.01)


def test_season_and_weekdays_are_recovered(quiet: Ask) -> None:
    counted = quiet(
        "SELECT day, (SELECT count(*) FROM orders WHERE again AND time >= day AND time < day + INTERVAL 1 DAY), "
        "(SELECT sum(rate * greatest(epoch(least(coalesce(lifetime_end, day + INTERVAL 1 DAY), day + INTERVAL 1 DAY) "
        "- greatest(birth, day)), 0) / 86400) FROM truth) "
        f"FROM range(TIMESTAMP '{START}', TIMESTAMP '{END}', INTERVAL 1 DAY) AS days(day) ORDER BY day"
    )
    orders, exposure = np.array([row[1:] for row in counted], float).T
    days = [row[0] for row in counted]
    waves = np.array([2 * np.pi * (d.timetuple().tm_yday - QUIET.season_peak) / 365.25 for d in days])
    design = np.column_stack([np.ones(DAYS), np.cos(waves), np.sin(waves)]) * exposure[:, None]
    weights = 1 / np.sqrt(exposure[:, None])
    level, cosine, sine = np.linalg.lstsq(design * weights, orders * weights[:, 0], rcond=None)[0]
    assert (level, cosine, sine) == (
        pytest.approx(1, abs=0.02),
        pytest.approx(0.3, abs=0.02),
        pytest.approx(0, abs=0.02),
    )
    season = exposure * (1 + 0.3 * np.cos(waves))
    for weekday, weight in enumerate(QUIET.weekdays):
        on = np.array([d.weekday() == weekday for d in days])
        assert orders[on].sum() / season[on].sum() == pytest.approx(weight, rel=0.04)


@pytest.mark.parametrize("action", USUAL.actions, ids=lambda action: action.name)
@pytest.mark.parametrize("channel", USUAL.channels)
def test_effect_of_an_action_is_recovered_by_comparing_arms(usual: Ask, action: Action, channel: str) -> None:
    orders_by_arm = dict(
        usual(
            "SELECT action, count(o.time) / count(DISTINCT (c.customer_id, c.time)) FROM contacts AS c "
            f"JOIN truth AS t ON t.customer_id = c.customer_id AND t.channel = '{channel}' "
            "LEFT JOIN orders AS o ON o.customer_id = c.customer_id AND o.time >= c.time "
            f"AND o.time < c.time + INTERVAL {action.days} DAY GROUP BY action"
        )
    )
    lift = action.lifts[USUAL.channels.index(channel)]
    assert orders_by_arm[action.name] / orders_by_arm["none"] - 1 == pytest.approx(lift, abs=0.1)
    ((estimated_lift,),) = usual(f"SELECT avg(response_{action.name}) FROM truth WHERE channel = '{channel}'")
    assert estimated_lift == pytest.approx(lift, abs=0.01)


def test_contacts_are_randomised_with_the_propensities_they_state(usual: Ask) -> None:
    design = usual("SELECT action, avg(propensity), count(DISTINCT propensity), avg(cost) FROM contacts GROUP BY 1")
    assert sorted(design) == [("email", 0.25, 1, pytest.approx(0.1)), ("none", 0.5, 1, 0), ("voucher", 0.25, 1, 2)]
    shares = usual("SELECT avg((action = 'none')::INT), avg((action = 'email')::INT) FROM contacts GROUP BY time")
    assert len(shares) == 24 and np.allclose(np.array(shares)[5:], (0.5, 0.25), atol=0.03)
    assert usual("SELECT count(*) FROM contacts JOIN truth USING (customer_id) WHERE time <= birth") == [(0,)]
    again = "SELECT 1 FROM contacts GROUP BY customer_id, time HAVING count(*) > 1"
    assert usual(again) == []


# The truth against a second opinion


def test_expected_orders_and_value_agree_with_a_continuation(usual: Ask) -> None:
    """Ninety more days of the living, 400 times, from the truth and the contacts alone."""
    last = (
        "SELECT customer_id, arg_max(action, time) AS action, max(time) AS time FROM contacts "
        f"WHERE time >= TIMESTAMP '{END}' - INTERVAL 30 DAY GROUP BY 1"
    )
    living = usual(
        "SELECT rate, hazard, mean_amount, action, epoch(time - TIMESTAMP '2023-01-01') / 86400, response_email, "
        "response_voucher, expected_orders_90d, expected_value_90d "
        f"FROM truth LEFT JOIN ({last}) USING (customer_id) WHERE lifetime_end IS NULL ORDER BY customer_id LIMIT 1500"
    )
    rate, hazard, amount, orders, value = (np.array([row[i] for row in living]) for i in (0, 1, 2, 7, 8))
    rng, repeats = np.random.default_rng(1), 400
    life = rng.exponential(1 / hazard, (repeats, len(living)))
    drawn = np.zeros_like(life)
    for d in range(90):
        boost = np.ones(len(living))
        for i, (_, _, _, action, day, email, voucher, *_) in enumerate(living):
            if action in ("email", "voucher") and DAYS + d - day < {"email": 14, "voucher": 21}[action]:
                boost[i] += email if action == "email" else voucher
        mean = rate * season_and_weekday(END + timedelta(days=d), USUAL) * boost
        drawn += rng.poisson(mean * np.clip(life - d, 0, 1))
    error = drawn.std(axis=0) / np.sqrt(repeats)
    score = (drawn.mean(axis=0) - orders) / np.where(error > 0, error, 1)
    assert drawn.mean(axis=0).sum() == pytest.approx(orders.sum(), rel=0.005)
    assert abs(score.mean()) < 0.15 and score.std() == pytest.approx(1, abs=0.15)
    kept = rng.binomial(drawn.astype(int), 1 - USUAL.refund_share)
    assert (kept * amount).mean(axis=0).sum() == pytest.approx(value.sum(), rel=0.01)


def test_the_dead_are_expected_to_do_nothing(usual: Ask) -> None:
    sums = "SELECT sum(expected_orders_90d), sum(expected_value_90d), min(expected_value_90d) FROM truth"
    assert usual(f"{sums} WHERE lifetime_end IS NOT NULL") == [(0, 0, 0)]
    assert usual(f"{sums} WHERE lifetime_end IS NULL")[0][2] > 0


def test_nobody_dies_without_a_hazard(tmp_path: Path) -> None:
    simulate_business(tmp_path / "shop", 2_000, seed=2, settings=Settings(hazard_mean=0, actions=()))
    ask = asker(tmp_path / "shop")
    assert ask("SELECT count(lifetime_end), max(hazard) FROM truth") == [(0, 0)]
    ahead = sum(season_and_weekday(END + timedelta(days=d), QUIET) for d in range(90))
    ((worst,),) = ask(f"SELECT max(abs(expected_orders_90d - rate * {ahead})) FROM truth")
    assert worst < 1e-9


def test_an_action_that_drives_customers_away(tmp_path: Path) -> None:
    harm = act(days=30, lifts=(0, 0, 0), hazards=(4, 0, 0))
    simulate_business(tmp_path / "shop", 4_000, days=300, seed=2, settings=Settings(actions=harm, contact_share=1.0))
    ask = asker(tmp_path / "shop")
    assert ask("SELECT channel, avg(hazard_response_mail) FROM truth GROUP BY 1 ORDER BY 1") == [
        ("app", 0), ("store", 0), ("web", pytest.approx(4, abs=0.1)),
    ]  # fmt: skip
    died = dict(
        ask(
            "SELECT t.channel = 'web' AND action = 'mail', sum((lifetime_end < time + INTERVAL 30 DAY)::INT) / sum("
            "hazard) FROM contacts JOIN truth AS t USING (customer_id) WHERE lifetime_end IS NULL OR lifetime_end > "
            "time GROUP BY 1"
        )
    )
    assert died[True] / died[False] == pytest.approx(5 * 0.85, rel=0.15)  # some of those in danger are dead by then


# The same again


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_business(tmp_path / name, 1_200, days=100, seed=seed)
    first, same, other = (digest(tmp_path / name) for name in "abc")
    assert first == same
    assert all(first[name] != other[name] for name in first)


def test_neither_chunk_nor_number_changes_what_a_customer_does(tmp_path: Path) -> None:
    simulate_business(tmp_path / "whole", 4_500, days=150, seed=1)
    simulate_business(tmp_path / "parts", 4_500, days=150, seed=1, chunk=1_001)
    simulate_business(tmp_path / "fewer", 1_300, days=150, seed=1)
    assert [p.name for p in sorted((tmp_path / "parts" / "truth").iterdir())] == [
        f"part-0000{i}.parquet" for i in range(3)
    ]
    for name in ("events", "contacts", "truth"):
        all_rows = rows(tmp_path / "whole", name)
        assert all_rows == rows(tmp_path / "parts", name)
        assert [row for row in all_rows if row["customer_id"] < "c000001300"] == rows(tmp_path / "fewer", name)


def test_contacts_change_nothing_else_about_the_customers(tmp_path: Path) -> None:
    simulate_business(tmp_path / "with", 500, days=100, seed=1)
    simulate_business(tmp_path / "without", 500, days=100, seed=1, settings=QUIET)
    assert not (tmp_path / "without" / "contacts").exists()
    assert load_config(tmp_path / "with" / "regulars.toml").contacts is not None
    assert load_config(tmp_path / "without" / "regulars.toml").contacts is None
    known = ("customer_id", "birth", "lifetime_end", "rate", "hazard")
    first, other = ([[row[k] for k in known] for row in rows(tmp_path / n, "truth")] for n in ("with", "without"))
    assert first == other


def test_the_smallest_business(tmp_path: Path, engine: DuckDBEngine) -> None:
    done = simulate_business(tmp_path / "shop", 1, days=1, start=date(2024, 2, 29), seed=0)
    assert {row["time"].date() for row in rows(done.folder, "events")} == {date(2024, 2, 29)}
    assert (done.end, done.contacts, done.customers) == (date(2024, 3, 1), 0, 1)
    assert read_log(load_config(done.config), engine).sides["contacts"].rows_read == 0


@pytest.mark.slow
@pytest.mark.long
def test_memory_grows_with_the_chunk_and_not_with_the_customers(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from features.simulation.simulate import simulate_business; "
        "simulate_business(Path(sys.argv[1]), int(sys.argv[2]), seed=1, chunk=5_000); "
        "sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    )
    root = Path(module.__file__).parents[2]
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, tmp_path / n, n], cwd=root, check=True, capture_output=True
            ).stdout
        )
        for n in ("20000", "200000")
    )
    assert many < 1.3 * few


# What cannot be


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"customers": 0}, "customers: expected 1 or more, found 0"),
        ({"customers": 10**23}, "customers: expected at most 100,000,000, found 100,000,000,000,000,000,000,000"),
        ({"days": 0}, "days: expected 1 or more, found 0"),
        ({"days": -5}, "days: expected 1 or more, found -5"),
        ({"seed": -1}, "seed: expected 0 or more, found -1"),
        ({"chunk": 0}, "chunk: expected 1 or more, found 0"),
        ({"start": date(9999, 1, 1)}, "beyond the year 9999"),
        ({"days": 10**10}, "beyond the year 9999"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        simulate_business(tmp_path / "shop", **{"customers": 10, "seed": 1, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_simulation_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    simulate_business(shop, 5, days=30, seed=1)
    simulate_business(shop, 7, days=30, seed=1)
    assert len(rows(shop, "truth")) == 7
    (shop / "output").mkdir()
    with pytest.raises(UsageError, match=r"shop holds 'output'; give a new or empty folder"):
        simulate_business(shop, 5, days=30, seed=1)
    (tmp_path / "mine" / "events").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"mine holds 'events'"):
        simulate_business(tmp_path / "mine", 5, days=30, seed=1)
    with pytest.raises(UsageError, match=r"regulars.toml: expected a folder or nothing yet, found a file"):
        simulate_business(shop / "regulars.toml", 5, days=30, seed=1)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.pq, "write_table", full)
    with pytest.raises(UsageError, match=r"cannot be written: No space left on device"):
        simulate_business(tmp_path / "shop", 5, days=30, seed=1)
    assert list(tmp_path.iterdir()) == []
