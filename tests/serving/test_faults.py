"""A nightly scoring run that is killed, meets a full disk or changed inputs: nothing is lost or half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, parse_config
from features.errors import DataError, RefusedError, UsageError
from features.storage.file_locks import exclusive_lock
from serving.scoring import passes, score_tables
from serving.scoring import run as scoring_run
from serving.scoring.predictions import Champions
from serving.scoring.run import score_customers
from training.artifact.bundle import ModelBundle
from training.train import TrainingRun

ROOT = Path(__file__).resolve().parents[2]
KILLS, EVERY = 2, 3  # fifty and more by hand: python -m tests.killing score --config CONFIG --cutoff D --kills 50


@pytest.fixture(scope="module")
def business(shop: Config, trained: TrainingRun, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The trained shop in a folder of its own, scored in chunks of 60."""
    folder = tmp_path_factory.mktemp("faults")
    for name in ("log.parquet", "regulars.toml"):
        shutil.copy(shop.folder / name, folder / name)
    values = shop.model_dump(mode="json", exclude={"folder"})
    values["tracking"]["uri"] = f"sqlite:///{shop.folder / 'mlflow.db'}"
    values["serving"]["chunk"] = 60
    return parse_config(values, folder / "regulars.toml")


@pytest.fixture(scope="module")
def models(business: Config) -> Champions:
    """The champions, loaded once."""
    return scoring_run.load_champions(business)


@pytest.fixture
def config(business: Config, models: Champions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The business with an output of its own, which shares the built features."""
    monkeypatch.setattr(scoring_run, "load_champions", lambda config: models)
    return _changed(business, serving={"output": str(tmp_path / "output")}, features={"cache": "built"})


def _changed(config: Config, **sections: dict[str, Any]) -> Config:
    values = config.model_dump(mode="json", exclude={"folder"})
    for section, keys in sections.items():
        values[section] = {**values[section], **keys}
    return parse_config(values, config.folder / "regulars.toml")


@contextmanager
def _dying(monkeypatch: pytest.MonkeyPatch, chunk: int, problem: BaseException) -> Iterator[None]:
    """Let the run fail in this chunk."""
    explain = passes._explain_chunk

    def dies(*arguments: Any) -> dict[str, Any]:
        if arguments[4] == chunk:
            raise problem
        return explain(*arguments)

    with monkeypatch.context() as patch, pytest.raises(type(problem)):
        patch.setattr(passes, "_explain_chunk", dies)
        yield


@contextmanager
def _counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the numbers of the chunks that are explained."""
    explain, done = passes._explain_chunk, []

    def counts(*arguments: Any) -> dict[str, Any]:
        done.append(arguments[4])
        return explain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(passes, "_explain_chunk", counts)
        yield done


@pytest.fixture
def died(config: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config whose run was interrupted in its third chunk."""
    with _dying(monkeypatch, 2, KeyboardInterrupt()):
        score_customers(config, trained.newest)
    return config


@pytest.mark.long
def test_killed_at_random_moments_it_comes_to_the_same_bytes(business: Config, trained: TrainingRun) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    path = business.folder / "killed.toml"
    text = (business.folder / "regulars.toml").read_text()
    path.write_text(f'{text}\n[tracking]\nuri = "{business.tracking.uri}"\n')
    options = ["--config", str(path), "--cutoff", str(trained.newest), "--seed", "11"]
    options += ["--kills", str(KILLS), "--every", str(EVERY)]
    command = [sys.executable, "-m", "tests.killing", "score", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    counts = json.loads(done.stdout)
    assert (
        counts["publishing"] > 8
        and counts["killed"] == KILLS + -(-counts["publishing"] // EVERY)
        and counts["ended"] > 0
    )


def test_what_is_done_is_not_done_again(
    config: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _dying(monkeypatch, 2, KeyboardInterrupt()):
        score_customers(config, trained.newest)
    with _counting(monkeypatch) as done:
        resumed = score_customers(config, trained.newest, resume=True)
    assert done[0] == 2 and resumed.notes == ("resumed a run that had ended early: 2 of its parts were written",)
    with _counting(monkeypatch) as done:
        again = score_customers(config, trained.newest)
    assert done == [] and not again.new and "skipped" in again.notes[0]
    assert again.manifest == resumed.manifest
    with _counting(monkeypatch) as done:
        assert score_customers(config, trained.newest, with_contributions=True).new
        assert not score_customers(config, trained.newest, with_contributions=True).new


def test_without_resume_it_begins_anew_and_says_so(died: Config, trained: TrainingRun) -> None:
    assert score_customers(died, trained.newest).notes == (
        "a run that had ended early was started over; --resume would have resumed it",
    )


def test_two_runs_at_once_are_refused_and_a_dead_ones_lock_is_taken_over(config: Config, trained: TrainingRun) -> None:
    lock = config.outputs.scoring() / f"cutoff={trained.newest}.lock"
    ready, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with exclusive_lock(lock, "scoring"):
            os.write(writes, b"x")
            signal.pause()
    os.read(ready, 1)
    try:
        with pytest.raises(RefusedError, match=rf"scoring cutoff .* is being done by another run \(process {pid}\)"):
            score_customers(config, trained.newest)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert lock.exists() and score_customers(config, trained.newest).new and not lock.parent.exists()


def test_a_full_disk_is_one_message_and_what_was_done_is_kept(
    config: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, full = passes.ResumableRun.record_step, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fails(run: passes.ResumableRun, step: str, *arguments: Any, **facts: Any) -> dict[str, Any]:
        if step == "chunk 2":
            raise full
        return finish(run, step, *arguments, **facts)

    with (
        monkeypatch.context() as patch,
        pytest.raises(UsageError, match="No space left on device; make room; .*resume"),
    ):
        patch.setattr(passes.ResumableRun, "record_step", fails)
        score_customers(config, trained.newest)
    with _counting(monkeypatch) as done:
        assert score_customers(config, trained.newest, resume=True).new
    assert done[0] == 2


def test_a_write_that_the_system_cuts_off_is_one_message(config: Config, trained: TrainingRun) -> None:
    complete = score_customers(config, trained.newest)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises((UsageError, DataError)) as refused:
            score_customers(_changed(config, serving={"reasons": 1}), trained.newest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert "larger than this system allows" in str(refused.value)
    assert score_tables.read_scores(config, trained.newest).table().equals(complete.table())


def test_a_damaged_part_of_an_unfinished_run_is_made_again(
    died: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = died.outputs.scoring() / f"cutoff={trained.newest}" / "scores" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    with _counting(monkeypatch) as done:
        scores = score_customers(died, trained.newest, resume=True)
    assert done[:2] == [0, 2]
    assert "scores/part-00000.parquet was damaged and was written again" in scores.notes
    assert scores.table().num_rows == scores.manifest.customers


def test_a_damaged_score_is_refused_by_readers_and_made_again(config: Config, trained: TrainingRun) -> None:
    scores = score_customers(config, trained.newest)
    part = scores.folder / "part-00001.parquet"
    original = part.read_bytes()
    part.write_bytes(original[:100])
    with pytest.raises(DataError, match=r"part-00001.parquet is not the file that was written.*run `regulars score"):
        score_tables.read_scores(config, trained.newest).table()
    assert score_customers(config, trained.newest).new and part.read_bytes() == original


def test_a_truncated_model_file_is_refused(models: Champions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.churn.bundle.save(tmp_path / "bundle")
    trees = folder / "gate-0.txt"
    trees.write_text(trees.read_text()[:-200])
    with pytest.raises(ValueError, match="gate-0.txt is not the file that was written: its checksum differs"):
        ModelBundle.load(folder)


def test_a_champion_replaced_in_mid_run_scores_no_row_of_it(
    config: Config, trained: TrainingRun, models: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = replace(models.churn.version, version="2")
    other = replace(models, churn=replace(models.churn, version=version))
    explain = passes._explain_chunk

    def replaced(*arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(scoring_run, "load_champions", lambda config: other)
        if arguments[4] == 2:
            raise KeyboardInterrupt
        return explain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(passes, "_explain_chunk", replaced)
        with pytest.raises(KeyboardInterrupt):
            score_customers(config, trained.newest)
    monkeypatch.setattr(scoring_run, "load_champions", lambda config: other)
    scores = score_customers(config, trained.newest, resume=True)
    assert scores.notes == ("a run that had ended early was started over: since then the champion changed",)
    assert set(scores.table()["churn_model"].to_pylist()) == {"shop-churn/2"}


def _rewritten(config: Config, change: Callable[[pa.Table], pa.Table], **sections: dict[str, Any]) -> Config:
    """The config with a changed copy of the log."""
    name = f"log-{abs(hash(change))}.parquet"
    pq.write_table(change(pq.read_table(config.folder / "log.parquet")), config.folder / name)
    return _changed(config, events={"source": name}, **sections)


def test_a_log_that_changed_begins_anew_and_new_levels_are_scored(
    died: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(log: pa.Table) -> pa.Table:
        place = log.schema.get_field_index("channel")
        levels = pc.if_else(pc.equal(log["channel"], "app"), "never seen before", log["channel"])
        return log.set_column(place, "channel", levels)

    scores = score_customers(_rewritten(died, renamed), trained.newest, resume=True)
    changed = "the log and the features changed"
    assert scores.notes == (f"a run that had ended early was started over: since then {changed}",)
    assert scores.table()["churn_probability"].null_count == 0


def test_a_column_or_a_feature_gone_missing_is_refused_and_nothing_is_lost(
    config: Config, trained: TrainingRun
) -> None:
    complete = score_customers(config, trained.newest)
    with pytest.raises(UsageError, match="no column 'channel'"):
        score_customers(_rewritten(config, lambda log: log.drop_columns("channel")), trained.newest)
    with pytest.raises(UsageError, match="are missing: .*; the config changed since training, run `regulars train`"):
        score_customers(_changed(config, events={"kinds": []}), trained.newest)
    assert score_tables.read_scores(config, trained.newest).table().equals(complete.table())
    assert not config.outputs.scoring().exists()


def test_an_unwritable_output_is_refused_before_anything_is_read(
    config: Config, trained: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_run, "prepare_features", lambda *_: pytest.fail("the log was read"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written: .*; give another path or free some space"):
        score_customers(_changed(config, serving={"output": str(tmp_path / "file" / "in")}), trained.newest)
