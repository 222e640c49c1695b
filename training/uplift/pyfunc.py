"""The code that MLflow runs to load a registered uplift model: it reads the bundle with the code beside it.

Executed by MLflow from the artefact (models from code), never imported by ours.
"""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class UpliftModel(PythonModel):
    """Feature table in; effect and standard error of every action on every outcome out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the bundle beside this model, by the code it was written with, under a name of its own.

        Raises:
            ImportError: That code is not there.
            ValueError: A file of the bundle is missing, or not the one that was written.
        """
        folder = Path(context.artifacts["bundle"])
        name = f"regulars_uplift_{uuid.uuid4().hex}"
        spec = importlib.util.spec_from_file_location(name, folder / "bundle.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder / 'bundle.py'} is not there: the model is not whole")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up while it runs
        spec.loader.exec_module(module)
        self.bundle = module.UpliftBundle.load(folder)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Effects (n rows) of a feature table (n rows)."""
        return pd.DataFrame(self.bundle.predict(model_input), index=model_input.index)


mlflow.models.set_model(UpliftModel())
