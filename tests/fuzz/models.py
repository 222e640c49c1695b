"""Target `models`: files of a fitted model, or of the MLflow store, spoiled, and then loaded.

A spoiled model is refused, or predicts what it predicted before; one with a forged digest is loaded or refused. No file
of a model is ever executed or unpickled, so what is tried is what the loader reads: text.
"""

from __future__ import annotations

import json
import shutil
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from features.errors import RegularsError
from tests.fuzz.command import Failure, leftovers, refusal_kind, run_command, unforeseen
from tests.fuzz.spoiled_files import changes, spoil
from tests.fuzz.target import Case, Target
from tests.fuzz.workspace import TRAINED_CUSTOMER, TRAINED_DAY, Workspace
from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin, Term
from training.artifact.model_files import INDEX, BundleError, digest_of
from training.artifact.spread import Spread
from training.models.churn import ChurnClassifier
from training.models.spend import SpendRegressor

FILES = (INDEX, INDEX, "gate-0.txt", "spend-0.txt")
COMMANDS = (("score", "--cutoff", TRAINED_DAY), ("explain", TRAINED_CUSTOMER, "--cutoff", TRAINED_DAY), ("report",),
("monitor",),
            ("rollback",), ("promote",), ("forget", TRAINED_CUSTOMER), ("train", "--log",
            "output/unlogged"))  # fmt: skip


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """Changes of a bundle; with a trained business, also of the store and of the logged models."""
    spoiled = st.fixed_dictionaries({"bundle": changes(FILES), "digest anew": st.just(False)})
    forged = st.fixed_dictionaries({"bundle": changes((INDEX,), how=("json",)), "digest anew": st.just(True)})
    bundles = st.one_of(spoiled, forged)
    if workspace.trained is None:
        return bundles
    stored = st.fixed_dictionaries(
        {"store": changes(_store_files(workspace.trained), 1), "command": st.sampled_from(COMMANDS)}
    )
    return st.one_of(bundles, bundles, stored)


def run(workspace: Workspace, case: Case) -> str:
    """Loads the spoiled bundle and predicts, or runs the command over the spoiled store."""
    return _run_bundle(workspace, case) if "bundle" in case else _run_store(workspace, case)


def _run_bundle(workspace: Workspace, case: Case) -> str:
    bundle, rows, expected = _model()
    with workspace.folder() as folder:
        bundle.save(folder)
        for change in case["bundle"]:
            spoil(folder, change, FILES)
        if case["digest anew"]:
            _digest_anew(folder / INDEX)
        try:
            loaded = ModelBundle.load(folder)
            if case["digest anew"]:
                return "accepted"  # a forged model may predict anything
            predicted = loaded.predict(rows)
        except BundleError as problem:
            _assert_readable(problem)
            return "refused"
        except Exception as problem:
            raise unforeseen(problem) from problem
        same = all(np.array_equal(predicted.get(name), numbers, equal_nan=True) for name, numbers in expected.items())
        if not same:
            raise Failure("a spoiled model predicts other numbers", f"{case}\n{loaded}", "bundle")
        return "accepted"


def _assert_readable(problem: BundleError) -> None:
    if not str(problem).strip():
        raise Failure("an empty message", repr(problem))


def _digest_anew(index: Path) -> None:
    """Writes the digest that a changed bundle.json would have."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        content.pop("digest", None)
        content["digest"] = digest_of(content)
        index.write_text(json.dumps(content), encoding="utf-8")
    except (OSError, ValueError, TypeError, AttributeError):  # it is no JSON object any more
        return


def _run_store(workspace: Workspace, case: Case) -> str:
    """Spoils the store in its place, since MLflow's paths are absolute, and puts it back afterwards."""
    trained = workspace.trained
    assert trained is not None
    backup = workspace.root / "backup"
    if not backup.exists():
        shutil.copytree(trained, backup, symlinks=True)
    try:
        for change in case["store"]:
            spoil(trained, change, _store_files(trained))
        outcome = run_command(trained, *case["command"])
        if left := leftovers(trained / "output"):
            raise Failure("half-written files", f"{left}\n{outcome.text}", case["command"][0])
        return f"{case['command'][0]}: {outcome.kind}"
    except RegularsError as problem:
        return refusal_kind(problem)
    finally:
        _forget_stores()
        shutil.rmtree(trained)
        shutil.copytree(backup, trained, symlinks=True)


def _forget_stores() -> None:
    """Closes MLflow's connections, which would go on with a database that is no longer there."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._model_registry import utils as models
    from mlflow.tracking._tracking_service import utils as tracking

    for engine in dict(getattr(SqlAlchemyStore, "_engine_map", {})).values():
        engine.dispose()
    getattr(SqlAlchemyStore, "_engine_map", {}).clear()
    for registry in (tracking._tracking_store_registry, models._model_registry_store_registry):
        for cached in vars(type(registry)).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()


@lru_cache(1)
def _store_files(trained: Path) -> tuple[str, ...]:
    """The database, and the files of the logged models."""
    logged = [path for path in sorted((trained / "mlartifacts").rglob("*")) if path.is_file()]
    names = [path.relative_to(trained).as_posix() for path in logged if "models" in path.parts]
    return tuple(["mlflow.db"] * (1 + len(names) // 4) + names)


@cache
def _model() -> tuple[ModelBundle, pa.Table, dict[str, np.ndarray]]:
    """A small value model, a feature table, and what it predicts for it."""
    rng = np.random.default_rng(0)
    rows = pa.table({f"f{i}": rng.normal(size=120) for i in range(3)})
    gate = ChurnClassifier(n_estimators=3).fit(rows, (rng.random(120) < 0.4).astype(float))
    spend = SpendRegressor(n_estimators=3).fit(rows, rng.gamma(2, 30, 120))
    given: dict[str, Any] = {
        "kind": "value",
        "name": "shop",
        "features": tuple(rows.column_names),
        "task": {"horizon": "30d"},
    }
    bundle = ModelBundle(
        **given,
        gate=Margin(0.1, (Term("f1", "log1p", 2.0, 0.3, 0.5),), (gate.booster_.model_to_string(),), (0.7,)),
        slope=0.8,
        spend=Margin(trees=(spend.booster_.model_to_string(),), weights=(0.5,)),
        spread=Spread(0.8, 0.8, (0.0, 0.5, 1.0), (1.0, 4.0), ((0.0, 1.0, 3.0), (0.5, 1.0, 2.0)), (1.5, 1.1), 0.1),
    )
    return bundle, rows, bundle.predict(rows)


TARGET = Target("models", cases, run, short=16)
