"""Which registered models learned from which days, as each one's own bundle says."""

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

from features.config.load import Config
from training.registry.aliases import JOINT_KINDS, SEPARATE_KINDS
from training.registry.mlflow_tracking import as_usage_errors, connect_to_mlflow, quiet_mlflow

BUNDLE_INDEX = "artifacts/bundle/bundle.json"


@dataclass(frozen=True)
class ModelLineage:
    """A registered version, and what it learned from.

    Attributes:
        label: As score tables name it.
        kind: 'churn', 'value' or 'uplift'.
        aliases: Such as 'champion'.
        days: Cutoffs of its training or, of uplift, first days of the rounds of contacts.
        plans: Measured plans that taught it.
        fingerprint: Of the log at the time; empty where the run is gone.
    """

    label: str
    kind: str
    aliases: tuple[str, ...]
    days: tuple[date, ...]
    plans: tuple[str, ...]
    fingerprint: str


def read_model_lineage(config: Config) -> list[ModelLineage]:
    """Every registered version of a config's models, oldest first.

    Raises:
        UsageError: The store does not answer.
    """
    client, found = connect_to_mlflow(config), []
    with quiet_mlflow(), as_usage_errors():
        for kind in (*JOINT_KINDS, *SEPARATE_KINDS):
            name = f"{config.name}-{kind}"
            aliases: dict[str, Any] = {}
            for model in client.search_registered_models(f"name = '{name}'"):
                aliases = dict(model.aliases)
            versions = client.search_model_versions(f"name = '{name}'")
            for version in sorted(versions, key=lambda one: int(one.version)):
                given = sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))
                found.append(_said(client, name, kind, version, tuple(given)))
    return found


def _said(
    client: MlflowClient, name: str, kind: str, version: ModelVersion, aliases: tuple[str, ...]
) -> ModelLineage:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{name}/{version.version}/{BUNDLE_INDEX}"
        facts = json.loads(Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)).read_text("utf-8"))["facts"]
    days = facts.get("cutoffs", facts.get("rounds", []))
    fingerprint = facts.get("data_fingerprint") or _param(client, version, "data_fingerprint")
    return ModelLineage(
        f"{name}/{version.version}",
        kind,
        aliases,
        tuple(date.fromisoformat(str(day)) for day in days),
        tuple(map(str, facts.get("plans", ()))),
        str(fingerprint),
    )


def _param(client: MlflowClient, version: ModelVersion, name: str) -> str:
    """A parameter of a version's run; empty where the run has it no more."""
    runs = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], f"attributes.run_id = '{version.run_id}'", max_results=1
    )
    return str(runs[0].data.params.get(name, "")) if runs else ""
