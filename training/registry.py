"""MLflow: one parent run a training with nested trials, models registered with the alias champion, and read back."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.utils.time import get_current_time_millis
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from features.config import Config
from features.errors import DataError, UsageError
from features.snapshots import Snapshots
from training import bundle as bundle_code
from training.bundle import BundleError, ModelBundle
from training.evaluate import OURS, Evaluation
from training.learn import Learned
from training.plots import calibration_plot, decile_plot, lift_plot

ALIAS = "champion"
TABLES = ("metrics", "differences", "groups")
HERE = Path(__file__).parent
SERVERS = ("http:", "https:", "databricks", "postgresql", "mysql", "mssql")
CARRIED = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow")


def store_of(environment: Mapping[str, str]) -> str:
    """The tracking store that a user's environment names; empty where it names none.

    `mlflow run` always names one: a local store of the folder it was started in is its default, not the user's choice.

    >>> store_of({"MLFLOW_TRACKING_URI": "sqlite:///mine.db"})
    'sqlite:///mine.db'
    >>> store_of({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_RUN_ID": "a1b2"})
    ''
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    return "" if "MLFLOW_RUN_ID" in environment and not uri.startswith(SERVERS) else uri


FROM_ENVIRONMENT = store_of(os.environ)  # read once: MLflow overwrites it with what we set


@dataclass(frozen=True)
class Registered:
    """A registered model version: its name, number, run, and whether this training made it."""

    name: str
    version: str
    run_id: str
    new: bool

    @property
    def label(self) -> str:
        """As score tables name it.

        >>> Registered("shop-churn", "3", "", True).label
        'shop-churn/3'
        """
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Champion:
    """The model that scores: its bundle and its version."""

    bundle: ModelBundle
    version: Registered


def log(learned: Learned, snapshots: Snapshots, config: Config, kinds: tuple[str, ...]) -> list[Registered]:
    """Writes a training into MLflow and makes its models champions.

    Args:
        learned: What `train.learn` returned.
        snapshots: What it learned from.
        config: Names the experiment and the models.
        kinds: 'churn', 'value', or both.

    Returns:
        The versions; one that is equal to the champion in every bit is not registered again.
    """
    client = connect(config)
    bundles = [b for b in (learned.churn, learned.value) if b is not None and b.kind in kinds]
    bar = tqdm(total=1 + len(bundles), desc="logging to MLflow", leave=False, disable=None)
    with _quiet(), bar, mlflow.start_run(run_name=f"train {learned.split.test.test}") as run:
        _log_facts(learned, snapshots, config)
        _log_metrics(client, run.info.run_id, learned.evaluation)
        _log_trials(client, run, learned)
        _log_plots(learned)
        bar.update()
        made = []
        for bundle in bundles:
            made.append(_register(client, run.info.run_id, bundle, snapshots, config))
            bar.update()
        return made


def champion(config: Config, kind: str) -> Champion | None:
    """The champion of 'churn' or 'value', or None where there is none.

    Raises:
        DataError: What is registered under its name is not a whole model of ours.
    """
    client = connect(config)
    name = f"{config.name}-{kind}"
    with _quiet():
        try:
            found = client.get_model_version_by_alias(name, ALIAS)
        except MlflowException as problem:
            if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise UsageError(f"the tracking store at {mlflow.get_tracking_uri()} does not answer: {problem}") from None
        with tempfile.TemporaryDirectory() as folder:
            path = mlflow.artifacts.download_artifacts(f"models:/{name}/{found.version}", dst_path=folder)
            try:
                bundle = ModelBundle.load(Path(path) / "artifacts" / "bundle")
            except BundleError as problem:
                raise DataError(f"{name} version {found.version}: {problem}") from None
    return Champion(bundle, Registered(name, str(found.version), found.run_id or "", new=False))


def evaluation_of(config: Config, run_id: str) -> Evaluation:
    """The evaluation that a training logged; raises UsageError where its run is gone."""
    connect(config)
    tables = {}
    for name in TABLES:
        try:
            text = mlflow.artifacts.load_text(f"runs:/{run_id}/evaluation/{name}.csv")
        except MlflowException as problem:
            raise UsageError(f"the run {run_id} of the champion has no evaluation: {problem}") from None
        tables[name] = pd.read_csv(StringIO(text))
    return Evaluation(**tables)


def connect(config: Config) -> MlflowClient:
    """Points MLflow at the config's store and experiment.

    The config's URI comes first, then MLFLOW_TRACKING_URI, then mlflow.db beside the config (see `store_of`). A run
    that `mlflow run` opened around us is left alone: ours is a run of its own.

    Raises:
        UsageError: The store does not answer.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    uri = config.tracking.uri or FROM_ENVIRONMENT or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        uri = f"sqlite:///{config.path(uri.removeprefix('sqlite:///'))}"
    name = config.tracking.experiment or config.name
    with _quiet():
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            if mlflow.get_experiment_by_name(name) is None:
                local = uri.startswith("sqlite:")
                mlflow.create_experiment(name, config.path("mlartifacts").as_uri() if local else None)
            mlflow.set_experiment(name)
        except (MlflowException, OSError, SQLAlchemyError) as problem:
            raise UsageError(f"[tracking] uri: the store at {uri} does not answer: {problem}") from None
    return MlflowClient()


def _log_facts(learned: Learned, snapshots: Snapshots, config: Config) -> None:
    mlflow.set_tags({"regulars.fingerprint": snapshots.fingerprint, "regulars.version": version("regulars")})
    mlflow.log_params(
        {
            **{f"task.{key}": value for key, value in learned.churn.task.items()},
            **{f"{name}.{key}": v for name, tuned in learned.tuned.items() for key, v in tuned.parameters.items()},
            "seed": config.training.seed,
            "trials": config.training.trials,
            "features": len(snapshots.features),
            "own_features": snapshots.own,
            "rows": snapshots.rows.num_rows,
            "cutoffs": len(learned.split.everything),
            "data_fingerprint": snapshots.fingerprint,
        }
    )
    mlflow.log_dict(config.model_dump(mode="json"), "config.json")


def _log_metrics(client: MlflowClient, run_id: str, evaluation: Evaluation) -> None:
    """The figures of our model: at the last cutoff by name, and at every cutoff with its date as the step."""
    now, ours = get_current_time_millis(), evaluation.metrics[evaluation.metrics.model == OURS]
    last = ours.cutoff.max()
    entries = []
    for row in ours[ours.segment == "all"].sort_values("cutoff").to_dict("records"):
        entries.append(Metric(f"{row['metric']}_by_cutoff", row["value"], now, int(f"{row['cutoff']:%Y%m%d}")))
        if row["cutoff"] == last:
            final = {"": row["value"], "_low": row["low"], "_high": row["high"]}
            entries += [Metric(f"{row['metric']}{end}", value, now, 0) for end, value in final.items()]
    client.log_batch(run_id, metrics=[entry for entry in entries if np.isfinite(entry.value)])
    for name in TABLES:
        mlflow.log_text(getattr(evaluation, name).to_csv(index=False), f"evaluation/{name}.csv")


def _log_trials(client: MlflowClient, parent: mlflow.ActiveRun, learned: Learned) -> None:
    now = get_current_time_millis()
    for name, tuned in learned.tuned.items():
        for trial in tuned.trials:
            title = f"{name} trial {trial.number}"
            tags = {"mlflow.parentRunId": parent.info.run_id, "mlflow.runName": title}
            run_id = client.create_run(parent.info.experiment_id, run_name=title, tags=tags).info.run_id
            client.log_batch(
                run_id,
                metrics=[] if trial.loss is None else [Metric(f"{name}_loss", trial.loss, now, 0)],
                params=[Param(key, str(value)) for key, value in trial.parameters.items()],
                tags=[RunTag("pruned", str(trial.loss is None))],
            )
            client.set_terminated(run_id)


def _log_plots(learned: Learned) -> None:
    churn = learned.judged["churn_probability"]
    mlflow.log_figure(calibration_plot(learned.truth, churn), "plots/calibration.png")
    mlflow.log_figure(lift_plot(learned.truth, churn), "plots/lift.png")
    if "value" in learned.judged:
        mlflow.log_figure(decile_plot(learned.truth, learned.judged["value"]), "plots/deciles.png")


def _register(
    client: MlflowClient, run_id: str, bundle: ModelBundle, snapshots: Snapshots, config: Config
) -> Registered:
    name = f"{config.name}-{bundle.kind}"
    current = _current(client, name)
    if current is not None and current.tags.get("regulars.digest") == bundle.digest:
        return Registered(name, str(current.version), current.run_id or run_id, new=False)
    example = _typical(snapshots, bundle)
    with tempfile.TemporaryDirectory() as folder:
        saved = bundle.save(Path(folder) / "bundle")
        shutil.copy(str(bundle_code.__file__), saved / "bundle.py")
        logged = mlflow.pyfunc.log_model(
            name=bundle.kind,
            python_model=str(HERE / "pyfunc_model.py"),
            artifacts={"bundle": str(saved)},
            signature=_signature(bundle, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in CARRIED],
        )
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, logged.model_uri, run_id, model_id=logged.model_id).version
    client.set_model_version_tag(name, made, "regulars.digest", bundle.digest)
    client.set_registered_model_alias(name, ALIAS, made)
    return Registered(name, str(made), run_id, new=True)


def _current(client: MlflowClient, name: str) -> Any:
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as problem:
        if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _signature(bundle: ModelBundle, example: pd.DataFrame) -> ModelSignature:
    """Text for the columns of levels, numbers for the others: said by the bundle, not guessed from an example."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in bundle.levels else "double", name) for name in bundle.features
    ]
    said = infer_signature(model_output=pd.DataFrame(bundle.predict(example)))
    return ModelSignature(inputs=Schema(columns), outputs=said.outputs)


def _typical(snapshots: Snapshots, bundle: ModelBundle) -> pd.DataFrame:
    """One made-up row of medians and commonest levels: an input example that is no customer's."""

    def typical(name: str) -> float | str:
        if name in bundle.levels:
            return next(iter(bundle.levels[name]), "other")
        median = pc.quantile(snapshots.rows[name], 0.5)[0].as_py()
        return np.nan if median is None else float(median)

    return pd.DataFrame([{name: typical(name) for name in bundle.features}])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow's and its database's chatter out of the user's terminal; warnings of ours still show."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
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
