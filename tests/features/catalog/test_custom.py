"""A user's file of features: what it adds, the message when it is wrong, and the examples of its guide, run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import regulars
from features.catalog import custom
from features.catalog.custom import MODULE_NAME, CustomFeatures
from features.catalog.families import Family
from features.config.data_contract import DataContract
from features.config.load import Config, load_config
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.tables import Tables
from features.snapshots import cohort_features, leakage
from features.snapshots.build import Snapshots, build_snapshots, snapshots_from_tables
from features.task import Task
from tests.shop import make_shop

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "own_features.md").read_text(encoding="utf-8")
BLOCKS = {kind: re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL) for kind in ("toml", "python", "text")}
EVENING, QUIET, LOYALTY = BLOCKS["python"]
CUTOFF = date(2023, 9, 1)
HEAD = "from features.own import *\nimport ibis\n"
Try = Callable[..., CustomFeatures]


def feature(**words: Any) -> str:
    """The source of a feature; a value given as a tuple is source, any other is quoted."""
    fields = {
        "name": "mine",
        "compute": ("lambda m: m.orders_ever / m.tenure",),
        "family": "habit",
        "phrase": "orders a day",
        "reading": "{value:number} orders a day",
        "unit": "ratio",
        "unread": "no order",
        **words,
    }
    return f"Feature({', '.join(f'{k}={v[0] if isinstance(v, tuple) else repr(v)}' for k, v in fields.items())})"


def declaring(*features: str, measures: str = "None", before: str = "") -> str:
    return f"{HEAD}{before}\ndef families(task):\n    return [Family('mine', [{', '.join(features)}], {measures})]\n"


@pytest.fixture
def read(tmp_path: Path, make_config: Callable[..., Config], make_task: Callable[..., Task]) -> Try:
    """Reads a source as the user's file of an ordinary log."""

    def call(source: str | bytes) -> CustomFeatures:
        (tmp_path / "my_features.py").write_bytes(source if isinstance(source, bytes) else source.encode())
        return custom.read_custom_features(
            make_config({"features": {"own": "my_features.py"}}), make_task(), DataContract()
        )

    return call


@pytest.fixture
def run(
    read: Try,
    make_log: Callable[..., Tables],
    make_task: Callable[..., Task],
    engine: DuckDBEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable:
    """Builds a source's features of a small log: `a` buys every five days, `b` once; beside them our chief measures."""
    families = cohort_features.feature_families

    def few(task: Task, contract: DataContract) -> list[Family]:
        return [replace(f, features=()) for f in families(task, contract) if f.name in ("rhythm", "sums")]

    monkeypatch.setattr(cohort_features, "feature_families", few)

    def call(source: str) -> Snapshots:
        days = [("a", n) for n in range(0, 60, 5)] + [("b", 7)]
        rows = [
            {"customer": c, "time": datetime(2023, 7, 1, 12) + timedelta(n), "amount": 10.0 + n, "kind_x": f"k{n % 3}"}
            for c, n in days
        ]
        return snapshots_from_tables(
            make_log(rows), make_task(), [date(2023, 8, 20)], engine, own=read(source), with_labels=False
        )

    return call


def test_the_guides_example_gives_what_it_says(tmp_path: Path) -> None:
    config = _guide_shop(tmp_path, EVENING)
    rows = build_snapshots(config, [CUTOFF]).rows.to_pylist()
    log = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert sum(row["big_order_days"] is not None for row in rows) > 20 and len(rows) > 100
    for row in rows:
        lines = [x for x in log if x["customer"] == row["customer_id"] and x["time"] < datetime(2023, 9, 1)]
        bought = [x for x in lines if x["amount"] > 0]  # in this log an order is a line
        for days in (30, 90):
            inside = [x for x in bought if x["time"] >= datetime(2023, 9, 1) - timedelta(days)]
            late = [x for x in inside if x["time"].hour >= 20]
            expected = pytest.approx(len(late) / len(inside)) if inside else None
            assert row[f"late_evening_share_{days}d"] == expected
        big = [(CUTOFF - x["time"].date()).days for x in bought if x["amount"] > 50]
        assert row["big_order_days"] == (min(big) if big else None)


def test_the_guides_features_are_declared_proved_and_read_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _guide_shop(tmp_path, EVENING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leakage, "prove_no_leakage", partial(leakage.prove_no_leakage, count=1))
    invocation = CliRunner().invoke(regulars.cli, ["check", "--leaks"])
    assert invocation.exit_code == 0, invocation.output
    assert invocation.output.count("every bit the same") == 2
    built = CliRunner().invoke(regulars.cli, ["build", "--cutoff", str(CUTOFF), "--out", "features.parquet"])
    assert built.exit_code == 0, built.output
    assert [name for name in pq.read_schema("features.parquet").names if ":" not in name][-7:-4] == [
        "late_evening_share_30d",
        "late_evening_share_90d",
        "big_order_days",
    ]
    features = {f.name: f for f in custom.read_custom_features(config, config.task.to_task(), DataContract()).features}
    share = features["late_evening_share_30d"]
    assert share.format_reading({"late_evening_share_30d": 0.25}) == "25% of orders in the last 30 days came after 8 pm"
    assert features["big_order_days"].format_reading({"big_order_days": 3.0}) == "last order above 50 was 3 days ago"


def test_the_guides_feature_that_looks_ahead_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _guide_shop(tmp_path, LOYALTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leakage, "prove_no_leakage", partial(leakage.prove_no_leakage, count=1))
    invocation = CliRunner().invoke(regulars.cli, ["check", "--leaks"])
    assert invocation.exit_code == 1
    output = _uncounted(invocation.output.replace(f"{tmp_path.resolve()}/", ""))
    assert [line for line in BLOCKS["text"][0].splitlines() if _uncounted(line) not in output.splitlines()] == []


def test_the_guides_free_form_runs(run: Callable) -> None:
    source = declaring(feature(compute=("lambda m: m.quiet_lines",)), measures="quiet_lines", before=QUIET)
    assert run(source).rows["mine"].to_pylist() == [1.0, 0.0]  # 10.00 on the first day, and nothing else up to it


def test_days_with_a_purchase_can_be_added_up(run: Callable) -> None:
    measures = "add_up(Measure('longest', lambda d: d.gap.max(), merge='max'), of='days')"
    rows = run(declaring(feature(compute=("lambda m: m.longest_30d",)), measures=measures)).rows
    assert rows["mine"].to_pylist() == [5.0, None]


def test_a_level_is_text(run: Callable) -> None:
    before = (
        "def last(p):\n    e = p.visible(p.tables.events)\n    return e.group_by(KEYS).aggregate(top=e.kind_x.max())\n"
    )
    level = feature(compute=("lambda m: m.top",), unit="level", reading="mostly {value}")
    snapshots = run(declaring(level, measures="last", before=before.replace("kind_x", "kind_kind_x")))
    assert snapshots.rows["mine"].to_pylist() == ["k2", "k1"]
    assert snapshots.features[-1].format_reading({"mine": "k2"}) == "mostly k2"


def test_no_file_adds_nothing(make_config: Callable[..., Config], make_task: Callable[..., Task]) -> None:
    assert custom.read_custom_features(make_config(), make_task(), DataContract()) == custom.NO_CUSTOM_FEATURES


def test_the_file_is_left_in_no_table_of_modules_and_may_hold_a_dataclass(read: Try, tmp_path: Path) -> None:
    extra = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass C:\n    x: int\n"
    custom_features = read(extra + declaring(feature()))
    assert [f.name for f in custom_features.features] == ["mine"]
    assert MODULE_NAME not in sys.modules and "my_features" not in sys.modules
    assert [path.name for path in tmp_path.iterdir()] == ["my_features.py"]  # no __pycache__


def test_the_file_is_part_of_the_fingerprint(run: Callable) -> None:
    sources = [declaring(feature()), declaring(feature()) + "# the same, said otherwise\n"]
    first, second, again = (run(source) for source in (*sources, sources[0]))
    assert first.fingerprint == again.fingerprint != second.fingerprint
    assert first.own == again.own != second.own
    assert first.data_fingerprint == second.data_fingerprint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def families(task)\n", "SyntaxError: expected ':' (line 1)"),
        (b"\xff", "SyntaxError: "),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (line 1)"),
        ("x = 1\nx / 0\n", "ZeroDivisionError: division by zero (line 2)"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 (line 2)"),
        ("FEATURES = []\n", "declares nothing: expected a function `families(task)`"),
        ("def families(task):\n    return []\n", "declares nothing: families(task) returns no feature"),
        ("def families(task):\n    pass\n", "families(task) returns NoneType; expected a list of Family"),
        ("def families():\n    return []\n", "TypeError: families() takes 0 positional arguments"),
        ("def families(task):\n    yield 1\n", "families(task) returns int where a Family is expected"),
        (f"{HEAD}def families(task):\n    return [{feature()}]\n", "returns Feature where a Family is expected"),
        (declaring("'mine'"), "family mine: holds str where a Feature is expected"),
        (HEAD + "def families(task):\n    return [Family('a', 3)]\n", "family a: features is int; expected a list"),
        (HEAD + "def families(task):\n    return [Family(3, [])]\n", "a family's name is text, found 3"),
        (declaring(feature(), measures="'x'"), "family mine: measures is str; expected `add_up(...)`"),
        (declaring("Feature('mine')"), "TypeError: "),
        (
            declaring(feature(), feature()),
            "feature mine (family mine): its name is that of another feature of the file",
        ),
        (declaring(feature(name="recency_days")), "the built-in feature 'recency_days' (days since the last order)"),
        (declaring(feature(name="Mine")), "feature 'Mine': a name is a column name: a lower-case letter"),
        (declaring(feature(name="a b")), "feature 'a b': a name is a column name"),
        (declaring(feature(name=("7",))), "feature 7: a name is a column name"),
        (declaring(feature(name="churned")), "feature churned: its name is that of a column which every table has"),
        (declaring(feature(compute="x")), "feature mine: compute is str; expected a function"),
        (declaring(feature(phrase="")), "feature mine: phrase is missing: marketers read it"),
        (declaring(feature(phrase=("None",))), "feature mine: phrase is NoneType; expected text"),
        (declaring(feature(phrase="{x}")), "feature mine: phrase '{x}' has braces"),
        (declaring(feature(reading=" ")), "feature mine: reading is missing"),
        (declaring(feature(reading="{nobody:days}")), "names {nobody}, which is no feature"),
        (declaring(feature(reading="{:days}")), "names {}, which is no feature"),
        (declaring(feature(reading="{value!r:days}")), "names {value}, which is no feature"),
        (declaring(feature(reading="{value")), "reading '{value' cannot be filled"),
        (declaring(feature(reading="{value}")), "does not say how to write {value}: {value:days}"),
        (declaring(feature(unit="euros")), "unit 'euros' is not known; expected one of orders, days"),
        (declaring(feature(window=("30",))), "window is 30; expected one of task.windows"),
        (declaring(feature(actionable="yes")), "actionable is 'yes'; expected True or False"),
    ],
)
def test_a_file_that_declares_something_else_is_told_so(read: Try, source: str | bytes, words: str) -> None:
    with pytest.raises(UsageError) as error:
        read(source)
    assert str(error.value).startswith("my_features.py: ") and words in str(error.value)
    assert "\n" not in str(error.value) and MODULE_NAME not in sys.modules


def test_families_of_one_name_are_refused(read: Try) -> None:
    two = f"[Family('a', [{feature()}]), Family('a', [{feature(name='other')}])]"
    with pytest.raises(UsageError, match="family a is declared twice"):
        read(f"{HEAD}def families(task):\n    return {two}\n")


@pytest.mark.parametrize("name", ["gone.py", "."])
def test_a_file_that_cannot_be_read(
    name: str, make_config: Callable[..., Config], make_task: Callable[..., Task]
) -> None:
    with pytest.raises(UsageError, match=rf"^\[features\] own: '{re.escape(name)}' cannot be read: .*give a Python"):
        custom.read_custom_features(make_config({"features": {"own": name}}), make_task(), DataContract())


FREE = "def free(past):\n    o = past.visible_orders\n    return {}\n"


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        ("lambda m: m.nothing_of_the_kind", "AttributeError: 'Table' object has no attribute 'nothing_of_the_kind'"),
        ("lambda m: 1 / 0", "ZeroDivisionError: division by zero (line 5)"),
        ("lambda m: 'much'", "returns the text 'much'; expected an expression of the measures"),
        ("lambda m: 1.0", "returns float; expected an expression"),
        ("lambda m: m", "returns Table; expected an expression"),
        ("lambda m: m.customer_id", "returns text; a feature is a number, unless its unit is 'level'"),
        ("lambda m: m.recency > 3", "returns true or false; a feature is a number: add .ifelse(1, 0)"),
        ("lambda m: ibis.array([m.recency])", "returns array<"),
        ("lambda m: m.cutoff", "returns date; a feature is a number"),
        ("lambda m: ibis.literal(1)", "does not depend on the customer's own row alone"),
        ("lambda m: m.recency - m.recency.mean()", "does not depend on the customer's own row alone"),
        ("lambda m: m.recency.rank()", "does not depend on the customer's own row alone"),
        ("lambda m: m.recency * ibis.random()", "uses RandomScalar, which differs from run to run"),
        ("lambda m: m.recency + ibis.now().year()", "uses TimestampNow, which differs from run to run"),
        ("lambda m: m.customer_id.cast('int64')", "while reading the data"),
        (
            "lambda m: m.recency / (m.orders_ever - m.orders_ever)",
            "infinite or not a number for 2 customers ('a', 'b')",
        ),
    ],
)
def test_a_feature_that_cannot_be_computed_is_named(run: Callable, compute: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        run(declaring(feature(name="late_share", compute=(compute,))))
    message = str(error.value).replace("while building own_feature", "while reading the data")
    assert message.startswith("my_features.py: feature late_share: ") and words in message


def test_a_null_must_have_words(run: Callable) -> None:
    null = ("lambda m: m.recency.nullif(5)",)
    assert run(declaring(feature(compute=null))).rows["mine"].null_count == 1
    with pytest.raises(UsageError) as error:
        run(declaring(feature(compute=null, unread="")))
    assert str(error.value).startswith("my_features.py: feature mine: null for 1 customers ('a'); say in `unread` what")


def test_a_number_is_no_level(run: Callable) -> None:
    level = feature(compute=("lambda m: m.recency",), unit="level", reading="{value}")
    with pytest.raises(UsageError, match="my_features.py: feature mine: returns int64 but its unit is 'level'"):
        run(declaring(level))


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ("o.nothing", "AttributeError: 'Table' object has no attribute 'nothing' (line 5)"),
        ("3", "measures returns int; expected a table"),
        (
            "o.group_by('customer_id').aggregate(n=o.count())",
            "measures returns a table without cutoff; it has customer_id, n",
        ),
        (
            "o.select('customer_id', 'cutoff', n=o.amount)",
            "more than one row for 1 pairs of customer and cutoff (customers 'a')",
        ),
        ("o.group_by(KEYS).aggregate()", "without any measure beside"),
        ("o.group_by(KEYS).aggregate(N=o.count())", "measure 'N': a name is a column name"),
        (
            "o.group_by(KEYS).aggregate(n=o.count()).mutate(cutoff=ibis.date('2023-01-01'))",
            "of cutoff 2023-01-01, which",
        ),
        (
            "o.group_by('customer_id', cutoff=o.cutoff.cast('timestamp')).aggregate(n=o.count())",
            "as string and timestamp",
        ),
        ("o.group_by(KEYS).aggregate(n=o.amount.cast('float64').sum())", "adds up floats, whose last bits depend"),
        ("o.group_by(KEYS).aggregate(n=o.amount.std())", "uses StandardDev, whose last bits depend"),
        ("o.group_by(KEYS).aggregate(n=o.count()).mutate(n=ibis.random())", "uses RandomScalar"),
        (
            "o.group_by(KEYS).aggregate(n=o.customer_id.cast('int64').max())",
            "while building own_rows_mine: Conversion Error",
        ),
        ("o.group_by(KEYS).aggregate(recency=o.count())", "its measure 'recency' has a name that family rhythm uses"),
        (
            "add_up(Measure('late', lambda o: o.nothing))(past)",
            "AttributeError: 'Table' object has no attribute 'nothing'",
        ),
        ("add_up(Measure('late', lambda o: o.amount))(past)", "measure late: aggregate returns no single value"),
        (
            "add_up(Measure('late', lambda o: (o.amount / TICKS).sum()))(past)",
            "measure late: adds up float64, but only",
        ),
        ("add_up(Measure('Late', lambda o: o.count()))(past)", "measure 'Late': a name is a column name"),
        (
            "add_up(Measure('orders', lambda o: o.count()))(past)",
            "its measure 'orders_30d' has a name that family sums",
        ),
        ("add_up(Measure('late', lambda o: o.count(), merge='mean'))(past)", "measure late: merge 'mean' is not known"),
        ("add_up(3)(past)", "add_up is given int where a Measure is expected"),
        ("add_up()(past)", "add_up is given no Measure"),
        ("add_up(Measure('late', lambda o: o.count()), of='lines')(past)", "of='lines' is not known"),
    ],
)
def test_measures_that_cannot_be_used_are_told_so(run: Callable, measures: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        run(declaring(feature(), measures="free", before=FREE.format(measures)))
    assert str(error.value).startswith("my_features.py: family mine: ") and words in str(error.value)


def test_two_families_of_the_file_may_not_share_a_measure(run: Callable) -> None:
    families = f"[Family('a', [{feature()}], free), Family('b', [], free)]"
    source = HEAD + FREE.format("o.group_by(KEYS).aggregate(n=o.count())")
    with pytest.raises(UsageError, match="family b: its measure 'n' has a name that family a uses"):
        run(f"{source}def families(task):\n    return {families}\n")


def test_no_feature_sees_a_label_or_the_raw_source(tmp_path: Path) -> None:
    for compute in ("m.net", "m.purchases", "m.churned"):
        config = _shop(tmp_path, declaring(feature(compute=(f"lambda m: {compute}",))))
        with pytest.raises(UsageError, match="has no attribute"):
            build_snapshots(config, [CUTOFF])
    raw = "past.tables.source.group_by('customer').aggregate(n=past.tables.source.count())"
    config = _shop(tmp_path, declaring(feature(), measures="free", before=FREE.format(raw)))
    with pytest.raises(UsageError, match="family mine: .*customer"):
        build_snapshots(config, [CUTOFF])


def test_a_build_that_fails_is_one_message_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shop(tmp_path, declaring(feature(compute=("lambda m: m.gone",))))
    monkeypatch.chdir(tmp_path)
    invocation = CliRunner().invoke(regulars.cli, ["build", "--cutoff", str(CUTOFF), "--out", "features.parquet"])
    assert invocation.exit_code == 2 and "Traceback" not in invocation.output
    assert invocation.output.startswith("regulars: my_features.py: feature mine: AttributeError: ")
    assert len(invocation.output.splitlines()) == 1 and not Path("features.parquet").exists()


def test_a_changed_file_takes_nothing_from_the_cache(tmp_path: Path) -> None:
    config = _shop(tmp_path, EVENING)
    first, again = (build_snapshots(config, [CUTOFF]) for _ in range(2))
    (tmp_path / "my_features.py").write_text(EVENING.replace("o.hour >= 20", "o.hour >= 2"), encoding="utf-8")
    changed = build_snapshots(config, [CUTOFF])
    assert [first.reused, again.reused, changed.reused] == [0, 1, 0]
    assert again.rows.equals(first.rows) and not changed.rows.equals(first.rows)


def test_the_past_without_own_features_is_the_same_to_the_bit(tmp_path: Path) -> None:
    config = _guide_shop(tmp_path, EVENING)
    bare = config.model_copy(update={"features": config.features.model_copy(update={"own": ""})})
    with_own, without = build_snapshots(config, [CUTOFF]).rows, build_snapshots(bare, [CUTOFF]).rows
    assert with_own.select(without.column_names).equals(without)


def _shop(folder: Path, source: str) -> Config:
    config = make_shop(folder, customers=30)
    with (folder / "regulars.toml").open("a", encoding="utf-8") as stream:
        stream.write(BLOCKS["toml"][0])
    (folder / "my_features.py").write_text(source, encoding="utf-8")
    return load_config(config.folder / "regulars.toml")


def _uncounted(text: str) -> str:
    """Without the number of features, which grows with the catalog."""
    return re.sub(r"x \d+ features", "x features", text)


def _guide_shop(folder: Path, source: str) -> Config:
    _shop(folder, source)
    config = make_shop(folder)
    with (folder / "regulars.toml").open("a", encoding="utf-8") as stream:
        stream.write(BLOCKS["toml"][0])
    return load_config(config.folder / "regulars.toml")
