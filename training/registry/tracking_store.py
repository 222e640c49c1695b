"""Which MLflow store a business uses; known without MLflow, which takes seconds to import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from features.config.load import Config
from features.errors import UsageError

SERVER_SCHEMES = ("http:", "https:", "databricks", "postgresql", "mysql", "mssql")
LOCAL_SCHEME = "sqlite:///"
ARTIFACTS = "mlartifacts"  # the folder beside the config for the files of a local store


def user_tracking_uri(environment: Mapping[str, str]) -> str:
    """Return the tracking store that a user's environment names; empty if it names none.

    `mlflow run` always names one: a local store in the folder where it was started is its default, not the user's
    choice.

    >>> user_tracking_uri({"MLFLOW_TRACKING_URI": "sqlite:///mine.db"})
    'sqlite:///mine.db'
    >>> user_tracking_uri({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_RUN_ID": "a1b2"})
    ''
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    return "" if "MLFLOW_RUN_ID" in environment and not uri.startswith(SERVER_SCHEMES) else uri


USER_TRACKING_URI = user_tracking_uri(os.environ)  # read once: MLflow overwrites it with what we set
USER_VARIABLES = frozenset(os.environ)


def tracking_uri(config: Config) -> str:
    """The store: the config's, or that of MLFLOW_TRACKING_URI, or mlflow.db beside the config."""
    uri = config.tracking.uri or USER_TRACKING_URI or "sqlite:///mlflow.db"
    if uri.startswith(LOCAL_SCHEME) and not uri.startswith("sqlite:////"):
        return f"{LOCAL_SCHEME}{config.path(uri.removeprefix(LOCAL_SCHEME))}"
    return uri


def store_file(uri: str) -> Path | None:
    """The file of a local store; None if the store is a server or of another kind.

    >>> store_file("sqlite:////srv/mlflow.db"), store_file("http://tracking:5000")
    (PosixPath('/srv/mlflow.db'), None)
    """
    return Path(uri.removeprefix(LOCAL_SCHEME).split("?")[0]) if uri.startswith(LOCAL_SCHEME) else None


def no_champion_error(config: Config, kind: str) -> UsageError:
    """The error that there is no champion of a kind: 'churn', 'value' or 'uplift'."""
    advice = {"churn": "run `regulars train` first", "value": "run `regulars train value`"}
    return UsageError(
        f"no model {config.name}-{kind} is registered with the alias champion; "
        f"{advice.get(kind, f'run `regulars train {kind}` first')}"
    )


def require_store_for_champion(config: Config, kind: str) -> None:
    """Refuse quickly if there can be no champion, because the local store was not created yet.

    Raises:
        UsageError: The store is a local file that does not exist.
    """
    file = store_file(tracking_uri(config))
    if file is not None and not file.exists():
        raise no_champion_error(config, kind)
