"""Content of MLflow after a training, and that models load without this project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from features.catalog.btyd_shares import MADE_OF
from features.config.load import Config
from features.errors import DataError
from features.snapshots.build import build_snapshots
from serving.explanation import contributions
from training.registry import models as registry
from training.train import TrainingRun, train_models


@pytest.fixture
def client(shop: Config, trained: TrainingRun) -> MlflowClient:
    """MLflow as the training left it."""
    return registry.connect_to_mlflow(shop)


def test_both_models_are_champions(client: MlflowClient, shop: Config, trained: TrainingRun) -> None:
    for kind in ("churn", "value"):
        champion = registry.load_champion(shop, kind)
        assert champion is not None
        assert champion.bundle == getattr(trained.fitted, kind)
        assert champion.version.label == f"shop-{kind}/1"


def test_a_business_without_models_has_no_champion(tmp_path: Path, make_config) -> None:  # type: ignore[no-untyped-def]
    assert registry.load_champion(make_config(), "churn") is None


def test_the_run_holds_params_metrics_by_cutoff_plots_and_nested_trials(
    client: MlflowClient, trained: TrainingRun
) -> None:
    run_id = trained.versions[0].run_id
    run = client.get_run(run_id)
    assert run.data.params["task.horizon"] == "30d"
    assert run.data.params["data_fingerprint"]
    assert {"auc", "auc_low", "auc_high", "gini", "coverage"} <= set(run.data.metrics)
    steps = {metric.step for metric in client.get_metric_history(run_id, "auc_by_cutoff")}
    assert steps == {int(f"{c:%Y%m%d}") for c in trained.fitted.evaluation.metrics.cutoff}
    drawn = {f.path for f in client.list_artifacts(run_id, "plots")}
    names = ("calibration", "deciles", "importance", "lift", "precision_recall", "roc", "shap")
    assert drawn == {f"plots/{name}.png" for name in names}
    assert len(run.data.metrics) <= 25 and not any("np.float" in text for text in run.data.params.values())
    nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    assert len(nested) == 4
    assert all("num_leaves" in trial.data.params for trial in nested)


def test_mlflow_scores_a_feature_table(client: MlflowClient, trained: TrainingRun) -> None:
    model = mlflow.pyfunc.load_model("models:/shop-value@champion")
    truth = trained.fitted.truth.features.to_pandas()
    predicted = model.predict(truth)
    bundle = trained.fitted.value
    assert bundle is not None
    for name, numbers in bundle.predict(truth).items():
        np.testing.assert_array_equal(predicted[name].to_numpy(float, na_value=np.nan), numbers)
    assert model.metadata.signature is not None
    assert model.metadata.signature.inputs.required_input_names() == list(bundle.features)
    optional = model.metadata.signature.inputs.optional_input_names()
    assert len(optional) == 15 and {name.split(":")[0] for name in optional} == MADE_OF.keys()
    assert model.input_example is not None
    assert len(model.input_example) == 1


def test_the_model_scores_and_says_why_in_a_process_that_does_not_have_us(
    client: MlflowClient, shop: Config, trained: TrainingRun, tmp_path: Path
) -> None:
    path = mlflow.artifacts.download_artifacts("models:/shop-value@champion", dst_path=str(tmp_path / "model"))
    snapshots = build_snapshots(shop, [trained.newest], with_labels=False)
    truth = snapshots.rows.slice(0, 20)
    truth.to_pandas().to_parquet(tmp_path / "features.parquet")
    script = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' in p or 'lib/python' in p]\n"
        "sys.modules['features'] = sys.modules['training'] = sys.modules['serving'] = None\n"
        "import mlflow, pandas as pd\n"
        f"rows = pd.read_parquet({str(tmp_path / 'features.parquet')!r})\n"
        f"predicted = mlflow.pyfunc.load_model({path!r}).predict(rows, params={{'reasons': 2}})\n"
        f"predicted.to_parquet({str(tmp_path / 'predicted.parquet')!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    predicted, bundle = pq.read_table(tmp_path / "predicted.parquet"), trained.fitted.value
    assert bundle is not None
    for name, numbers in bundle.predict(truth).items():
        np.testing.assert_array_equal(np.array(predicted[name].to_pylist(), dtype=float), numbers)
    reasons = [reason for row in predicted["churn_reasons"].to_pylist() for reason in row]
    assert len(reasons) == 40
    assert {reason["feature"] for reason in reasons} <= set(bundle.features)
    assert all(reason["reading"] and "{" not in reason["reading"] for reason in reasons)
    parts = contributions.compute_contributions(bundle, truth)
    for kind in ("churn", "value"):
        expected = contributions.top_reasons(parts[kind], truth, snapshots.features, 2)
        for mine, theirs in zip(predicted[f"{kind}_reasons"].to_pylist(), expected, strict=True):
            assert [r["reading"] for r in mine] == [r["reading"] for r in theirs]
            assert [r["contribution"] for r in mine] == pytest.approx([r["contribution"] for r in theirs], abs=1e-9)
    with pytest.raises(ValueError, match="reasons: expected the column 'orders_expected:recency_days' beside"):
        mlflow.pyfunc.load_model(path).predict(truth.select(snapshots.names).to_pandas(), params={"reasons": 2})


def test_no_pickle_and_no_customer_in_what_is_registered_or_logged(
    client: MlflowClient, trained: TrainingRun, shop: Config, tmp_path: Path
) -> None:
    for kind in ("churn", "value"):
        mlflow.artifacts.download_artifacts(f"models:/shop-{kind}@champion", dst_path=str(tmp_path / kind))
    mlflow.artifacts.download_artifacts(run_id=trained.versions[0].run_id, dst_path=str(tmp_path / "run"))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in {".pkl", ".pickle", ".joblib", ".npy", ".parquet", ".pyc"}]
    models = [file for file in files if "run" not in file.relative_to(tmp_path).parts]
    assert {"bundle.json", "files.json", "wording.json", "bundle.py", "gate-0.txt", "MLmodel"} <= {
        f.name for f in models
    }
    text = "".join(file.read_text(encoding="utf-8") for file in models)
    text += "".join(file.read_bytes().decode("latin-1") for file in files if file not in models)
    log = pq.read_table(shop.folder / "log.parquet")
    known = set(log["customer"].to_pylist())
    assert len(known) == 250 and {len(customer) for customer in known} == {13}
    assert not known & set(re.findall(r"customer-\d{4}", text))
    long = {order for order in log["order"].to_pylist() if len(order) > 6}  # shorter ones stand in any picture's bytes
    assert len(long) > 1_000
    assert not long & set(re.findall(r"(?<![\w.+-])\d+-\d+(?![\w.-])", text))


def test_a_model_of_others_is_refused(client: MlflowClient, shop: Config, trained: TrainingRun) -> None:
    version = client.get_model_version_by_alias("shop-value", "champion")
    client.create_registered_model("foreign-churn")
    client.create_model_version("foreign-churn", version.source, tags={})
    client.set_registered_model_alias("foreign-churn", "champion", "1")
    with pytest.raises(DataError, match="foreign-churn version 1 is the value model of 'shop'; expected a churn model"):
        registry.load_champion(shop.model_copy(update={"name": "foreign"}), "churn")


def test_a_model_of_another_sort_is_refused(client: MlflowClient, shop: Config, trained: TrainingRun) -> None:
    (client_folder := shop.folder / "stranger").mkdir()
    (client_folder / "model.py").write_text(
        "import mlflow\n"
        "class M(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input\n"
        "mlflow.models.set_model(M())\n"
    )
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(client_folder / "model.py"),
            registered_model_name="stranger-churn",
            pip_requirements=[],
        )
    client.set_registered_model_alias("stranger-churn", "champion", "1")
    with pytest.raises(DataError, match="stranger-churn version 1: .* is not a model of regulars"):
        registry.load_champion(shop.model_copy(update={"name": "stranger"}), "churn")


def test_the_same_training_registers_nothing_new(shop: Config, trained: TrainingRun) -> None:
    again = train_models(shop)
    assert [v.label for v in again.versions] == [v.label for v in trained.versions]
    assert not any(v.new for v in again.versions)
