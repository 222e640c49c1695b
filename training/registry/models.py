"""Registration of models in MLflow, one version for identical models, and loading of the champion."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from tqdm import tqdm

from features import phrases
from features.config.load import Config
from features.errors import DataError
from features.intake.log import Business, config_of
from features.storage.json_files import file_digest
from training.artifact import bundle as bundle_code
from training.artifact import lifetime, margin, model_files, reasons, return_hazard, spread
from training.artifact.bundle import ModelBundle
from training.artifact.model_files import BundleError
from training.registry.aliases import CHALLENGER, CHAMPION, CLASSIFIER_TAG, version_with_alias
from training.registry.mlflow_tracking import (
    NOT_FOUND_CODES,
    as_usage_errors,
    connect_to_mlflow,
    load_evaluation,
    log_record_metrics,
    log_training_record,
    quiet_mlflow,
)
from training.registry.run_record import ALIKE, QUICK_TAG, TrainingRecord

__all__ = [
    "Champion",
    "RegisteredVersion",
    "load_champion",
    "connect_to_mlflow",
    "load_evaluation",
    "log_and_register",
    "load_run_params",
]

DIGEST_TAG = "regulars.digest"
OTHER_MODELS = "`regulars rollback` goes back to the champion before, `regulars train` trains a new model"
LONGEST_DESCRIPTION = 4800  # of MLflow's database: 5000
PYFUNC = Path(str(bundle_code.__file__)).with_name("pyfunc.py")
CARRIED_MODULES = (model_files, margin, spread, lifetime, return_hazard, bundle_code, reasons, phrases)
CHECKSUMS_FILE = "files.json"
REQUIRED_PACKAGES = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow")


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered model version.

    Attributes:
        name: Name of the registered model.
        version: Number of the version.
        run_id: The run that logged it.
        new: Whether this training registered it.
        champion: Whether it is the champion.
        model_id: MLflow's id of the model that this training logged; empty if it logged none.
        alike: Whether it treats everybody alike, in the place of a model without skill.
    """

    name: str
    version: str
    run_id: str
    new: bool
    champion: bool = False
    model_id: str = ""
    alike: bool = False

    @property
    def label(self) -> str:
        """The name of the version in score tables.

        >>> RegisteredVersion("shop-churn", "3", "", True).label
        'shop-churn/3'
        """
        return f"{self.name}/{self.version}"

    @property
    def kind(self) -> str:
        """'churn' or 'value'.

        >>> RegisteredVersion("shop-churn", "3", "", True).kind
        'churn'
        """
        return self.name.rsplit("-", 1)[1]


@dataclass(frozen=True)
class Champion:
    """The model that scores.

    Attributes:
        bundle: The model.
        version: Its registered version.
        judge: The evaluation model: fitted by the same procedure on cutoffs whose labels end by the last one; None if
            the version has none.
    """

    bundle: ModelBundle
    version: RegisteredVersion
    judge: ModelBundle | None = None


def log_and_register(record: TrainingRecord, config: Config) -> tuple[RegisteredVersion, ...]:
    """Log a training to MLflow as a run, and register its models as challengers, those of everybody alike first.

    A model that is identical to a registered version is not registered again: that version is returned.

    Raises:
        UsageError: The store does not answer; the record stays in its folder.
    """
    client = connect_to_mlflow(config)
    prefixes = (ALIKE, "") if record.has_alike else ("",)
    names = [(prefix, kind) for prefix in prefixes for kind in record.kinds]
    bar = tqdm(total=1 + len(names), desc="logging to MLflow", leave=False, disable=None)
    with quiet_mlflow(), as_usage_errors(), bar, mlflow.start_run(run_name=f"train {record.cutoff}") as run:
        log_training_record(client, run, record)
        bar.update()
        registered = []
        for prefix, kind in names:
            registered.append(_register(client, run.info.run_id, record, kind, prefix))
            bar.update()
        log_record_metrics(client, run, record, {v.kind: v.model_id for v in registered if v.new and not v.alike})
        return tuple(registered)


def load_champion(business: Business, kind: str, alias: str = CHAMPION) -> Champion | None:
    """Load the champion, or another version by its alias.

    Args:
        business: An opened log, a config, or the path of a config.
        kind: 'churn' or 'value'.
        alias: Alias of the version.

    Returns:
        The model, or None if no version has the alias.

    Raises:
        DataError: The registered model is not a complete model of ours.
        UsageError: The store does not answer.
    """
    config = config_of(business)
    client = connect_to_mlflow(config)
    name = f"{config.name}-{kind}"
    with quiet_mlflow(), as_usage_errors(), tempfile.TemporaryDirectory() as folder:
        registered = version_with_alias(client, name, alias)
        if registered is None:
            return None
        uri = f"models:/{name}/{registered.version}"
        with named_model_errors(f"{name} version {registered.version}", Path(folder)):
            path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)) / "artifacts"
            bundle = ModelBundle.load(path / "bundle")
            judge = ModelBundle.load(path / "judge") if (path / "judge").exists() else None
    if (bundle.name, bundle.kind) != (config.name, kind):
        raise DataError(
            f"{name} version {registered.version} is the {bundle.kind} model of {bundle.name!r}; expected a {kind} "
            f"model of {config.name!r}: {OTHER_MODELS}"
        )
    label = RegisteredVersion(
        name, str(registered.version), registered.run_id or "", new=False, champion=alias == CHAMPION
    )
    return Champion(bundle, label, judge)


@contextmanager
def named_model_errors(label: str, folder: Path, advice: str = OTHER_MODELS) -> Iterator[None]:
    """Turn what is wrong with a logged model's files into an error that names the version and says what to do.

    Args:
        label: The model and its version.
        folder: Where its files were fetched to; left out of the message.
        advice: What to do.

    Yields:
        Nothing; errors of the block are named.

    Raises:
        DataError: A file is missing, cannot be read, or differs from what was written.
    """
    try:
        yield
    except BundleError as problem:
        raise DataError(f"{label}: {str(problem).replace(f'{folder}/', '')}; {advice}") from None
    except OSError as problem:
        if not problem.filename:  # a server that does not answer, and not a file
            raise
        file = str(problem.filename).replace(f"{folder}/", "")
        raise DataError(f"{label}: {file} cannot be read ({problem.strerror}); {advice}") from None


def load_run_params(config: Config, run_id: str) -> dict[str, str]:
    """Return the parameters of a run; empty if it was deleted."""
    client = connect_to_mlflow(config)
    with quiet_mlflow(), as_usage_errors():
        try:
            return dict(client.get_run(run_id).data.params)
        except MlflowException as problem:
            if problem.error_code in NOT_FOUND_CODES:
                return {}
            raise


def _register(client: MlflowClient, run_id: str, record: TrainingRecord, kind: str, prefix: str) -> RegisteredVersion:
    bundle, name = record.bundle(f"{prefix}{kind}"), f"{record.facts['name']}-{kind}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    identical = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{bundle.digest}'")
    current = version_with_alias(client, name, CHAMPION)
    if identical:
        number, from_run, model_id = str(identical[0].version), identical[0].run_id or run_id, ""
    else:
        (number, model_id), from_run = _new_version(client, run_id, record, bundle, name, prefix), run_id
    is_champion = current is not None and str(current.version) == number
    if not is_champion:
        client.set_registered_model_alias(name, CHALLENGER, number)
    new = not identical
    return RegisteredVersion(name, number, from_run, new, champion=is_champion, model_id=model_id, alike=bool(prefix))


def _new_version(
    client: MlflowClient, run_id: str, record: TrainingRecord, bundle: ModelBundle, name: str, prefix: str
) -> tuple[str, str]:
    """Log and register a model; return the version's number and MLflow's id of the model."""
    values = {k: np.nan if v is None else v for k, v in record.facts["examples"][bundle.kind].items()}
    example = pd.DataFrame([values])
    with tempfile.TemporaryDirectory() as folder:
        saved, judge = (
            bundle.save(Path(folder) / "bundle"),
            record.bundle(f"{prefix}judge").save(Path(folder) / "judge"),
        )
        wording = {name: record.facts["wording"][name] for name in bundle.features}
        _add_code_and_checksums(saved, wording, [name for name in example.columns if name not in wording])
        logged = mlflow.pyfunc.log_model(
            name=f"{prefix}{bundle.kind}",
            python_model=str(PYFUNC),
            artifacts={"bundle": str(saved), "judge": str(judge)},
            signature=_signature(bundle, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIRED_PACKAGES],
        )
    tags, card = {DIGEST_TAG: bundle.digest, CLASSIFIER_TAG: bundle.classifier_digest}, _description(record.card)
    tags |= {QUICK_TAG: "true"} if record.quick else {}
    created = client.create_model_version(
        name, logged.model_uri, run_id, tags=tags, description=card, model_id=logged.model_id
    )
    client.update_registered_model(name, card)
    return str(created.version), str(logged.model_id or "")


def _add_code_and_checksums(folder: Path, wording: dict[str, Any], shares: list[str]) -> None:
    """Puts the code that reads a bundle beside it, the words and columns of reasons, and the checksums of all files."""
    for module in CARRIED_MODULES:
        shutil.copyfile(str(module.__file__), folder / Path(str(module.__file__)).name)
    (folder / "wording.json").write_text(json.dumps(wording, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "shares.json").write_text(json.dumps(shares, indent=1) + "\n", encoding="utf-8")
    sums = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS_FILE).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def _description(card: str) -> str:
    """As many full lines of the card as MLflow's database can store."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    return card[:LONGEST_DESCRIPTION].rpartition("\n")[0] + "\n\n(The full card is `model_card.md` of the run.)"


def _signature(bundle: ModelBundle, example: pd.DataFrame) -> ModelSignature:
    """Text for columns with levels and numbers for the others: the features, and the shares that reasons need.

    The parameter `reasons` is the number of reasons to return for each prediction, by default 0.
    """
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in bundle.levels else "double", name, required=name in bundle.features)
        for name in example.columns
    ]
    predicted = infer_signature(model_output=pd.DataFrame(bundle.predict(example)))
    parameters = ParamSchema([ParamSpec("reasons", "long", 0)])
    return ModelSignature(inputs=Schema(columns), outputs=predicted.outputs, params=parameters)
