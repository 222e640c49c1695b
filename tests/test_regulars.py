"""The command line: what each command leaves behind, and the message and exit code for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import regulars
from features.config.load import Config
from tests.scored import CUTOFF, make_scored
from tests.shop import CONFIG, make_shop
from training.train import TrainingRun

START = datetime(2023, 1, 1)
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in `tmp_path`; the result's `text` is all that it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(regulars.cli, list(arguments))

    return call


def _output(result: Result) -> str:
    assert "Traceback" not in result.output, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def _refused(result: Result, code: int, *words: str) -> None:
    output = _output(result)
    assert result.exit_code == code, output
    for word in words:
        assert word in output
    assert len([line for line in output.splitlines() if line.startswith("regulars: ")]) == 1


def _orders(customers: int = 60, days: int = 200, every: int = 9) -> list[dict[str, Any]]:
    return [
        {
            "customer": f"c{n}",
            "time": START + timedelta(days=day),
            "amount": 10.0 + n,
            "order": f"{n}-{day}",
            "channel": "x",
        }
        for n in range(customers)
        for day in range(n % every, days if n % 2 else days // 2, every)
    ]


def _shop(folder: Path, rows: Sequence[dict[str, Any]] | pa.Table, config: str = "", **replaced: str) -> None:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
    pq.write_table(table, folder / "log.parquet")
    text = config or CONFIG.format(money='amount = "amount"')
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "regulars.toml").write_text(text, encoding="utf-8")


def _with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


MONEY = CONFIG.format(money='amount = "amount"')


def test_the_whole_thread_by_commands(run: Run, tmp_path: Path) -> None:
    make_shop(tmp_path)
    checked = run("check")
    assert checked.exit_code == 0, _output(checked)
    assert json.loads((tmp_path / "output" / "audit.json").read_text())["customers"] == 250
    built = run("build", "--cutoff", "2023-05-01", "--cutoff", "2023-07-01", "--out", "f.parquet")
    assert built.exit_code == 0, _output(built)
    columns = pq.read_schema(tmp_path / "f.parquet").names
    assert columns[:2] == ["customer_id", "cutoff"]
    assert columns[-4:] == ["churned", "value", "return_days", "return_orders"]
    trained = run("train")
    assert trained.exit_code == 0, _output(trained)
    assert "shop-churn/1, shop-value/1, champion" in trained.output
    cutoff = trained.output.split("score --cutoff ")[1].split()[0]
    scored = run("score", "--cutoff", cutoff, "--contributions")
    assert scored.exit_code == 0, _output(scored)
    again = run("score", "--cutoff", cutoff, "--contributions", "--resume")
    assert "have not changed since cutoff" in again.output and "\nscored:  " in again.output
    grouped = run("segments", "--cutoff", cutoff)
    assert grouped.exit_code == 0, _output(grouped)
    assert "RFM groups" in grouped.output and "written: " in grouped.output
    customer = pq.ParquetFile(tmp_path / f"output/scores/cutoff={cutoff}/part-00000.parquet").read()["customer_id"][0]
    explained = run("explain", str(customer), "--cutoff", cutoff)
    assert explained.exit_code == 0, _output(explained)
    assert "why this risk" in explained.output
    reported = run("report")
    assert reported.exit_code == 0, _output(reported)
    for result in (checked, built, trained, scored, reported):
        assert "written: " in result.output
        assert "next:    regulars " in result.output


@pytest.mark.long
def test_a_challenger_is_refused_looked_at_promoted_by_hand_and_rolled_back(run: Run, tmp_path: Path) -> None:
    make_shop(tmp_path, customers=150)
    config = tmp_path / "regulars.toml"
    config.write_text(_with(config.read_text(), "trials = 2", "trials = 0"))
    first = run("train", "--compare")
    assert first.exit_code == 0, _output(first)
    assert "there is no champion to compare with" in first.output
    strict = '\n[training.promote]\nchampion = "better"\nladder = "any"\n'
    config.write_text(_with(config.read_text(), "seed = 5", "seed = 6") + strict)
    refused = run("train", "--compare")
    _refused(refused, 1, "shop-churn/2 and shop-value/2 stay challenger", "asked for 'better'", "`regulars promote`")
    assert "FAILED  churn, Brier score: 0." in refused.output
    assert "difference (95% confidence interval)" in refused.output
    cutoff = refused.output.split("evaluated on ")[1].split("at ")[1].split(",")[0]
    assert json.loads((_scored(run, tmp_path, cutoff)).read_text())["models"]["churn"]["label"] == "shop-churn/1"
    by_hand = run("promote")
    assert by_hand.exit_code == 0, _output(by_hand)
    assert "shop-churn/2, shop-value/2, champion (before: shop-churn/1, shop-value/1)" in by_hand.output
    back = run("rollback")
    assert back.exit_code == 0, _output(back)
    assert "shop-churn/1, shop-value/1, champion (before: shop-churn/2, shop-value/2)" in back.output
    _refused(run("rollback"), 2, "nothing to roll back to")
    config.write_text(_with(_with(config.read_text(), 'champion = "better"', 'champion = "level"'), '"90d"]', '"60d"]'))
    other = run("train", "--compare")
    assert other.exit_code in (0, 1), _output(other)
    assert "its logged figures at this cutoff, unpaired, because the value model" in other.output
    _refused(run("train", "--log", str(tmp_path / "output")), 2, "is not a training saved for later")


def _scored(run: Run, folder: Path, cutoff: str) -> Path:
    scored = run("score", "--cutoff", cutoff)
    assert scored.exit_code == 0, _output(scored)
    return folder / f"output/scores/cutoff={cutoff}/_manifest.json"


@pytest.mark.long
def test_a_backtest_by_command(run: Run, tmp_path: Path) -> None:
    make_shop(tmp_path)
    done = run("backtest", "--cutoffs", "2")
    assert done.exit_code == 0, _output(done)
    for part in ("evaluated at 2 cutoffs", "better than recency alone in", "of 2 cutoffs", "next:    regulars train"):
        assert part in done.output
    assert {"metrics.csv", "differences.csv", "grades.csv"} <= {
        p.name for p in (tmp_path / "output/backtest").iterdir()
    }
    curve = run("backtest", "--learning-curve")
    assert curve.exit_code == 0, _output(curve)
    assert "after training on" in curve.output
    assert (tmp_path / "output" / "learning_curve" / "curve.csv").exists()
    assert run("backtest", "--cutoffs", "0").exit_code == 2


def test_a_backtest_that_cannot_be(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(customers=1))
    _refused(run("backtest"), 3, "no cutoff can be evaluated", "at least 10 of each")
    _refused(run("backtest", "--learning-curve"), 3, "no number of customers is large enough")
    _shop(tmp_path, _orders(days=70), _with(MONEY, 'horizon = "30d"', 'horizon = "40d"'))
    _refused(run("backtest"), 3, "two cutoffs at least a horizon")
    assert not (tmp_path / "output" / "backtest").exists()


def test_a_simulated_business_can_be_checked(run: Run, tmp_path: Path) -> None:
    simulated = run("simulate", "--customers", "300", "--out", "sim", "--days", "200")
    assert simulated.exit_code == 0, _output(simulated)
    assert "300 customers" in simulated.output
    assert "regulars -c sim/regulars.toml check" in simulated.output
    checked = run("-c", "sim/regulars.toml", "check")
    assert checked.exit_code == 0, _output(checked)
    assert "[contacts]" in checked.output
    built = run("-c", "sim/regulars.toml", "build", "--cutoff", "2023-06-01", "--out", "f.parquet")
    assert built.exit_code == 0, _output(built)
    assert max(pq.read_table(tmp_path / "f.parquet")["contacts_count_ever"].to_pylist()) > 1
    _refused(run("simulate", "--customers", "0", "--out", "none"), 2, "customers")
    assert not (tmp_path / "none").exists()


BESIDE = """\
[activities.visits]
source = "visits.csv"
customer = "customer"
time = "day"
time_format = "%d/%m/%Y"
measure = "minutes"
kinds = ["page"]
[activities."Service tickets"]
source = "visits.csv"
query = "SELECT customer, day FROM source WHERE page = 'help'"
customer = "customer"
time = "day"
time_format = "%d/%m/%Y"
[contacts]
source = "contacts.csv"
customer = "customer"
time = "time"
action = "what"
control = "none"
[subscriptions]
source = "terms.csv"
customer = "customer"
start = "from"
end = "until"
price = "price"
"""


def test_tables_beside_the_events_are_checked_and_built(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders())
    (tmp_path / "visits.csv").write_text(
        "customer,day,minutes,page\nc1,20/02/2023,4,home\nc1,21/02/2023,,help\nzz,22/02/2023,1,home\n"
    )
    (tmp_path / "contacts.csv").write_text("customer,time,what\nc1,2023-02-01,mail\nc2,2023-02-01,none\n")
    (tmp_path / "terms.csv").write_text("customer,from,until,price\nc1,2023-01-01,2023-02-01,9.99\nc1,2023-02-01,,12\n")
    config = tmp_path / "regulars.toml"
    config.write_text(config.read_text() + BESIDE)
    checked = run("check")
    assert checked.exit_code == 0, _output(checked)
    for part in (
        "[activities.visits] 3 usable",
        "[activities.service_tickets] 1 usable",
        "have no event (such as 'zz')",
    ):
        assert part in checked.output
    audit = json.loads((tmp_path / "output" / "audit.json").read_text())
    assert [side["rows"] for side in audit["sides"]] == [3, 1, 2, 2]
    assert run("build", "--cutoff", "2023-03-01", "--out", "f.parquet").exit_code == 0
    (row,) = (row for row in pq.read_table(tmp_path / "f.parquet").to_pylist() if row["customer_id"] == "c1")
    assert {name: row[name] for name in BUILT} == BUILT


BUILT = {
    "visits_count_30d": 2,
    "visits_mean_30d": 4,
    "visits_page_distinct_30d": 2,
    "service_tickets_recency_days": 8,
    "contacts_recency_days": 28,
    "contacts_held_out_ever": 0,
    "subscription_age_days": 59,
    "subscription_price": 12,
}


def test_init_writes_a_config_that_works_and_never_over_another(run: Run, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(_orders()), tmp_path / "orders.parquet")
    written = run("init", "orders.parquet")
    assert written.exit_code == 0, _output(written)
    assert run("check").exit_code == 0
    _refused(run("init", "orders.parquet"), 2, "already exists")


def test_wrong_use_is_exit_2(run: Run, tmp_path: Path) -> None:
    make_shop(tmp_path, customers=5)
    assert run("score", "--cutoff", "soon").exit_code == 2
    assert run("nonsense").exit_code == 2
    assert run("build", "--out", "x.parquet").exit_code == 2
    assert run("train", "everything").exit_code == 2
    _refused(run("-c", "missing.toml", "check"), 2, "missing.toml", "regulars init")
    _refused(run("report"), 2, "no scores found", "regulars score")
    _refused(run("score", "--cutoff", "2023-06-01"), 2, "run `regulars train` first")


def test_a_misspelt_key_names_the_nearest(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(), _with(MONEY, "horizon =", "horizn ="))
    _refused(run("check"), 2, "'horizn'", "did you mean 'horizon'")


def test_a_missing_file_and_a_missing_column(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(), _with(MONEY, "log.parquet", "lgo.parquet"))
    _refused(run("check"), 3, "lgo.parquet", "no such file")
    _shop(tmp_path, _orders(), _with(MONEY, 'customer = "customer"', 'customer = "custmer"'))
    _refused(run("check"), 2, "'custmer'", "did you mean 'customer'")


def test_an_empty_file(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(), _with(MONEY, "log.parquet", "log.csv"))
    (tmp_path / "log.csv").write_text("")
    _refused(run("check"), 3, "0 bytes")
    (tmp_path / "log.csv").write_text("customer,time,amount,order,channel\n")
    _refused(run("check"), 3, "no rows")


def test_one_customer(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(customers=1))
    assert run("check").exit_code == 0
    _refused(run("train"), 3, "1 customers in the cohort")


def test_no_purchase_in_any_horizon_and_all_churned(run: Run, tmp_path: Path) -> None:
    once = [row for row in _orders(days=9) if row["customer"]]
    late = [{**once[0], "customer": "late", "time": START + timedelta(days=day)} for day in range(9, 200, 20)]
    _shop(tmp_path, once + late)
    _refused(run("train"), 3, "churned", "at least 10 of each")
    free = [{**row, "amount": 0.0} for row in _orders()]
    _shop(tmp_path, free)
    _refused(run("check"), 1, "no row has a positive amount")
    _refused(run("train"), 3, "no row has a positive amount")


def test_a_horizon_longer_than_the_data(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders(days=25))
    _refused(run("check"), 1, "no label can mature")
    _refused(run("train"), 3, "no label can mature")
    _shop(tmp_path, _orders(days=70), _with(MONEY, 'horizon = "30d"', 'horizon = "40d"'))
    _refused(run("train"), 3, "two cutoffs at least a horizon")


def test_a_cutoff_before_the_first_event_or_after_the_last(run: Run, shop: Config, trained: TrainingRun) -> None:
    config = str(shop.folder / "regulars.toml")
    for cutoff in ("2022-12-31", "2031-01-01"):
        _refused(run("-c", config, "score", "--cutoff", cutoff), 2, cutoff, "outside the log", "2023-01-0")
        _refused(run("-c", config, "build", "--cutoff", cutoff, "--out", "x.parquet"), 2, "outside the log")
    assert not Path("x.parquet").exists()


def test_dates_in_the_future_are_a_breach_that_names_the_cure(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, [*_orders(), {**_orders()[0], "time": datetime(2103, 1, 5)}])
    _refused(run("check"), 1, "BREACH", "2103-01-05", "until")
    _refused(run("train"), 3, "2103-01-05", 'until = "2023-07-20"')
    _shop(
        tmp_path,
        [*_orders(), {**_orders()[0], "time": datetime(2103, 1, 5)}],
        _with(MONEY, "[task]", 'until = "2023-07-20"\n[task]'),
    )
    assert run("check").exit_code == 0


def _text_times(texts: Sequence[str]) -> pa.Table:
    rows = _orders()
    return pa.Table.from_pylist([{**row, "time": texts[n % len(texts)]} for n, row in enumerate(rows)])


def test_times_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _text_times(["the day before"]))
    _refused(run("check"), 3, "'time'", "written like 'aaa aaa aaaaaa'", "time_format")


def test_mixed_time_zones(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _text_times(["2023-01-05T10:00:00+02:00", "2023-03-05T10:00:00"]))
    _refused(run("check"), 3, "mixes", "timezone")


def _amounts(values: Sequence[Any]) -> pa.Table:
    rows = _orders()
    return pa.Table.from_pylist([{**row, "amount": values[n % len(values)]} for n, row in enumerate(rows)])


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["a dozen", "ten"], "written like 'a"),
        ([1.0, float("inf")], "no usable amount"),
        ([1.0, None], "no usable amount"),
    ],
)
def test_amounts_that_cannot_be_used(run: Run, tmp_path: Path, values: list[Any], word: str) -> None:
    _shop(tmp_path, _amounts(values))
    _refused(run("check"), 3, "'amount'", word, "query")


def test_a_few_amounts_that_cannot_be_used_are_set_aside_and_counted(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _amounts([*[5.0] * 60, float("inf"), None]))
    result = run("check")
    assert result.exit_code == 0, _output(result)
    assert "infinite amount" in result.output
    assert "missing amount" in result.output


def test_duplicate_rows_are_told_and_kept(run: Run, tmp_path: Path) -> None:
    _shop(tmp_path, _orders() + _orders()[:7])
    result = run("check")
    assert "7 kept, 0 dropped" in result.output
    _shop(tmp_path, _orders() + _orders()[:7], _with(MONEY, "[task]", 'duplicates = "drop"\n[task]'))
    assert "0 kept, 7 dropped" in run("check").output


@pytest.mark.parametrize("make", [int, float, lambda n: "顧客-é-" + str(n), lambda n: f"{n:040d}"])
def test_customer_ids_of_any_make(run: Run, tmp_path: Path, make: Callable[[int], Any]) -> None:
    numbers = {f"c{n}": make(n) for n in range(60)}
    _shop(tmp_path, [{**row, "customer": numbers[row["customer"]]} for row in _orders()])
    built = run("build", "--cutoff", "2023-05-01", "--out", "f.parquet")
    assert built.exit_code == 0, _output(built)
    ids = set(pq.read_table(tmp_path / "f.parquet")["customer_id"].to_pylist())
    assert ids <= {str(int(i)) if isinstance(i, float) else str(i) for i in numbers.values()}
    assert len(ids) == 60


def test_a_build_that_fails_leaves_nothing(run: Run, tmp_path: Path) -> None:
    make_shop(tmp_path, customers=30)
    _refused(run("build", "--cutoff", "2023-05-01", "--out", "log.parquet/x.parquet"), 2, "reads from", "give another")
    assert {path.name for path in tmp_path.iterdir()} == {"log.parquet", "regulars.toml"}


def test_a_plan_is_printed_and_written(run: Run, tmp_path: Path) -> None:
    actions = "[plan]\nmargin = 0.5\n[plan.actions.mail]\ncost = 0.5\nsave_rate = 0.1\n"
    (tmp_path / "regulars.toml").write_text(f"{MONEY}{actions}", encoding="utf-8")
    _refused(run("plan", "--cutoff", str(CUTOFF), "--budget", "50"), 2, "not scored", "regulars score")
    make_scored(tmp_path, {})
    result = run("plan", "--cutoff", str(CUTOFF), "--budget", "50", "--campaign", "spring")
    output = _output(result)
    assert result.exit_code == 0, output
    assert "ASSUMED" in output and "<- this plan" in output
    assert (tmp_path / "output" / "plans" / f"cutoff={CUTOFF}" / "spring" / "plan.csv").exists()
    _refused(run("plan", "--cutoff", str(CUTOFF)), 2, "no budget")
    _refused(run("plan", "--cutoff", str(CUTOFF), "--budget", "0.2"), 2, "below the cheapest action")
