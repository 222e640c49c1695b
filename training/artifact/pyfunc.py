"""The code that MLflow runs to load a registered model: it reads the bundle with the code that the bundle carries.

Executed by MLflow from the artefact (models from code), never imported by ours. Every file that it runs or reads is
checked against the list that was written with them, and runs as a module of a name of its own, so that several
versions live in one process, each with its own code.
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
import pandas as pd
import pyarrow as pa
from mlflow.pyfunc import PythonModel, PythonModelContext

LIST = "files.json"


class RegularsModel(PythonModel):
    """Feature table in, score columns out; with the parameter `reasons` above 0 also so many reasons of each number."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the bundle and the words beside this model.

        Raises:
            ValueError: A file is missing, or not the one that was written.
        """
        folder = Path(context.artifacts["bundle"])
        _check(folder)
        bundle_code, self.why, self.phrases = (_module(folder / f"{n}.py") for n in ("bundle", "reasons", "phrases"))
        self.bundle = bundle_code.ModelBundle.load(folder)
        words = json.loads((folder / "wording.json").read_text(encoding="utf-8"))
        self.wordings = [self.why.Wording(**words[name], name=name) for name in self.bundle.features]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores (n rows) of a feature table (n rows).

        Args:
            context: MLflow's.
            model_input: The columns of the model's signature.
            params: `reasons`: how many of them for each number, as `churn_reasons` and `value_reasons`: lists of
                feature, phrase, reading and contribution.

        Raises:
            ValueError: `reasons` is below 0, or a column is missing or of another type.
        """
        count = int((params or {}).get("reasons", 0))
        if count < 0:
            raise ValueError(f"reasons: expected how many are wanted, 0 or more, found {count}")
        said = pd.DataFrame(self.bundle.predict(model_input), index=model_input.index)
        if count:
            rows = pa.Table.from_pandas(model_input[list(self.bundle.features)], preserve_index=False)
            for name, amounts in self.why.contributions(self.bundle, rows).items():
                said[f"{name}_reasons"] = self.why.reasons(
                    amounts, rows, self.wordings, count, self.phrases.format_reading
                )
        return said


def _check(folder: Path) -> None:
    """Refuses a folder whose files are not those of its list."""
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


def _module(path: Path) -> ModuleType:
    """A file as a module that nobody else can import by name."""
    name = f"regulars_{path.stem}_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be run")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    spec.loader.exec_module(module)
    return module


mlflow.models.set_model(RegularsModel())
