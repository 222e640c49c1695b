"""A registered model in other hands: several versions in one process, over HTTP, on Spark, and when it was changed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.config.load import Config
from features.engines.base import Engine
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation import contributions
from training.registry import models
from training.train import TrainingRun

pytestmark = [pytest.mark.slow]
PATIENCE = 90  # seconds that a server may take to answer


@pytest.fixture(scope="module")
def model(shop: Config, trained: TrainingRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The champion for value as a folder."""
    models.connect_to_mlflow(shop)
    folder = tmp_path_factory.mktemp("model")
    return Path(mlflow.artifacts.download_artifacts("models:/shop-value@champion", dst_path=str(folder)))


@pytest.fixture(scope="module")
def snapshots(shop: Config, trained: TrainingRun) -> Snapshots:
    """The cohort of the newest cutoff."""
    return build_snapshots(shop, [trained.newest], with_labels=False)


@pytest.fixture(scope="module")
def customers(snapshots: Snapshots) -> pd.DataFrame:
    """Features and shares of customers, as `regulars build` writes them, nulls among them."""
    sample = snapshots.rows.slice(0, 30).drop_columns(["customer_id", "cutoff"]).to_pandas()
    assert sample.isna().any(axis=None)
    return sample


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed: the folder of its bundle."""
    for file in model.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = tmp_path / "copy" / file.relative_to(model)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return tmp_path / "copy" / "artifacts" / "bundle"


def load(bundle: Path) -> Any:
    """The model that a bundle's folder belongs to."""
    return mlflow.pyfunc.load_model(str(bundle.parent.parent))


def test_two_versions_in_one_process_use_their_own_code(model: Path, copied: Path, customers: pd.DataFrame) -> None:
    code = copied / "bundle.py"
    changed = code.read_text().replace("churn = 1 / (1 + np.exp(-log_odds))", "churn = 0.25 + 0 * log_odds")
    assert changed != code.read_text()
    code.write_text(changed)
    listed = json.loads((copied / "files.json").read_text())
    listed["bundle.py"] = hashlib.sha256(code.read_bytes()).hexdigest()
    (copied / "files.json").write_text(json.dumps(listed))
    one, other = mlflow.pyfunc.load_model(str(model)), load(copied)
    before = one.predict(customers)
    assert set(other.predict(customers)["churn_probability"]) == {0.25}
    pd.testing.assert_frame_equal(one.predict(customers), before)
    assert before["churn_probability"].nunique() > 10


@pytest.mark.parametrize("name", ["bundle.py", "wording.json", "gate-0.txt", "phrases.py"])
def test_a_file_that_was_changed_is_refused(copied: Path, name: str) -> None:
    (copied / name).write_text((copied / name).read_text() + "\n")
    with pytest.raises(Exception, match=f"{name} is not the file that was written: its checksum differs"):
        load(copied)


def test_a_file_that_is_missing_and_one_that_was_added_are_refused(copied: Path) -> None:
    (copied / "numpy.py").write_text("")
    with pytest.raises(Exception, match=r"numpy.py is not the file that was written"):
        load(copied)
    (copied / "numpy.py").unlink()
    (copied / "wording.json").unlink()
    with pytest.raises(Exception, match=r"wording.json is missing: the model is not whole"):
        load(copied)
    (copied / "files.json").unlink()
    with pytest.raises(Exception, match="is not a model of regulars"):
        load(copied)


def test_a_wish_that_cannot_be_is_refused(model: Path, customers: pd.DataFrame) -> None:
    with pytest.raises(Exception, match="reasons: expected how many are wanted, 0 or more, found -1"):
        mlflow.pyfunc.load_model(str(model)).predict(customers, params={"reasons": -1})


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[str]:
    """`mlflow models serve` on the loopback: the address that it answers at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["models", "serve", "-m", str(model), "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    programs = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=programs,
            start_new_session=True,
        )
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while not _answers(f"{address}/ping"):
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        _end(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own loopback)
            return bool(answer.status == 200)
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a server and the workers that it started, which share its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)


def _asked(server: str, question: dict[str, Any]) -> tuple[int, Any]:
    """Status and answer of a question to the scorer."""
    request = urllib.request.Request(  # noqa: S310 (our own loopback)
        f"{server}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        return problem.code, json.load(problem)


def test_a_single_customer_is_scored_over_http_with_reasons(
    server: str, customers: pd.DataFrame, snapshots: Snapshots, trained: TrainingRun
) -> None:
    one = customers.iloc[[0]].astype(object).where(customers.iloc[[0]].notna(), None)
    split = {"columns": list(one.columns), "data": one.to_numpy().tolist()}
    status, answer = _asked(server, {"dataframe_split": split, "params": {"reasons": 3}})
    assert status == 200
    (row,) = answer["predictions"]
    bundle = trained.fitted.value
    assert bundle is not None
    for name, numbers in bundle.predict(customers).items():
        assert row[name] == (None if np.isnan(numbers[0]) else pytest.approx(numbers[0], rel=1e-12)), name
    first = snapshots.rows.slice(0, 1)
    parts = contributions.compute_contributions(bundle, first)
    for name, part in parts.items():
        reasons = row[f"{name}_reasons"]
        assert len(reasons) == 3 and all(reason["phrase"] and reason["reading"] for reason in reasons)
        (expected,) = contributions.top_reasons(part, first, snapshots.features, 3)
        assert [r["feature"] for r in reasons] == [r["feature"] for r in expected]
        assert [r["contribution"] for r in reasons] == pytest.approx([r["contribution"] for r in expected], abs=1e-9)
    status, answer = _asked(server, {"dataframe_split": split})
    assert status == 200 and "churn_reasons" not in answer["predictions"][0]
    status, answer = _asked(server, {"dataframe_split": {"columns": ["recency_days"], "data": [[3.0]]}})
    assert status == 400 and "missing inputs" in answer["message"]


@pytest.mark.xdist_group("spark")
def test_spark_udf_gives_the_same_numbers(
    spark: Engine, model: Path, customers: pd.DataFrame, trained: TrainingRun, tmp_path: Path
) -> None:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    session = SparkSession.getActiveSession()
    assert session is not None
    customers.assign(place=range(len(customers))).to_parquet(tmp_path / "rows.parquet")
    rows = session.read.parquet(str(tmp_path / "rows.parquet")).repartition(2)
    score = mlflow.pyfunc.spark_udf(session, str(model), env_manager="local")
    predicted = rows.withColumn("said", score(F.struct("*"))).select("place", "said.*").toPandas()
    bundle = trained.fitted.value
    assert bundle is not None
    for name, numbers in bundle.predict(customers).items():
        np.testing.assert_allclose(predicted.sort_values("place")[name], numbers, rtol=1e-9)
