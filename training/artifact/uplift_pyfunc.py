"""The code that MLflow runs to load a registered uplift model, with the modules that the model carries.

MLflow executes this file from the artefact (models from code); our own code never imports it.
"""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

CODE = (
    "model_files",
    "effect_modifiers",
    "hierarchical_effects",
    "score_parts",
    "uplift_bundle",
)  # each after those that it imports


class UpliftModel(PythonModel):
    """Predicts effect and standard error of every action on every outcome from a feature table."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the bundle beside this model.

        Raises:
            FileNotFoundError: A carried module is missing.
            ValueError: A file of the bundle is missing, or differs from what was written.
        """
        folder = Path(context.artifacts["bundle"])
        self.bundle = _load_modules(folder, CODE)["uplift_bundle"].UpliftBundle.load(folder)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Effects of a feature table.

        Args:
            context: MLflow's.
            model_input: Feature table (n rows) with the columns of the model's signature.
            params: Not used.

        Returns:
            The effect and its standard error of every action on every outcome (n rows).
        """
        return pd.DataFrame(self.bundle.predict(model_input), index=model_input.index)


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


mlflow.models.set_model(UpliftModel())
