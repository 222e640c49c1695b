"""A build with a cache gives the same bits as a fresh build, and builds exactly what changed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.data_contract import CustomerAttribute
from features.config.load import Config, parse_config
from features.engines.open import open_engine
from features.errors import RegularsWarning
from features.intake.read_log import read_tables
from features.intake.tables import SideTable
from features.snapshots import build, cache, leakage
from features.snapshots.build import build_snapshots, write_snapshots
from features.task import Cohort, Task, Window
from tests.features.snapshots.test_build import line

CUTOFFS = [date(2024, month, 1) for month in (2, 3, 4, 5)]
Rows = list[dict[str, Any]]
Build = Callable[..., build.Snapshots]


def rows(first: str, last: str, seed: int = 1) -> Rows:
    """Lines of a few customers on days from `first` to `last`; every fifth became known a month late."""
    import random

    rng = random.Random(seed)  # noqa: S311
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days
    lines = []
    for number in range(120):
        time = datetime.fromisoformat(first).replace(tzinfo=UTC) + timedelta(
            rng.randint(0, days), hours=rng.randint(0, 23)
        )
        late = time + timedelta(30) if number % 5 == 0 else None
        one = line(rng.choice, [f"c{number % 17}"], True)
        lines.append(one | {"time": time, "known_at": late, "order": f"{first}-{number // 2}"})
    return lines


@pytest.fixture
def fresh_builds(monkeypatch: pytest.MonkeyPatch) -> list[list[date]]:
    """Records the cutoffs of every build that the cache did not serve."""
    builds: list[list[date]] = []
    honest = build.build_cohort_features

    def spy(tables: Any, task: Any, cutoffs: Any, *arguments: Any) -> Any:
        builds.append(list(cutoffs))
        return honest(tables, task, cutoffs, *arguments)

    monkeypatch.setattr(build, "build_cohort_features", spy)
    return builds


def config_in(folder: Path) -> Config:
    """A config that reads `log.parquet` in a folder."""
    roles = {role: role for role in ("customer", "time", "amount", "order", "quantity", "known_at")}
    events = {"source": "log.parquet", "kinds": ["kind_what"], **roles}
    task = {"horizon": "28d", "active_within": "120d", "windows": ["30d", "80d"]}
    values = {"config_version": 1, "name": "test", "events": events, "task": task}
    return parse_config(values, folder / "regulars.toml")


def write_log(config: Config, log: Rows) -> None:
    """Writes `log.parquet`."""
    columns = ("customer", "time", "amount", "order", "quantity", "known_at", "kind_what")
    pq.write_table(pa.Table.from_pylist([{c: row[c] for c in columns} for row in log]), config.folder / "log.parquet")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def grow(config: Config) -> Callable[[Rows], None]:
    return partial(write_log, config)


def without_cache(config: Config) -> Config:
    return config.model_copy(update={"features": config.features.model_copy(update={"cache": "off"})})


def count_reused(config: Config, cutoffs: list[date], **options: Any) -> int:
    """Builds with the cache and from nothing, and compares all; returns how many cutoffs were reused."""
    mine, fresh = (
        build_snapshots(config, cutoffs, **options),
        build_snapshots(without_cache(config), cutoffs, **options),
    )
    assert mine.rows.schema == fresh.rows.schema
    assert mine.rows.equals(fresh.rows) and mine.rows.num_rows > 0
    assert leakage.differing_columns(fresh.rows, mine.rows) == {}  # to the last bit
    assert replace(mine, rows=fresh.rows, features=fresh.features, reused=0) == fresh
    assert fresh.reused == 0
    return mine.reused


@pytest.mark.long
def test_a_log_that_grows_is_built_only_where_it_changed(
    config: Config, grow: Callable[[Rows], None], fresh_builds: list[list[date]]
) -> None:
    log = rows("2024-01-01", "2024-03-28")
    grow(log)
    assert count_reused(config, CUTOFFS[:3]) == 0
    assert fresh_builds == [CUTOFFS[:3]] * 2

    fresh_builds.clear()  # grown from the last cutoff on: all are reused, and the labels that matured are new
    log += rows("2024-04-01", "2024-04-30", seed=2)
    grow(log[::-1])
    assert count_reused(config, CUTOFFS) == 3
    assert fresh_builds == [CUTOFFS[3:], CUTOFFS]

    fresh_builds.clear()  # a row of January that became known in mid-March
    late = log[0] | {
        "time": datetime(2024, 1, 9, 9, tzinfo=UTC),
        "known_at": datetime(2024, 3, 15, tzinfo=UTC),
        "order": "late",
    }
    log += [late, *rows("2024-05-01", "2024-06-30", seed=3)]
    grow(log)
    assert count_reused(config, CUTOFFS) == 2
    assert fresh_builds == [CUTOFFS[2:], CUTOFFS]

    fresh_builds.clear()  # an old row is corrected: everything after it is built again
    february = [datetime(2024, 2, day, tzinfo=UTC) for day in (3, 28)]
    old = next(i for i, row in enumerate(log) if february[0] < row["time"] < february[1] and not row["known_at"])
    log[old] = log[old] | {"amount": 77.25}
    grow(log)
    assert count_reused(config, CUTOFFS) == 1
    assert fresh_builds == [CUTOFFS[1:], CUTOFFS]

    fresh_builds.clear()
    assert count_reused(config, CUTOFFS) == 4
    assert count_reused(config, CUTOFFS[1:2], with_labels=False) == 1
    assert fresh_builds == [CUTOFFS, CUTOFFS[1:2]]  # only the fresh builds
    assert len(parts(config)) == 4  # what was superseded is gone


def parts(config: Config) -> list[Path]:
    return sorted((config.output / "snapshots").iterdir())


@pytest.fixture(scope="module")
def built_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log and its four cutoffs, for `built` to copy."""
    config = config_in(tmp_path_factory.mktemp("built"))
    write_log(config, rows("2024-01-01", "2024-06-30"))
    build_snapshots(config, CUTOFFS)
    return config.folder


@pytest.fixture
def built(config: Config, built_folder: Path) -> Config:
    """A config whose four cutoffs were built."""
    shutil.copytree(built_folder, config.folder, dirs_exist_ok=True)
    return config


def test_parts_are_private(built: Config) -> None:
    assert stat.S_IMODE((built.output / "snapshots").stat().st_mode) == 0o700
    assert [stat.S_IMODE(part.stat().st_mode) for part in parts(built)] == [0o600] * 4


@pytest.mark.parametrize("harms", [("truncated", "one bit", "emptied"), ("another's name", "gone")])
def test_damaged_parts_are_built_again(built: Config, harms: tuple[str, ...]) -> None:
    places = parts(built)
    contents = [part.read_bytes() for part in places]
    for part, content, harm in zip(places, contents, harms, strict=False):
        middle = len(content) // 2
        spoilt = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        changed = {"truncated": content[:-100], "one bit": spoilt, "emptied": b"", "another's name": contents[-1]}
        part.unlink() if harm == "gone" else part.write_bytes(changed[harm])
    assert build_snapshots(built, CUTOFFS).reused == 4 - len(harms)
    assert count_reused(built, CUTOFFS) == 4
    assert [part.read_bytes() for part in parts(built)] == contents


def test_a_part_that_disappears_while_it_is_read_is_built_again(built: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = cache.SnapshotCache.find_part

    def vanishing(self: cache.SnapshotCache, cutoff: date, key: str) -> Path | None:
        part = honest(self, cutoff, key)
        if part and cutoff == CUTOFFS[0]:
            part.unlink()
        return part

    monkeypatch.setattr(cache.SnapshotCache, "find_part", vanishing)
    assert count_reused(built, CUTOFFS) == 3


def test_concurrent_builds_leave_complete_parts(built: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one build writes its parts another does the same, from nothing to the end."""
    for part in parts(built):
        part.unlink()
    honest, others = cache.SnapshotCache.store_part, []

    def meanwhile(self: cache.SnapshotCache, cutoff: date, key: str, write: Callable[[Path], None]) -> bool:
        if not others:
            others.append(True)
            others.append(build_snapshots(built, CUTOFFS).reused)
        return honest(self, cutoff, key, write)

    monkeypatch.setattr(cache.SnapshotCache, "store_part", meanwhile)
    build_snapshots(built, CUTOFFS)
    assert others == [True, 0]
    assert count_reused(built, CUTOFFS) == 4


def test_a_cache_that_cannot_be_written_is_only_a_warning(built: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = built.model_copy(update={"features": built.features.model_copy(update={"cache": "file/inside"})})
    with pytest.warns(
        RegularsWarning, match="were not cached for the next build: .*; set \\[features\\] cache to another"
    ) as warned:
        rows = build_snapshots(blocked, CUTOFFS).rows
    assert sum("not cached" in str(warning.message) for warning in warned) == 1
    assert rows.equals(build_snapshots(without_cache(built), CUTOFFS).rows)


def test_the_cache_can_be_elsewhere_or_off(config: Config, grow: Callable[[Rows], None], tmp_path: Path) -> None:
    grow(rows("2024-01-01", "2024-06-30"))
    build_snapshots(without_cache(config), CUTOFFS)
    assert not config.output.exists()
    elsewhere = config.model_copy(update={"features": config.features.model_copy(update={"cache": "kept"})})
    build_snapshots(elsewhere, CUTOFFS)
    assert not config.output.exists() and len(list((tmp_path / "kept").iterdir())) == 4


def test_the_leakage_proof_reads_no_part(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    build_snapshots(shop, [date(2023, 9, 1)])

    def refuse(*_: object) -> None:
        raise AssertionError("the cache was used")

    monkeypatch.setattr(cache.SnapshotCache, "find_part", refuse)
    monkeypatch.setattr(cache.SnapshotCache, "store_part", refuse)
    assert len(leakage.prove_no_leakage(shop, 1)) == 2


def test_the_least_recently_used_parts_are_removed(built: Config) -> None:
    snapshot_cache, stranger = cache.open_cache(built), built.output / "snapshots" / "2024-01-01_notes.parquet"
    stranger.write_text("not a part")
    for age, part in enumerate(parts(built)[1:]):
        os.utime(part, (1e9 - age, 1e9 - age))
    assert snapshot_cache is not None
    snapshot_cache.remove_oldest(most=2)
    assert [part.name[:10] for part in parts(built)] == ["2024-01-01", "2024-02-01", "2024-03-01"]
    build_snapshots(built, CUTOFFS[1:2])  # used again: now the newest
    snapshot_cache.remove_oldest(most=1)
    assert [part.name[:10] for part in parts(built)] == ["2024-01-01", "2024-03-01"]


def changed(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One change to the arguments that a key depends on."""
    task = Task(Window(29), Cohort(Window(120)), Window(30), (Window(30), Window(90)))
    return {
        "task": lambda arguments: arguments | {"task": task},
        "clock": lambda arguments: (
            arguments
            | {"tables": replace(arguments["tables"], contract=replace(arguments["tables"].contract, has_clock=False))}
        ),
        "features": lambda arguments: arguments | {"features": arguments["features"][1:]},
        "own features": lambda arguments: arguments | {"own_digest": "other"},
        "new table": lambda arguments: (
            arguments
            | {
                "tables": replace(
                    arguments["tables"], sides={"contacts": SideTable(arguments["tables"].events.limit(1), 1, ())}
                )
            }
        ),
        "type": lambda arguments: (
            arguments
            | {
                "tables": replace(
                    arguments["tables"],
                    events=arguments["tables"].events.mutate(
                        quantity=arguments["tables"].events.quantity.cast("float64")
                    ),
                )
            }
        ),
    }[name]


@pytest.mark.parametrize("name", ["task", "clock", "features", "own features", "new table", "type"])
def test_every_part_of_the_key_changes_it(built: Config, name: str) -> None:
    with open_engine(built.engine, built.folder) as engine:
        tables, task = read_tables(built, engine), built.task.to_task()
        arguments = {
            "tables": tables,
            "task": task,
            "features": build.catalog_features(task, tables.contract),
            "cutoffs": CUTOFFS,
            "engine": engine,
            "own_digest": "",
        }
        before, after = cache.cache_keys(**arguments), cache.cache_keys(**changed(name)(arguments))
    assert len(set(before.values())) == 4
    assert not set(before.values()) & set(after.values())


def test_changed_code_builds_everything_again(built: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "builder_digest", lambda: "other")
    assert count_reused(built, CUTOFFS) == 0


def test_the_file_of_own_features_is_part_of_the_key(built: Config) -> None:
    with open_engine(built.engine, built.folder) as engine:
        tables, task = read_tables(built, engine), built.task.to_task()
        keys = [tuple(cache.cache_keys(tables, task, (), CUTOFFS, engine, own).values()) for own in ("", "one", "two")]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("constant", "same"), [(False, True), (True, False)])
def test_a_side_table_counts_from_the_day_it_was_seen(built: Config, constant: bool, same: bool) -> None:
    """Unless its rows say something of every cutoff, as attributes do that never change."""

    columns = {"customer_id": ["c1"], "day": [date(2024, 4, 9)], "seen": [date(2024, 4, 9)]}
    with open_engine(built.engine, built.folder) as engine:
        tables, task = read_tables(built, engine), built.task.to_task()
        contract = replace(tables.contract, attributes=(CustomerAttribute("x", "level", constant),))
        one, two = (
            cache.cache_keys(
                replace(tables, contract=contract, sides={"customers": SideTable(rows, 1, ())}),
                task,
                (),
                CUTOFFS,
                engine,
            )
            for rows in (engine.store_arrow(level, pa.table(columns | {"level": [level]})) for level in ("a", "b"))
        )
    assert [one[c] == two[c] for c in CUTOFFS] == [same, same, same, False]


def test_the_written_file_has_the_same_bytes_with_and_without_cache(built: Config, tmp_path: Path) -> None:
    (*size, reused), (*_, none) = (
        write_snapshots(config, CUTOFFS, tmp_path / name)
        for config, name in ((built, "a"), (without_cache(built), "b"))
    )
    assert (reused, none) == (4, 0) and size == [
        pq.read_metadata(tmp_path / "a").num_rows,
        pq.read_metadata(tmp_path / "a").num_columns,
    ]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
