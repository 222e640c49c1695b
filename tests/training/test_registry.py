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
from features.errors import RefusedError, UsageError
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


@pytest.fixture
def bare(shop: Config, tmp_path: Path) -> Config:
    """A business without a model, in the shop's store."""
    return shop.model_copy(update={"name": tmp_path.name})


def _version(config: Config, kind: str, gate: str) -> registry.Registered:
    """Registers a version without a model, as far as aliases go."""
    client, name = registry.connect(config), f"{config.name}-{kind}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, f"file:{config.folder}", tags={registry.GATE: gate})
    client.set_registered_model_alias(name, registry.CHALLENGER, made.version)
    return registry.Registered(name, str(made.version), "", new=True)


def _labels(config: Config, churn: str, value: str) -> dict[str, str]:
    return {"churn": f"{config.name}-churn/{churn}", "value": f"{config.name}-value/{value}"}


def _crowned(config: Config, *gates: str) -> None:
    for gate in gates:
        registry.crown(config, tuple(_version(config, kind, gate) for kind in ("churn", "value")))


def _now(config: Config) -> dict[str, str]:
    client, found = registry.connect(config), {}
    for kind in ("churn", "value"):
        version = registry._aliased(client, f"{config.name}-{kind}", registry.ALIAS)
        found |= {} if version is None else {kind: str(version.version)}
    return found


def test_rollback_goes_back_again_and_again_both_together(bare: Config) -> None:
    with pytest.raises(UsageError, match="nothing to go back to: no model"):
        registry.rollback(bare)
    _crowned(bare, "a", "b", "c")
    assert _now(bare) == {"churn": "3", "value": "3"}
    moved = registry.rollback(bare)
    assert moved.before == _labels(bare, "3", "3")
    assert moved.after == _labels(bare, "2", "2")
    registry.rollback(bare)
    assert _now(bare) == {"churn": "1", "value": "1"}
    with pytest.raises(UsageError, match="nothing to go back to: .*-churn/1, .*-value/1 is champion"):
        registry.rollback(bare)
    _crowned(bare, "d")
    registry.rollback(bare)
    assert _now(bare) == {"churn": "1", "value": "1"}, "what was rolled back from is not gone back to"


def test_rollback_of_a_state_in_which_one_model_had_not_changed(bare: Config) -> None:
    _crowned(bare, "a")
    registry.crown(bare, (_version(bare, "value", "a"),))
    assert _now(bare) == {"churn": "1", "value": "2"}
    registry.rollback(bare)
    assert _now(bare) == {"churn": "1", "value": "1"}


def test_churn_and_value_with_other_gates_are_never_champions_together(bare: Config) -> None:
    _crowned(bare, "a", "b")
    with pytest.raises(RefusedError, match="-churn/1 and .*-value/2 do not share one gate"):
        registry.rollback(bare, "churn")
    alone = _version(bare, "churn", "c")
    with pytest.raises(RefusedError, match="do not share one gate"):
        registry.promote(bare, "churn")
    with pytest.raises(RefusedError, match="do not share one gate"):
        registry.crown(bare, (alone,))
    assert _now(bare) == {"churn": "2", "value": "2"}
    registry.crown(bare, (_version(bare, "value", "b"),))
    registry.rollback(bare, "value")
    assert _now(bare) == {"churn": "2", "value": "2"}


def test_promotion_by_hand_takes_the_challengers_and_can_be_rolled_back(bare: Config) -> None:
    _crowned(bare, "a")
    with pytest.raises(UsageError, match="has no challenger"):
        registry.promote(bare)
    for kind in ("churn", "value"):
        _version(bare, kind, "b")
    moved = registry.promote(bare)
    assert moved.after == _labels(bare, "2", "2")
    client = registry.connect(bare)
    assert registry._aliased(client, f"{bare.name}-churn", registry.CHALLENGER) is None
    registry.rollback(bare)
    assert _now(bare) == {"churn": "1", "value": "1"}


def test_an_alias_that_another_hand_moved_is_gone_back_to_and_a_deleted_version_is_not(bare: Config) -> None:
    _crowned(bare, "a", "b")
    client = registry.connect(bare)
    for kind in ("churn", "value"):
        other = _version(bare, kind, "c")
        client.set_registered_model_alias(other.name, registry.ALIAS, other.version)
    _crowned(bare, "d")
    registry.rollback(bare)
    assert _now(bare) == {"churn": "3", "value": "3"}
    client.delete_model_version(f"{bare.name}-churn", "2")
    registry.rollback(bare)
    assert _now(bare) == {"churn": "1", "value": "1"}
