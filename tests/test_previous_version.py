"""What the version before the packages wrote still works: its config, its models in MLflow, its outputs."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from mlflow.types import DataType

from features import definitions
from features.catalog import btyd
from features.catalog.btyd_shares import MADE_OF
from features.config.load import load_config
from features.task import Window
from regulars import cli
from training.registry.mlflow_tracking import connect_to_mlflow

ARCHIVE = Path(__file__).parent / "previous_version" / "business.tar.xz"
CUTOFF = "2024-01-20"


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the business, unpacked elsewhere than it was written."""
    place = tmp_path_factory.mktemp("previous")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    folder = place / "business"
    connect_to_mlflow(load_config(str(folder / "regulars.toml")))  # as every command does: it follows the move
    return folder


def regulars(folder: Path, *words: str, codes: tuple[int, ...] = (0,)) -> str:
    """The output of a command on the business's config."""
    result = CliRunner().invoke(cli, ["-c", str(folder / "regulars.toml"), *words])
    assert result.exit_code in codes, result.output
    return result.output


def scores(folder: Path) -> pa.Table:
    """The stored scores of the cutoff, without the segments, whose rules have changed since."""
    table = pq.read_table(folder / "output" / "scores" / f"cutoff={CUTOFF}", partitioning=None)
    return table.drop_columns("segment").sort_by("customer_id")


@pytest.fixture
def copied(business: Path, tmp_path: Path) -> Path:
    """A copy of the business; its MLflow store stays where it was."""
    folder = shutil.copytree(business, tmp_path / "business")
    text = (folder / "regulars.toml").read_text()
    uri = f"sqlite:///{business / 'mlflow.db'}"
    (folder / "regulars.toml").write_text(f'{text}\n[tracking]\nuri = "{uri}"\n')
    return folder


def test_its_champions_refuse_features_of_another_definition(copied: Path) -> None:
    customer = scores(copied)["customer_id"][0].as_py()
    for command in (("score",), ("explain", customer, "--no-what-if")):
        answer = regulars(copied, *command, "--cutoff", CUTOFF, codes=(2,))
        assert "simulated-churn/1 was trained with an earlier definition of orders_expected" in answer
        assert "run `regulars train` again" in answer


def test_its_champions_score_features_of_then_to_the_same_numbers(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "DEFINITIONS", {})
    monkeypatch.setattr(btyd, "history_length", lambda task: Window(36_500))  # BG/NBD then saw the whole log
    monkeypatch.setattr(btyd, "fitted_customers", lambda summaries, task: summaries)
    folder, before = copied, scores(copied)
    regulars(folder, "score", "--cutoff", CUTOFF, "--contributions")
    after = scores(folder)
    assert after.column_names == before.column_names
    for name in before.column_names:
        if name.endswith("_reasons"):  # they name behaviour now
            told = [{reason["feature"] for reason in row} for row in after[name].to_pylist()]
            assert all(told) and not set.union(*told) & MADE_OF.keys(), name
        elif pa.types.is_floating(before[name].type):
            np.testing.assert_allclose(after[name].to_numpy(), before[name].to_numpy(), rtol=1e-6, err_msg=name)
        else:
            assert after[name].equals(before[name]), name


def test_its_registered_models_predict_and_explain_alone(business: Path) -> None:
    store = f"sqlite:///{business / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    mlflow.set_registry_uri(store)  # another test may have set its own
    model = mlflow.pyfunc.load_model("models:/simulated-value@champion")
    columns = model.metadata.get_input_schema().inputs
    rows = pd.DataFrame({c.name: ["other"] * 3 if c.type == DataType.string else np.zeros(3) for c in columns})
    answer = model.predict(rows, params={"reasons": 2})
    assert {"churn_probability", "value", "churn_reasons"} <= set(answer.columns)
    assert all(len(reasons) == 2 for reasons in answer["value_reasons"])


def test_its_outputs_are_read_by_every_command(business: Path) -> None:
    regulars(business, "segments", "--cutoff", CUTOFF)
    regulars(business, "monitor", "--cutoff", CUTOFF, codes=(0, 1))
    regulars(business, "report", "--cutoff", CUTOFF)
    refused = regulars(business, "uplift", "--cutoff", CUTOFF, codes=(2,))
    assert "with an earlier definition of" in refused and "run `regulars train uplift` again" in refused


def test_its_plan_is_measured_again_to_the_same_groups_and_differences(business: Path) -> None:
    """Intervals, p-values and adjusted effects are those of today's method; differences of means stay."""
    file = business / "output" / "plans" / f"cutoff={CUTOFF}" / "retention" / "measured.json"
    before = json.loads(file.read_text())
    assert before["effects"] and "withheld" not in before  # what the report and the web page still read
    regulars(business, "measure", CUTOFF, codes=(0, 1))
    after = json.loads(file.read_text())
    assert after["sample_ratio"] == before["sample_ratio"] and after["customers"] == before["customers"]
    kept = ("outcome", "action", "treated", "held", "effect", "mean_treated", "mean_held")
    plain = [
        {
            (row["outcome"], row["action"]): [row[key] for key in kept[2:]]
            for row in facts["effects"]
            if (row["family"], row["estimator"]) == ("action", "plain")
        }
        for facts in (before, after)
    ]
    assert plain[1] and all(values == pytest.approx(plain[0][key]) for key, values in plain[1].items())
