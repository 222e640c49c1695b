"""The code that MLflow runs to load a registered model: it reads the bundle with the bundle's own code.

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


class RegularsModel(PythonModel):
    """Feature table in, score columns out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the bundle beside this model, by the code it was written with, under a name of its own."""
        folder = Path(context.artifacts["bundle"])
        name = f"regulars_bundle_{uuid.uuid4().hex}"
        spec = importlib.util.spec_from_file_location(name, folder / "bundle.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder / 'bundle.py'} is not there: the model is not whole")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        self.bundle = module.ModelBundle.load(folder)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores (n rows) of a feature table (n rows)."""
        return pd.DataFrame(self.bundle.predict(model_input), index=model_input.index)


mlflow.models.set_model(RegularsModel())
