"""The data that each registered model was trained on, read from its bundle."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from features.config.load import Config
from training.registry.aliases import JOINT_KINDS, SEPARATE_KINDS
from training.registry.mlflow_tracking import as_usage_errors, connect_to_mlflow, quiet_mlflow
from training.registry.tracking_store import store_file, tracking_uri
from training.registry.winback_models import SUFFIX, winback_config

BUNDLE_INDEX = "artifacts/bundle/bundle.json"


@dataclass(frozen=True)
class ModelLineage:
    """A registered version, and the data that it was trained on.

    Attributes:
        label: Name of the version in score tables.
        kind: 'churn', 'value', 'uplift' or 'winback'.
        aliases: Such as 'champion'.
        days: Cutoffs of its training or, for uplift, first days of the rounds of contacts.
        plans: Measured plans that it was trained on.
        fingerprint: Fingerprint of the log; empty if the run was deleted.
        readable: Whether its files can be read; otherwise it is unknown what it was trained on.
    """

    label: str
    kind: str
    aliases: tuple[str, ...]
    days: tuple[date, ...]
    plans: tuple[str, ...]
    fingerprint: str
    readable: bool = True


def read_model_lineage(config: Config) -> list[ModelLineage]:
    """Return the lineage of every registered version of a config's models, oldest first; a local store is not created.

    Raises:
        UsageError: The store does not answer.
    """
    database = store_file(tracking_uri(config))
    if database is not None and not database.exists():
        return []
    client, lineage = connect_to_mlflow(config), []
    with quiet_mlflow(), as_usage_errors():
        for name, kind in _names(config):
            aliases: dict[str, Any] = {}
            for model in client.search_registered_models(f"name = '{name}'"):
                aliases = dict(model.aliases)
            versions = client.search_model_versions(f"name = '{name}'")
            for version in sorted(versions, key=lambda one: int(one.version)):
                own_aliases = sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))
                lineage.append(_lineage_of(client, name, kind, version, tuple(own_aliases)))
    return lineage


def _names(config: Config) -> list[tuple[str, str]]:
    """The names of a config's registered models, and their kinds."""
    own = [(f"{config.name}-{kind}", kind) for kind in (*JOINT_KINDS, *SEPARATE_KINDS)]
    return [*own, *((f"{winback_config(config).name}-{kind}", SUFFIX) for kind in JOINT_KINDS)]


def _lineage_of(
    client: MlflowClient, name: str, kind: str, version: ModelVersion, aliases: tuple[str, ...]
) -> ModelLineage:  # fmt: skip
    label = f"{name}/{version.version}"
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{label}/{BUNDLE_INDEX}"
        try:
            file = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
            facts = json.loads(file.read_text(encoding="utf-8"))["facts"]
            days = tuple(date.fromisoformat(str(day)) for day in facts.get("cutoffs", facts.get("rounds", [])))
            plans = tuple(map(str, facts.get("plans", ())))
        except (MlflowException, OSError, ValueError, KeyError, TypeError, AttributeError):
            return ModelLineage(label, kind, aliases, (), (), "", readable=False)
    fingerprint = facts.get("data_fingerprint") or _param(client, version, "data_fingerprint")
    return ModelLineage(label, kind, aliases, days, plans, str(fingerprint))


def _param(client: MlflowClient, version: ModelVersion, name: str) -> str:
    """A parameter of a version's run; empty if the run does not have it or was deleted."""
    runs = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], f"attributes.run_id = '{version.run_id}'", max_results=1
    )
    return str(runs[0].data.params.get(name, "")) if runs else ""
