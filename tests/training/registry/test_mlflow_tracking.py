"""The MLflow store: the content of a run, in a file and on a real server, and messages if a store does not answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.scoring.run import score_customers
from tests.shop import make_shop
from tests.tracking import TrackingServer, free_port, run_tracking_server
from training.registry import lineage, mlflow_tracking, models
from training.train import TrainingRun, log_kept_training, train_models

FILES = {"model_card.md", "tuning.json", "config.json", "environment.json", "evaluation/metrics.csv"}


def _with_uri(config: Config, uri: str) -> Config:
    return config.model_copy(update={"tracking": config.tracking.model_copy(update={"uri": uri})})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A real server; the last test here ends it."""
    with run_tracking_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, server: TrackingServer) -> Config:
    """The shop, tracked by the server."""
    return _with_uri(make_shop(tmp_path_factory.mktemp("remote")), server.uri)


def _carries_all(config: Config, trained: TrainingRun) -> None:
    client = models.connect_to_mlflow(config)
    run = client.get_run(trained.versions[0].run_id)
    assert run.info.status == "FINISHED"
    params, tags = run.data.params, run.data.tags
    assert params["data_fingerprint"] != params["snapshot_fingerprint"]
    assert params["snapshot_fingerprint"] == tags["regulars.fingerprint"]
    assert tags["regulars.code"]
    for path in FILES:
        assert mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/{path}")
    environment = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/environment.json"))
    assert environment["packages"]["mlflow"] == mlflow.__version__
    assert {"auc", "auc_by_cutoff"} <= set(run.data.metrics)
    table = mlflow_tracking.load_evaluation(config, run.info.run_id).metrics
    assert len(run.data.metrics) <= 25 and table.segment.nunique() > 2, "metrics by segment are in the table"
    model = client.get_logged_model(trained.versions[0].model_id)
    assert {"auc", "brier_high"} <= {metric.key for metric in model.metrics}
    inputs = {i.dataset.name: i.dataset for i in run.inputs.dataset_inputs}
    assert set(inputs) == {"shop snapshots", "shop events"}
    rows = inputs["shop snapshots"]
    assert rows.digest == params["snapshot_fingerprint"]
    assert json.loads(rows.profile)["num_rows"] == int(params["rows"])
    assert json.loads(rows.source)["tags"]["path"] == "log.parquet"
    columns = {column["name"] for column in json.loads(rows.schema)["mlflow_colspec"]}
    assert {"customer_id", "cutoff", "churned", "value"} <= columns
    assert not [c for c in trained.fitted.truth.customers.to_pylist() if c in f"{run.inputs} {run.data}"]


def test_a_run_carries_its_data_code_environment_and_card(shop: Config, trained: TrainingRun) -> None:
    _carries_all(shop, trained)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.xdist_group("tracking")
def test_a_server_holds_the_same_and_scores(remote: Config, server: TrackingServer) -> None:
    trained = train_models(remote)
    assert [v.label for v in trained.versions] == ["shop-churn/1", "shop-value/1"]
    _carries_all(remote, trained)
    champion = models.load_champion(remote, "value")
    assert champion is not None
    assert champion.bundle == trained.fitted.value
    assert champion.judge == trained.fitted.evaluated
    scores = score_customers(remote, trained.newest)
    assert scores.manifest.models["value"]["label"] == "shop-value/1"
    model = mlflow.pyfunc.load_model("models:/shop-value@champion")
    assert len(model.predict(trained.fitted.truth.features.to_pandas())) == len(trained.fitted.truth)
    assert not (remote.output / "unlogged").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("tracking")
def test_what_a_dying_server_did_not_take_is_kept_and_logged_later(
    remote: Config, server: TrackingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = models._register

    def die(*arguments: object) -> models.RegisteredVersion:
        server.kill()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        return real(*arguments)  # type: ignore[arg-type]

    changed = remote.model_copy(update={"training": remote.training.model_copy(update={"trials": 0})})
    monkeypatch.setattr(models, "_register", die)
    with pytest.raises(UsageError, match="does not answer: Connection refused") as problem:
        train_models(changed)
    (kept,) = (remote.output / "unlogged").iterdir()
    assert f"regulars train --log {kept}" in str(problem.value)
    assert not [f for f in kept.rglob("*") if f.suffix not in {".json", ".txt", ".csv", ".md", ".png", ""}]
    with pytest.raises(UsageError, match="does not answer"):
        log_kept_training(changed, kept)
    monkeypatch.undo()
    elsewhere = _with_uri(changed, f"sqlite:///{tmp_path}/later.db")
    settled = log_kept_training(elsewhere, kept)
    assert [v.label for v in settled.versions] == ["shop-churn/1", "shop-value/1"]
    assert settled.decision.promoted
    champion = models.load_champion(elsewhere, "value")
    assert champion is not None
    assert champion.bundle.facts["parameters"] == {}
    assert not (remote.output / "unlogged").exists()


def test_a_server_that_is_down_is_told_before_anything_is_learned(
    shop: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    monkeypatch.setattr("training.train.fit_models", lambda *_: pytest.fail("it fitted first"))
    monkeypatch.setattr("training.train.build.build_snapshots", lambda *_: pytest.fail("it read the log first"))
    start = time.monotonic()
    with pytest.raises(UsageError, match="does not answer: Connection refused") as problem:
        train_models(_with_uri(shop, uri))
    assert "secret" not in str(problem.value)
    assert time.monotonic() - start < 30


def test_a_database_that_is_down_is_told_at_once(shop: Config) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError, match="does not answer: Connection refused") as problem:
        mlflow_tracking.connect_to_mlflow(_with_uri(shop, f"postgresql://me:secret@127.0.0.1:{free_port()}/mlflow"))
    assert "secret" not in str(problem.value)
    assert time.monotonic() - start < 5


def test_a_store_that_does_not_answer_is_one_message(make_config, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    config = make_config({"tracking": {"uri": "sqlite:///file/mlflow.db"}})
    with pytest.raises(UsageError, match="mlflow.db.lock cannot be written"):
        mlflow_tracking.connect_to_mlflow(config)


def test_a_run_that_mlflow_run_opened_is_left_alone(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "not-in-this-store")
    mlflow_tracking.connect_to_mlflow(shop)
    with mlflow.start_run() as run:
        assert run.info.run_id != "not-in-this-store"


def test_the_evaluation_comes_back(shop: Config, trained: TrainingRun) -> None:
    back = mlflow_tracking.load_evaluation(shop, trained.versions[0].run_id)
    assert back.row("auc")["value"] == pytest.approx(trained.fitted.evaluation.row("auc")["value"])
    assert list(back.differences.columns) == list(trained.fitted.evaluation.differences.columns)
    with pytest.raises(UsageError, match="no evaluation"):
        mlflow_tracking.load_evaluation(shop, "0" * 32)


@pytest.mark.parametrize("text", ["", "model,metric\nregulars,auc\n", "\x00garbage"])
def test_a_damaged_evaluation_is_one_message(text: str) -> None:
    with pytest.raises(UsageError, match="the run r1 of the champion has no evaluation that can be read"):
        mlflow_tracking._evaluation_table("metrics", text, "r1")


def test_a_damaged_model_is_listed_without_its_lineage(
    shop: Config, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bundle.json").write_text('{"facts": nu')
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_, **__: str(tmp_path / "bundle.json"))
    found = lineage.read_model_lineage(shop)
    assert {model.label for model in found} == {"shop-churn/1", "shop-value/1"}
    assert not any(model.readable or model.days for model in found)
