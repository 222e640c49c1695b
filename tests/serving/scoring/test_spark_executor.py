"""Scoring on Spark's workers gives the predictions, words, order and parts of DuckDB, even after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, parse_config
from features.engines.base import Engine
from features.errors import DataError
from features.intake.log import Log
from features.snapshots.build import PreparedFeatures
from serving.scoring import run as scoring_run
from serving.scoring.passes import FEATURES_FILE, ScoringJob
from serving.scoring.predictions import Champions, load_champions
from serving.scoring.resumable_run import ResumableRun
from serving.scoring.run import score_customers
from serving.scoring.score_tables import Scores
from tests.features.test_parity import disagreements
from training.train import TrainingRun

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spark"), pytest.mark.usefixtures("spark")]
CHUNK = 40
FIGURES = ("strength", "direction")
HOUSE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class BuiltFeatures:
    """A copy of the features that Spark built, and the log that they come from."""

    features: Path
    log: list[PreparedFeatures] = field(default_factory=list)

    @contextmanager
    def reading(self, log: Log, cutoff: date) -> Iterator[PreparedFeatures]:
        """Stands for `build.prepare_features`."""
        yield replace(self.log[0], write=lambda target: shutil.copytree(self.features, target))


@pytest.fixture(scope="module")
def models(shop: Config, trained: TrainingRun) -> Champions:
    """The champions, loaded once."""
    return load_champions(shop)


@pytest.fixture(scope="module")
def configs(shop: Config, trained: TrainingRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    """The trained shop in a folder of its own, scored in small chunks, by engine."""
    folder = tmp_path_factory.mktemp("workers")
    for name in ("log.parquet", "regulars.toml"):
        shutil.copy(shop.folder / name, folder / name)
    values = shop.model_dump(mode="json", exclude={"folder"})
    values["tracking"]["uri"] = f"sqlite:///{shop.folder / 'mlflow.db'}"
    return {
        kind: parse_config(
            {
                **values,
                "engine": {"kind": kind, "threads": 2},
                "serving": {**values["serving"], "chunk": CHUNK, "output": str(folder / kind)},
            },
            folder / "regulars.toml",
        )
        for kind in ("duckdb", "spark")
    }


@pytest.fixture(autouse=True)
def _one_reading(models: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_run, "load_champions", lambda config: models)


def written_tables(config: Config, day: object) -> dict[str, list[pa.Table]]:
    """Everything that a run wrote, part by part: score tables, and contributions of each kind."""
    folders = {"scores": config.output / "scores", **{f.name: f for f in (config.output / "contributions").iterdir()}}
    return {
        name: [pq.ParquetFile(part).read() for part in sorted((folder / f"cutoff={day}").glob("*.parquet"))]
        for name, folder in folders.items()
    }


def flat_reasons(table: pa.Table) -> pa.Table:
    """Score rows with each reason's fields as columns of their own."""
    rows = []
    for row in table.to_pylist():
        reasons = [(kind, why) for kind in ("churn", "value") for why in enumerate(row.pop(f"{kind}_reasons"))]
        rows.append({**row, **{f"{kind} {n} {k}": v for kind, (n, why) in reasons for k, v in why.items()}})
    names = sorted({name for row in rows for name in row})
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


def written_bytes(config: Config, day: object) -> dict[str, bytes]:
    """The bytes of everything that is in place, but for the manifest."""
    files = [f for place in ("scores", "contributions") for f in (config.output / place).rglob("*.parquet")]
    return {str(f.relative_to(config.output)): f.read_bytes() for f in files if f"cutoff={day}" in str(f)}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> BuiltFeatures:
    """The log and features of the run on Spark, for other tests."""
    return BuiltFeatures(tmp_path_factory.mktemp("kept") / "features")


@pytest.fixture(scope="module")
def both(
    configs: dict[str, Config], models: Champions, trained: TrainingRun, spark: Engine, kept: BuiltFeatures
) -> dict[str, Scores]:
    """The newest cutoff scored on each engine, with contributions."""
    write = scoring_run.write_features

    def keeps(job: ScoringJob, run: ResumableRun, log: PreparedFeatures) -> None:
        write(job, run, log)
        if job.config.engine.kind == "spark":
            shutil.copytree(run.folder / FEATURES_FILE, kept.features)
            kept.log.append(log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring_run, "load_champions", lambda config: models)
        patch.setattr(scoring_run, "write_features", keeps)
        return {
            kind: score_customers(config, trained.newest, with_contributions=True) for kind, config in configs.items()
        }


def test_scores_reasons_and_contributions_are_those_of_duckdb(
    configs: dict[str, Config], both: dict[str, Scores], trained: TrainingRun
) -> None:
    duckdb, spark = (written_tables(config, trained.newest) for config in configs.values())
    assert duckdb.keys() == spark.keys() == {"scores", "churn", "value"}
    assert len(duckdb["scores"]) > 3
    for name, tables in duckdb.items():
        assert [t.num_rows for t in tables] == [t.num_rows for t in spark[name]]
        one, other = pa.concat_tables(tables), pa.concat_tables(spark[name])
        assert (
            one["customer_id"].to_pylist() == other["customer_id"].to_pylist() == sorted(one["customer_id"].to_pylist())
        )
        assert one.schema == other.schema
        if name == "scores":
            one, other = flat_reasons(one), flat_reasons(other)
        else:
            cutoff = both["spark"].cutoff
            one, other = (t.append_column("cutoff", pa.array([cutoff] * len(t))) for t in (one, other))
        assert disagreements(one, other) == []


def test_the_manifest_says_the_same(both: dict[str, Scores]) -> None:
    duckdb, spark = (scores.manifest for scores in both.values())
    assert duckdb.customers == spark.customers > 3 * CHUNK
    assert [part["rows"] for part in duckdb.parts] == [part["rows"] for part in spark.parts]
    for kind in ("churn", "value"):
        assert spark.bases[kind] == pytest.approx(duckdb.bases[kind], rel=1e-9)
        one, other = ({d["feature"]: d for d in manifest.drivers[kind]} for manifest in (duckdb, spark))
        assert list(one) == list(other) and len(one) > 5
        for feature, driver in one.items():
            assert other[feature] == {**driver, **{k: pytest.approx(driver[k], rel=1e-9) for k in FIGURES}}


def test_a_run_that_died_goes_on_where_it_was_and_comes_to_the_same_bytes(
    configs: dict[str, Config],
    both: dict[str, Scores],
    trained: TrainingRun,
    tmp_path: Path,
    kept: BuiltFeatures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from serving.scoring import spark_executor

    monkeypatch.setattr(scoring_run, "prepare_features", kept.reading)
    config, day = configs["spark"], trained.newest
    again = config.model_copy(update={"serving": config.serving.model_copy(update={"output": str(tmp_path)})})
    waves: list[Sequence[int]] = []
    chunked = spark_executor.SparkPasses._chunks

    def dies(self: Any, job: Any, rows: Any, wave: Sequence[int]) -> Any:
        waves.append(list(wave))
        if len(waves) == 2:
            raise KeyboardInterrupt
        return chunked(self, job, rows, wave)

    monkeypatch.setattr(spark_executor, "WAVE", 1)
    monkeypatch.setattr(spark_executor.SparkPasses, "_chunks", dies)
    with pytest.raises(KeyboardInterrupt):
        score_customers(again, day, with_contributions=True)
    assert not (tmp_path / "scores").exists() and waves == [[0, 1], [2, 3]]
    resumed = score_customers(again, day, with_contributions=True, resume=True)
    assert resumed.notes == ("resumed a run that had ended early: 2 of its parts were written",)
    assert waves[2] == [2, 3] and sum(waves[2:], []) == list(range(2, len(resumed.manifest.parts)))
    assert written_bytes(again, day) == written_bytes(config, day)
    assert resumed.manifest.run == both["spark"].manifest.run
    assert not (tmp_path / ".scoring").exists()


def test_what_a_worker_cannot_do_is_one_line(
    configs: dict[str, Config],
    both: dict[str, Scores],
    trained: TrainingRun,
    tmp_path: Path,
    kept: BuiltFeatures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from serving.scoring import spark_executor as executors

    config, parcel = configs["spark"], executors._serialized_scorer

    def tampered(*arguments: Any) -> Any:
        sent = parcel(*arguments)
        return replace(sent, digest="another", texts={**sent.texts, "gate-0.txt": sent.texts["gate-0.txt"] + "\n"})

    monkeypatch.setattr(scoring_run, "prepare_features", kept.reading)
    monkeypatch.setattr(executors, "_serialized_scorer", tampered)
    again = config.model_copy(update={"serving": config.serving.model_copy(update={"output": str(tmp_path)})})
    with pytest.raises(DataError, match="while scoring: .*gate-0.txt is not the file that was written") as problem:
        score_customers(again, trained.newest)
    assert "\n" not in str(problem.value)
