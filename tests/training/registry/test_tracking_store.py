"""Which store a business uses, without MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from features.config.load import Config
from features.errors import UsageError
from training.registry.tracking_store import require_store_for_champion, tracking_uri, user_tracking_uri


def test_mlflow_run_names_a_store_only_where_it_is_a_server() -> None:
    server, inside = "http://tracking:5000", {"MLFLOW_RUN_ID": "a1b2"}
    assert user_tracking_uri({}) == ""
    assert user_tracking_uri({"MLFLOW_TRACKING_URI": server, **inside}) == server
    for local in ("sqlite:////home/me/mlflow.db", "file:///home/me/mlruns", "/home/me/mlruns"):
        assert user_tracking_uri({"MLFLOW_TRACKING_URI": local}) == local
        assert user_tracking_uri({"MLFLOW_TRACKING_URI": local, **inside}) == ""


def test_a_local_store_that_does_not_exist_has_no_champion(make_config: Callable[..., Config], tmp_path: Path) -> None:
    config = make_config({"tracking": {"uri": "sqlite:///store/mlflow.db"}})
    assert tracking_uri(config) == f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    with pytest.raises(UsageError, match="no model test-uplift .*; run `regulars train uplift` first"):
        require_store_for_champion(config, "uplift")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mlflow.db").touch()
    require_store_for_champion(config, "uplift")
    require_store_for_champion(make_config({"tracking": {"uri": "http://tracking:5000"}}), "churn")
