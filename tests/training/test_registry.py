"""What MLflow holds after a training, and that it can be read back without us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from features.config import Config
from training import registry
from training.train import Trained, train


@pytest.fixture
def client(shop: Config, trained: Trained) -> MlflowClient:
    """MLflow as the training left it."""
    return registry.connect(shop)


def test_both_models_are_champions(client: MlflowClient, shop: Config, trained: Trained) -> None:
    for kind in ("churn", "value"):
        found = registry.champion(shop, kind)
        assert found is not None
        assert found.bundle == getattr(trained.learned, kind)
        assert found.version.label == f"shop-{kind}/1"


def test_a_business_without_models_has_no_champion(tmp_path: Path, make_config) -> None:  # type: ignore[no-untyped-def]
    assert registry.champion(make_config(), "churn") is None


def test_the_run_holds_params_metrics_by_cutoff_plots_and_nested_trials(client: MlflowClient, trained: Trained) -> None:
    run_id = trained.versions[0].run_id
    run = client.get_run(run_id)
    assert run.data.params["task.horizon"] == "30d"
    assert run.data.params["data_fingerprint"]
    assert {"auc", "auc_low", "auc_high", "gini", "coverage"} <= set(run.data.metrics)
    steps = {metric.step for metric in client.get_metric_history(run_id, "auc_by_cutoff")}
    assert steps == {int(f"{c:%Y%m%d}") for c in trained.learned.evaluation.metrics.cutoff}
    assert {f.path for f in client.list_artifacts(run_id, "plots")} == {
        "plots/calibration.png",
        "plots/deciles.png",
        "plots/lift.png",
    }
    nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    assert len(nested) == 4
    assert all("num_leaves" in trial.data.params for trial in nested)


def test_mlflow_scores_a_feature_table(client: MlflowClient, trained: Trained) -> None:
    model = mlflow.pyfunc.load_model("models:/shop-value@champion")
    truth = trained.learned.truth.features.to_pandas()
    said = model.predict(truth)
    bundle = trained.learned.value
    assert bundle is not None
    for name, numbers in bundle.predict(truth).items():
        np.testing.assert_array_equal(said[name].to_numpy(), numbers)
    assert model.metadata.signature is not None
    assert set(model.metadata.signature.inputs.input_names()) == set(bundle.features)
    assert model.input_example is not None
    assert len(model.input_example) == 1


def test_the_model_loads_in_a_process_that_does_not_have_us(
    client: MlflowClient, trained: Trained, tmp_path: Path
) -> None:
    path = mlflow.artifacts.download_artifacts("models:/shop-churn@champion", dst_path=str(tmp_path / "model"))
    trained.learned.truth.features.to_pandas().to_parquet(tmp_path / "features.parquet")
    script = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' in p or 'lib/python' in p]\n"
        "sys.modules['features'] = sys.modules['training'] = sys.modules['serving'] = None\n"
        "import mlflow, pandas as pd\n"
        f"said = mlflow.pyfunc.load_model({path!r}).predict(pd.read_parquet({str(tmp_path / 'features.parquet')!r}))\n"
        f"said.to_parquet({str(tmp_path / 'said.parquet')!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    said = pd.read_parquet(tmp_path / "said.parquet")["churn_probability"]
    expected = trained.learned.churn.predict(trained.learned.truth.features)["churn_probability"]
    np.testing.assert_array_equal(said.to_numpy(), expected)


def test_no_pickle_and_no_customer_in_what_is_registered(
    client: MlflowClient, trained: Trained, tmp_path: Path
) -> None:
    path = Path(mlflow.artifacts.download_artifacts("models:/shop-value@champion", dst_path=str(tmp_path / "model")))
    files = [file for file in path.rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in {".pkl", ".pickle", ".joblib"}]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert not [customer for customer in trained.learned.truth.customers.to_pylist() if customer in text]


def test_the_same_training_registers_nothing_new(shop: Config, trained: Trained) -> None:
    again = train(shop)
    assert [v.label for v in again.versions] == [v.label for v in trained.versions]
    assert not any(v.new for v in again.versions)
