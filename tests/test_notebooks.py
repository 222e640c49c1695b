"""Every notebook runs from top to bottom on its short form, and is kept without outputs.

They run in the order in which they are read, and the later ones use what the first has trained; each of them trains for
itself where it finds nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = {  # in the order in which they are read, with words that must be among what each one prints
    "train_and_judge.ipynb": "MLflow's model and ours say the same",
    "score_and_explain.ipynb": "ours is",
    "plan_and_measure.ipynb": "a SIMULATED experiment",
}


class _ThisPython(KernelSpecManager):
    """One kernel, of the interpreter that runs the tests, whatever kernels a machine has registered."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
        )


def read(name: str) -> nbformat.NotebookNode:
    """A notebook of the folder, checked against its format."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_all_are_tested() -> None:
    assert sorted(NOTEBOOKS) == sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_without_outputs(name: str) -> None:
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [place for place, cell in enumerate(code) if cell.outputs or cell.execution_count is not None] == []


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks keep data and models for each other."""
    return tmp_path_factory.mktemp("notebooks") / "demo"


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(name: str, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))  # the code beside them, from wherever the tests are started
    monkeypatch.setenv("REGULARS_SHORT", "1")
    monkeypatch.setenv("REGULARS_DEMO", str(demo_folder))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for variable in ("MLFLOW_TRACKING_URI", "REGULARS_HILLSTROM", "MPLBACKEND"):  # the kernel shows pictures inline
        monkeypatch.delenv(variable, raising=False)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_ThisPython())
    resources = {"metadata": {"path": str(tmp_path)}}
    done = NotebookClient(read(name), km=manager, timeout=600, resources=resources).execute()
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    noise = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert noise == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    shown = "".join(output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in outputs)
    assert NOTEBOOKS[name] in shown
