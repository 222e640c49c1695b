"""MLflow's local store: made at once by one process, never half, and followed when the project was moved."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from features.config.load import Config, parse_config
from features.errors import UsageError
from training.registry import local_store
from training.registry.mlflow_tracking import connect_to_mlflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A project with a store and one artifact."""
    folder = tmp_path_factory.mktemp("stores") / "my project 100%"
    folder.mkdir()
    config = config_in(folder)
    connect_to_mlflow(config)
    with mlflow.start_run():
        mlflow.log_text("hello", "note.txt")
    return config


def config_in(folder: Path) -> Config:
    events = {"source": "log.parquet", "customer": "c", "time": "t"}
    return parse_config({"config_version": 1, "name": "shop", "events": events}, folder / "regulars.toml")


def locations(config: Config) -> set[str]:
    """The artifact locations of the business in its store."""
    with sqlite3.connect(config.folder / "mlflow.db") as database:
        runs = database.execute("SELECT artifact_uri FROM runs").fetchall()
        mine = database.execute("SELECT artifact_location FROM experiments WHERE name = 'shop'").fetchall()
    return {text.split("/mlartifacts")[0] for (text,) in [*runs, *mine]}


def note(config: Config) -> str:
    """The artifact, as MLflow finds it."""
    (run,) = connect_to_mlflow(config).search_runs([mlflow.get_experiment_by_name("shop").experiment_id])
    return str(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/note.txt"))


def test_a_death_while_it_is_made_leaves_nothing_broken(
    tmp_path: Path, project: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path)
    pid = os.fork()
    if pid == 0:
        real = local_store.SqlAlchemyStore

        def dies(*arguments: object) -> object:
            real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        local_store.SqlAlchemyStore = dies  # type: ignore[misc, assignment]
        connect_to_mlflow(config)
        os._exit(0)
    os.waitpid(pid, 0)
    assert not (tmp_path / "mlflow.db").exists() and list(tmp_path.glob(".mlflow.db.regulars-*"))
    made = project.folder / "mlflow.db"  # making one takes seconds
    monkeypatch.setattr(local_store, "_create", lambda config, file: shutil.copy(made, file))
    connect_to_mlflow(config)
    assert (tmp_path / "mlflow.db").stat().st_size


@pytest.mark.parametrize("content", [b"", "half"])
def test_what_an_earlier_death_left_is_made_anew(
    tmp_path: Path, project: Config, content: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"")
    if content == "half":
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
            database.execute("INSERT INTO experiments VALUES (0, 'Default')")
    made: list[Path] = []
    monkeypatch.setattr(local_store, "_create", lambda config, place: made.append(place))
    monkeypatch.setattr(local_store, "_new_location", lambda *_: None)
    local_store.prepare_local_store(config_in(tmp_path), f"sqlite:///{file}", "shop")
    assert made == [file]
    made.clear()
    local_store.prepare_local_store(project, f"sqlite:///{project.folder}/mlflow.db", "shop")
    assert made == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.write_bytes(b"garbage" * 99), "it is no SQLite database"),
        (lambda file: sqlite3.connect(file).execute("CREATE TABLE a (b)").connection.close(), "not of MLflow"),
        (lambda file: file.mkdir(), "cannot be used"),
    ],
)
def test_another_file_is_one_message(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "mlflow.db")
    with pytest.raises(UsageError, match=words):
        connect_to_mlflow(config_in(tmp_path))


def test_a_project_that_was_moved_finds_its_models(
    project: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = config_in(Path(shutil.copytree(project.folder, tmp_path / "elsewhere"))), tmp_path / "again_100%_é"
    assert note(moved[0]) == "hello" and "the project folder was moved" in caplog.text
    shutil.move(moved[0].folder, moved[1])
    again = config_in(moved[1])
    assert note(again) == "hello" and locations(again) == {moved[1].as_uri()}
    assert locations(project) == {project.folder.as_uri()}, "the original is left alone"


def test_models_left_behind_are_named(project: Config, tmp_path: Path) -> None:
    shutil.copytree(project.folder, tmp_path / "old")
    config_in(tmp_path / "old")
    note(config_in(tmp_path / "old"))
    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "old" / "mlflow.db", tmp_path / "new")
    assert note(config_in(tmp_path / "new")) == "hello", "they are still where the store says"
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(UsageError, match="says that the models lie in .*old/mlartifacts, which does not exist"):
        connect_to_mlflow(config_in(tmp_path / "new"))
