"""The code that MLflow runs to load a registered churn or value model, with the modules that the model carries.

MLflow executes this file from the artefact (models from code); our own code never imports it. Every file is checked
against the list that was written with the model. The carried modules are loaded under names of their own, so that
several versions can live in one process, each with its own code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.pyfunc import PythonModel, PythonModelContext

LIST = "files.json"
# Each after those that it imports:
CODE = ("model_files", "margin", "spread", "lifetime", "return_hazard", "bundle", "reasons", "phrases")


class RegularsModel(PythonModel):
    """Predicts score columns from a feature table; with the parameter `reasons` above 0 also adds that many reasons."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the bundle, the phrases, and the names of the columns that reasons need beside the features.

        Raises:
            ValueError: A file is missing, or differs from what was written.
        """
        folder = Path(context.artifacts["bundle"])
        _check(folder)
        code = _load_modules(folder, CODE)
        self.bundle = code["bundle"].ModelBundle.load(folder)
        self.reasons, self.phrases = code["reasons"], code["phrases"]
        words = json.loads((folder / "wording.json").read_text(encoding="utf-8"))
        self.wordings = [self.reasons.Wording(**words[name], name=name) for name in self.bundle.features]
        self.shares = json.loads((folder / "shares.json").read_text(encoding="utf-8"))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores of a feature table.

        Args:
            context: MLflow's.
            model_input: Feature table (n rows) with the columns of the model's signature.
            params: `reasons`: how many reasons to give for each predicted number; 0 by default.

        Returns:
            Score columns (n rows); with reasons also `churn_reasons` and, for a value model, `value_reasons`: lists of
            feature, phrase, reading and contribution.

        Raises:
            ValueError: `reasons` is below 0, or a column is missing or of another type. Reasons need the shares that
                stand beside the features.
        """
        count = int((params or {}).get("reasons", 0))
        if count < 0:
            raise ValueError(f"reasons: expected how many are wanted, 0 or more, found {count}")
        columns = {name: _with_nulls(values) for name, values in self.bundle.predict(model_input).items()}
        scores = pd.DataFrame(columns, index=model_input.index)
        if count:
            if missing := [name for name in self.shares if name not in model_input.columns]:
                raise ValueError(
                    f"reasons: expected the column {missing[0]!r} beside the features; send rows as `regulars build` "
                    "writes them, or ask for no reasons"
                )
            rows = pa.Table.from_pandas(model_input[[*self.bundle.features, *self.shares]], preserve_index=False)
            for name, amounts in self.reasons.feature_contributions(self.bundle, rows).items():
                chosen = self.reasons.largest_reasons(amounts, rows, self.wordings, count, self.phrases.format_reading)
                scores[f"{name}_reasons"] = chosen
        return scores


def _with_nulls(values: np.ndarray) -> np.ndarray:
    """Numbers (n,) with None for those that are not known, because JSON has no NaN."""
    known = np.isfinite(values)
    if known.all():
        return values
    numbers = values.astype(object)
    numbers[~known] = None
    return numbers


def _check(folder: Path) -> None:
    """Raises ValueError if a file is missing, was added or differs from the list."""
    try:
        listed = dict(json.loads((folder / LIST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise ValueError(f"{folder} is not a model of regulars: {problem}") from None
    for name in sorted(listed.keys() | {path.name for path in folder.iterdir() if path.suffix == ".py"}):
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing: the model is not whole; fetch it again, or register it again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != listed.get(name):
            raise ValueError(f"{path} is not the file that was written: its checksum differs; register the model again")


def _load_modules(folder: Path, names: tuple[str, ...]) -> dict[str, ModuleType]:
    """Loads Python files as modules of a new package, which no other code can import by name."""
    package = f"regulars_model_{uuid.uuid4().hex}"
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = []  # nothing else is ever found in it
    modules = {}
    for name in names:
        spec = importlib.util.spec_from_file_location(f"{package}.{name}", folder / f"{name}.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder / name}.py cannot be run")
        modules[name] = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules


mlflow.models.set_model(RegularsModel())
