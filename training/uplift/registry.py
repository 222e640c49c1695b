"""The uplift model in MLflow: logged and registered as NAME-uplift, and loaded again."""

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
from training.artifact import effect_modifiers, hierarchical_effects, model_files, score_parts, uplift_bundle
from training.artifact.uplift_bundle import UpliftBundle
from training.registry.aliases import CHALLENGER, CHAMPION, version_with_alias
from training.registry.mlflow_tracking import as_usage_errors, connect_to_mlflow, quiet_mlflow
from training.registry.models import DIGEST_TAG, REQUIRED_PACKAGES, RegisteredVersion, named_model_errors
from training.registry.provenance import code_version, package_version

KIND, SOURCE = "uplift", "regulars.source"


def log_uplift_model(
    bundle: UpliftBundle, folder: Path, figures: dict[str, float], rows: pa.Table, config: Config
) -> RegisteredVersion:
    """Log the training of an uplift model to MLflow as a run, and register the model as challenger.

    A model that is identical to a registered version is not registered again: that version is returned.

    Args:
        bundle: The model.
        folder: Has the run's artefacts in its folder `run`, `uplift.txt` among them.
        figures: Metrics of the run, by name.
        rows: Feature rows, of which only medians are kept.
        config: The business.

    Returns:
        The registered version.

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
        return _register(client, run.info.run_id, bundle, name, _example_row(rows, bundle), folder)


def load_uplift_champion(config: Config) -> tuple[UpliftBundle, RegisteredVersion] | None:
    """Load the champion and its version, or return None if there is no champion.

    Raises:
        DataError: The registered model is not a complete uplift model of ours.
        UsageError: The store does not answer.
    """
    client, name = connect_to_mlflow(config), f"{config.name}-{KIND}"
    with quiet_mlflow(), as_usage_errors(), tempfile.TemporaryDirectory() as folder:
        registered = version_with_alias(client, name, CHAMPION)
        if registered is None:
            return None
        with named_model_errors(
            f"{name} version {registered.version}", Path(folder), "run `regulars train uplift` again"
        ):
            path = mlflow.artifacts.download_artifacts(f"models:/{name}/{registered.version}", dst_path=folder)
            bundle = UpliftBundle.load(Path(path) / "artifacts" / "bundle")
    return bundle, RegisteredVersion(name, str(registered.version), registered.run_id or "", new=False, champion=True)


def _register(
    client: MlflowClient, run_id: str, bundle: UpliftBundle, name: str, example: pd.DataFrame, folder: Path
) -> RegisteredVersion:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    identical = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{bundle.digest}'")
    current = version_with_alias(client, name, CHAMPION)
    if identical:
        number, from_run = str(identical[0].version), identical[0].run_id or run_id
    else:
        number, from_run = _new_version(client, run_id, bundle, name, example, folder), run_id
    is_champion = current is not None and str(current.version) == number
    if not is_champion:
        client.set_registered_model_alias(name, CHALLENGER, number)
    return RegisteredVersion(name, number, from_run, new=not identical, champion=is_champion)


def _new_version(
    client: MlflowClient, run_id: str, bundle: UpliftBundle, name: str, example: pd.DataFrame, folder: Path
) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        saved = bundle.save(Path(scratch) / "bundle")
        for module in (model_files, effect_modifiers, hierarchical_effects, score_parts, uplift_bundle):
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
    created = client.create_model_version(
        name, logged.model_uri, run_id, tags=tags, description=text, model_id=logged.model_id
    )
    return str(created.version)


def _signature(bundle: UpliftBundle, example: pd.DataFrame) -> ModelSignature:
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in bundle.levels else "double", name) for name in bundle.features
    ]
    predicted = infer_signature(model_output=pd.DataFrame(bundle.predict(example)))
    return ModelSignature(inputs=Schema(columns), outputs=predicted.outputs)


def _example_row(rows: pa.Table, bundle: UpliftBundle) -> pd.DataFrame:
    """An artificial row of medians and first levels: an input example without any customer's data."""
    levels = {c.name: c.level for c in reversed(bundle.columns) if c.level is not None}
    values: dict[str, float | str] = {}
    for name in bundle.features:
        values[name] = levels[name] if name in levels else float(np.nanmedian(_known_values(rows[name])))
    return pd.DataFrame([values])


def _known_values(column: pa.ChunkedArray) -> np.ndarray:
    known = column.cast(pa.float64()).drop_null().to_numpy()
    return known if len(known) else np.array([0.0])


def _tags(bundle: UpliftBundle) -> dict[str, str]:
    return {
        "regulars.fingerprint": str(bundle.facts.get("fingerprint", "")),
        "regulars.version": package_version(),
        "regulars.code": code_version(),
        SOURCE: bundle.source,
    }
