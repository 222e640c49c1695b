"""Every notebook uses the public API only, is kept with its outputs, and runs from top to bottom in its short form.

The later ones use what the first has trained; each of them trains for itself if it finds nothing. To save new outputs,
run `REGULARS_DEMO=FOLDER jupyter execute --inplace NOTEBOOK` from the root of the checkout.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = {  # in the order in which they are read, with words that must be among what each one prints
    "train_and_judge.ipynb": "MLflow and score_customers predict the same",
    "score_and_explain.ipynb": "changes tried",
    "plan_and_measure.ipynb": "a SIMULATED experiment",
}


ROOMS = ("features", "training", "serving", "regulars", "benchmarks", "tests")
PUBLIC = {"features", "training", "training.uplift", "serving"}
MOST_IMPORTS, MOST_BYTES = 6, 1_200_000


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


def imports_of_ours(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, list[str]]]:
    """The module and the names of each import of ours; no names for `import MODULE`."""
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    lines = [line for line in source.splitlines() if not line.startswith("%")]  # no magic commands of IPython
    for node in ast.walk(ast.parse("\n".join(lines))):
        imported = [(alias.name, []) for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            imported = [(node.module or "", [alias.name for alias in node.names])]
        yield from ((module, names) for module, names in imported if module.split(".")[0] in ROOMS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_imports_documented_names_only(name: str) -> None:
    """At most six import lines of ours, from public packages, and docs/api.md has every name."""
    imported = list(imports_of_ours(read(name)))
    assert 0 < len(imported) <= MOST_IMPORTS
    assert {module for module, _ in imported} <= PUBLIC
    page = (FOLDER.parent / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(names for _, names in imported)
    assert [one for _, names in imported for one in names if f".{one}\n" not in page] == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_saved(name: str) -> None:
    """Every cell was run in order, without an error; the outputs have pictures, are small and name no folder."""
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    text = "".join(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert re.findall(r"/(?:work|tmp|root|home|Users)/", text) == []
    assert (FOLDER / name).stat().st_size < MOST_BYTES


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks keep data and models for each other."""
    return tmp_path_factory.mktemp("notebooks") / "demo"


@pytest.mark.long
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
