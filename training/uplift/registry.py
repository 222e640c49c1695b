"""The uplift model in MLflow: registered as NAME-uplift beside churn and value, and read back."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec

from features.config.load import Config
from features.errors import DataError
from training.artifact import model_files, uplift_bundle
from training.artifact.model_files import BundleError
from training.artifact.uplift_bundle import UpliftBundle
from training.registry.aliases import CHALLENGER, CHAMPION, version_with_alias
from training.registry.mlflow_tracking import as_usage_errors, connect_to_mlflow, quiet_mlflow
from training.registry.models import DIGEST_TAG, REQUIRED_PACKAGES, RegisteredVersion
from training.registry.provenance import code_version, package_version

KIND, SOURCE = "uplift", "regulars.source"


def log_uplift_model(
    bundle: UpliftBundle, folder: Path, figures: dict[str, float], rows: pa.Table, config: Config
) -> RegisteredVersion:
    """Writes a training of effects into MLflow as a run, and registers its model as challenger.

    A model that is equal to a registered one in every bit is not registered again: that version is returned.

    Args:
        bundle: The model.
        folder: Holds the run's artefacts in `run`, `uplift.txt` among them.
        figures: By name.
        rows: Feature rows, of which nothing but medians is kept.
        config: The business.

    Raises:
        UsageError: The store does not answer.
    """
    client, name = connect_to_mlflow(config), f"{config.name}-{KIND}"
    title = f"train uplift {max(bundle.facts['rounds'])}"
    with quiet_mlflow(), as_usage_errors(), mlflow.start_run(run_name=title) as run:
        mlflow.set_tags(_tags(bundle))
        mlflow.log_params({f"task.{key}": str(value) for key, value in bundle.task.items()})
        mlflow.log_params({k: str(v) for k, v in bundle.facts.items()} | {"actions": ", ".join(bundle.actions)})
        mlflow.log_metrics({key: value for key, value in figures.items() if np.isfinite(value)})
        mlflow.log_artifacts(str(folder / "run"))
        return _register(client, run.info.run_id, bundle, name, _typical(rows, bundle), folder)


def load_uplift_champion(config: Config) -> tuple[UpliftBundle, RegisteredVersion] | None:
    """The champion's model and version, or None where there is none.

    Raises:
        DataError: What is registered under its name is not a whole model of ours.
        UsageError: The store does not answer.
    """
    client, name = connect_to_mlflow(config), f"{config.name}-{KIND}"
    with quiet_mlflow(), as_usage_errors(), tempfile.TemporaryDirectory() as folder:
        found = version_with_alias(client, name, CHAMPION)
        if found is None:
            return None
        path = mlflow.artifacts.download_artifacts(f"models:/{name}/{found.version}", dst_path=folder)
        try:
            bundle = UpliftBundle.load(Path(path) / "artifacts" / "bundle")
        except BundleError as problem:
            raise DataError(f"{name} version {found.version}: {problem}; run `regulars train uplift` again") from None
    return bundle, RegisteredVersion(name, str(found.version), found.run_id or "", new=False, champion=True)


def _register(
    client: MlflowClient, run_id: str, bundle: UpliftBundle, name: str, example: pd.DataFrame, folder: Path
) -> RegisteredVersion:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    equal = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{bundle.digest}'")
    current = version_with_alias(client, name, CHAMPION)
    if equal:
        number, from_run = str(equal[0].version), equal[0].run_id or run_id
    else:
        number, from_run = _new_version(client, run_id, bundle, name, example, folder), run_id
    here = current is not None and str(current.version) == number
    if not here:
        client.set_registered_model_alias(name, CHALLENGER, number)
    return RegisteredVersion(name, number, from_run, new=not equal, champion=here)


def _new_version(
    client: MlflowClient, run_id: str, bundle: UpliftBundle, name: str, example: pd.DataFrame, folder: Path
) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        saved = bundle.save(Path(scratch) / "bundle")
        for module in (model_files, uplift_bundle):
            shutil.copyfile(str(module.__file__), saved / Path(str(module.__file__)).name)
        logged = mlflow.pyfunc.log_model(
            name=KIND,
            python_model=str(Path(str(uplift_bundle.__file__)).with_name("uplift_pyfunc.py")),
            artifacts={"bundle": str(saved)},
            signature=_signature(bundle, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIRED_PACKAGES],
        )
    text = (folder / "run" / "uplift.txt").read_text(encoding="utf-8")[:4800]
    tags = {DIGEST_TAG: bundle.digest, SOURCE: bundle.source}
    made = client.create_model_version(
        name, logged.model_uri, run_id, tags=tags, description=text, model_id=logged.model_id
    )
    return str(made.version)


def _signature(bundle: UpliftBundle, example: pd.DataFrame) -> ModelSignature:
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in bundle.levels else "double", name) for name in bundle.features
    ]
    said = infer_signature(model_output=pd.DataFrame(bundle.predict(example)))
    return ModelSignature(inputs=Schema(columns), outputs=said.outputs)


def _typical(rows: pa.Table, bundle: UpliftBundle) -> pd.DataFrame:
    """One made-up row of medians and of the first level: an input example that is no customer's."""
    levels = {c.name: c.level for c in reversed(bundle.columns) if c.level is not None}
    values: dict[str, float | str] = {}
    for name in bundle.features:
        values[name] = levels[name] if name in levels else float(np.nanmedian(_known(rows[name])))
    return pd.DataFrame([values])


def _known(column: pa.ChunkedArray) -> np.ndarray:
    found = column.cast(pa.float64()).drop_null().to_numpy()
    return found if len(found) else np.array([0.0])


def _tags(bundle: UpliftBundle) -> dict[str, str]:
    return {
        "regulars.fingerprint": str(bundle.facts.get("fingerprint", "")),
        "regulars.version": package_version(),
        "regulars.code": code_version(),
        SOURCE: bundle.source,
    }
