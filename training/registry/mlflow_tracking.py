"""Connection to the MLflow store with limited waiting, and logging of a training's record as one run."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, Schema
from mlflow.utils.time import get_current_time_millis
from sqlalchemy.exc import SQLAlchemyError

from features.config.load import Config
from features.errors import UsageError
from features.storage.system_errors import explain_system_error
from training.evaluation.evaluate import Evaluation
from training.registry.local_store import prepare_local_store
from training.registry.run_record import EVALUATION_TABLES, TrainingRecord
from training.registry.tracking_store import ARTIFACTS, SERVER_SCHEMES, USER_VARIABLES, tracking_uri

DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
CHURN_METRICS = ("auc", "average_precision", "brier", "log_loss", "calibration_slope", "expected_leavers")
EVALUATION_COLUMNS = {
    "metrics": ("model", "metric", "value", "low", "high", "cutoff", "segment", "customers"),
    "differences": ("metric", "against", "difference", "low", "high", "cutoff"),
    "groups": ("number", "group", "customers", "predicted", "actual", "low", "high", "cutoff", "segment"),
}
NOT_FOUND_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
# Limits of waiting for a server, unless the user's environment sets them: for the first answer, and after it.
FIRST_WAIT = {"MAX_RETRIES": "2", "BACKOFF_FACTOR": "1", "TIMEOUT": "10"}
LATER_WAIT = {"MAX_RETRIES": "4", "BACKOFF_FACTOR": "1", "TIMEOUT": "60"}


def require_tracking_server(config: Config) -> None:
    """Check that the config's tracking server answers, before anything expensive; a local store is not created yet.

    Raises:
        UsageError: It does not answer.
    """
    if tracking_uri(config).startswith(SERVER_SCHEMES):
        connect_to_mlflow(config)


def connect_to_mlflow(config: Config) -> MlflowClient:
    """Point MLflow at the config's store and experiment, and return its client.

    The config's URI comes first, then MLFLOW_TRACKING_URI (see `tracking_uri`), then mlflow.db beside the config.
    A run that `mlflow run` opened is left alone; ours is a separate run. A server gets three attempts of at most ten
    seconds each (MLFLOW_HTTP_REQUEST_MAX_RETRIES and MLFLOW_HTTP_REQUEST_TIMEOUT change that).

    Raises:
        UsageError: The store does not answer.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    uri, name = tracking_uri(config), config.tracking.experiment or config.name
    _limit_waiting(FIRST_WAIT)
    with quiet_mlflow(), as_usage_errors(uri, "[tracking] uri: "):
        _check_database_port(uri)
        prepare_local_store(config, uri, name)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        if mlflow.get_experiment_by_name(name) is None:
            _create_experiment(name, config.path(ARTIFACTS).as_uri() if uri.startswith("sqlite:") else None)
        mlflow.set_experiment(name)
    _limit_waiting(LATER_WAIT)
    return MlflowClient()


def _create_experiment(name: str, location: str | None) -> None:
    """Create the experiment, unless another process has done so meanwhile."""
    try:
        mlflow.create_experiment(name, location)
    except MlflowException:
        if mlflow.get_experiment_by_name(name) is None:
            raise


@contextmanager
def as_usage_errors(uri: str = "", where: str = "") -> Iterator[None]:
    """Turn errors of the store into a UsageError with one line of text and no password.

    Args:
        uri: The store; empty: the current one.
        where: Beginning of the message.

    Raises:
        UsageError: The store does not answer, or refused a request.
    """
    try:
        yield
    except (MlflowException, OSError, SQLAlchemyError) as problem:
        store = without_credentials(uri or mlflow.get_tracking_uri())
        known = explain_system_error(problem) if store.startswith("sqlite:") else None
        cause = known or f"{_short_cause(problem)}; check [tracking] uri, and whether the store can be reached"
        raise UsageError(f"{where}the tracking store at {store} does not answer: {cause}") from None


def without_credentials(text: str) -> str:
    """Return a text with credentials and options removed from each URL in it.

    >>> without_credentials("http://me:secret@tracking:5000/base?token=x is down")
    'http://tracking:5000/base is down'
    """
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1", re.sub(r"://\S*@", "://", text))


def load_evaluation(config: Config, run_id: str) -> Evaluation:
    """Load the evaluation that a training logged; raise UsageError if its run was deleted, or it cannot be read."""
    connect_to_mlflow(config)
    tables = {}
    for name in EVALUATION_TABLES:
        try:
            text = mlflow.artifacts.load_text(f"runs:/{run_id}/evaluation/{name}.csv")
        except (MlflowException, OSError) as problem:
            raise UsageError(f"the run {run_id} of the champion has no evaluation: {_short_cause(problem)}") from None
        tables[name] = _evaluation_table(name, text, run_id)
    return Evaluation(**tables)


def _evaluation_table(name: str, text: str, run_id: str) -> pd.DataFrame:
    """A table of an evaluation from its CSV; raises UsageError if it is damaged or of another version."""
    try:
        table = pd.read_csv(StringIO(text))
    except ValueError:  # pandas' errors of parsing are of this kind
        table = pd.DataFrame()
    if missing := [column for column in EVALUATION_COLUMNS[name] if column not in table.columns]:
        raise UsageError(
            f"the run {run_id} of the champion has no evaluation that can be read: evaluation/{name}.csv lacks "
            f"{', '.join(missing)}; `regulars train` makes a new one"
        )
    return table


def log_training_record(client: MlflowClient, run: mlflow.ActiveRun, record: TrainingRecord) -> None:
    """Log a record into a run: parameters, tags, data, files, and a nested run for each trial, but no metrics yet.

    Args:
        client: MLflow's client.
        run: The open run.
        record: The training's record.
    """
    facts, now = record.facts, get_current_time_millis()
    mlflow.set_tags(facts["tags"])
    mlflow.log_params(facts["params"])
    _log_inputs(facts["inputs"])
    mlflow.log_artifacts(str(record.run))
    for trial in facts["trials"]:
        _log_trial(client, run, trial, now)


def log_record_metrics(
    client: MlflowClient, run: mlflow.ActiveRun, record: TrainingRecord, models: Mapping[str, str]
) -> None:
    """Log a record's metrics into its run, each with the model that it belongs to.

    Metrics come after the models, because MLflow reads the history of each metric in a run when a model is logged.

    Args:
        client: MLflow's client.
        run: The open run.
        record: The training's record.
        models: MLflow's id of the logged model, by kind.
    """
    now, figures = get_current_time_millis(), []
    for key, value, step in record.facts["metrics"]:
        kind = "churn" if key.startswith(CHURN_METRICS) else "value"
        figures.append(Metric(key, value, now, step, model_id=models.get(kind), run_id=run.info.run_id))
    client.log_batch(run.info.run_id, metrics=figures)


def _log_trial(client: MlflowClient, parent: mlflow.ActiveRun, trial: dict[str, Any], now: int) -> None:
    name, loss = trial["of"], trial["loss"]
    title = f"{name} trial {trial['number']}"
    tags = {"mlflow.parentRunId": parent.info.run_id, "mlflow.runName": title}
    run_id = client.create_run(parent.info.experiment_id, run_name=title, tags=tags).info.run_id
    client.log_batch(
        run_id,
        metrics=[] if loss is None else [Metric(f"{name}_loss", loss, now, 0)],
        params=[Param(key, str(value)) for key, value in trial["parameters"].items()],
        tags=[RunTag("pruned", str(loss is None))],
    )
    client.set_terminated(run_id)


class _RowlessDataset(MetaDataset):
    """A dataset that MLflow gets a description of, but no rows."""

    def __init__(self, description: dict[str, Any]) -> None:
        columns: Any = [ColSpec(kind, name) for name, kind in description["columns"]]
        self._counts = json.dumps(description["counts"])
        source, schema = CodeDatasetSource({"path": description["source"]}), Schema(columns) if columns else None
        super().__init__(source, name=description["name"], digest=description["digest"], schema=schema)

    @property
    def profile(self) -> str:
        """The numbers of rows, customers and cutoffs, as JSON."""
        return self._counts

    def to_dict(self) -> dict[str, str]:
        """Return what MLflow stores."""
        return {**super().to_dict(), "profile": self.profile}


def _log_inputs(inputs: list[dict[str, Any]]) -> None:
    for description in inputs:
        mlflow.log_input(_RowlessDataset(description), context=description["context"])


def _check_database_port(uri: str) -> None:
    """Raise OSError if nothing listens at a database's address, which MLflow itself would try for two minutes."""
    parts = urlsplit(uri)
    port = next((number for scheme, number in DATABASE_PORTS.items() if uri.startswith(scheme)), None)
    if port is not None and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or port), timeout=float(FIRST_WAIT["TIMEOUT"])).close()


def _limit_waiting(limits: Mapping[str, str]) -> None:
    """Set MLflow's limits of waiting, by default minutes, except those that the user's environment sets."""
    for key, value in limits.items():
        if f"MLFLOW_HTTP_REQUEST_{key}" not in USER_VARIABLES:
            os.environ[f"MLFLOW_HTTP_REQUEST_{key}"] = value


def _short_cause(problem: Exception) -> str:
    """The cause in a few words: those of the operating system if MLflow wraps them in a chain of exceptions."""
    text = str(problem)
    match = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|([Rr]ead timed out|timed out|Name or service not known)", text)
    short = next(group for group in match.groups() if group) if match else text.strip().split("\n")[0]
    return without_credentials(short.strip(" :"))[:300]


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep messages of MLflow and its database out of the terminal; our own warnings still appear."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(mlflow|pydantic|alembic|sqlalchemy).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
