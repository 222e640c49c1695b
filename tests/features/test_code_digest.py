"""A stored result stays valid exactly as long as the code that it depends on is unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.code_digest import PROJECT_ROOT, TOP_PACKAGES, digest_code, find_dependencies

SCORES, FEATURES = "serving.scoring.run", "features.snapshots.build"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the rooms' Python files."""
    house = tmp_path_factory.mktemp("house")
    for room in TOP_PACKAGES:
        shutil.copytree(
            PROJECT_ROOT / room, house / room, ignore=lambda _, names: {n for n in names if n == "__pycache__"}
        )
    return house


@pytest.mark.parametrize(
    ("path", "rebuilt", "rescored"),
    [
        ("features/catalog/trends.py", True, True),  # a family of features
        ("features/engines/duckdb.py", True, True),  # an engine
        ("features/point_in_time/history.py", True, True),  # point in time
        ("features/simulation/simulate.py", False, False),
        ("training/models/calibration.py", False, True),  # a part of the model
        ("serving/explanation/treeshap_kernels.py", False, True),  # reasons
        ("serving/report/text.py", False, False),
        ("serving/web/routes.py", False, False),
        ("serving/monitoring/alerts.py", False, False),
    ],
)
def test_a_touched_module_rebuilds_what_depends_on_it(copy: Path, path: str, rebuilt: bool, rescored: bool) -> None:
    digest_code.cache_clear()
    before = digest_code(FEATURES, root=copy), digest_code(SCORES, root=copy)
    file = copy / path
    content = file.read_text(encoding="utf-8")
    file.write_text(content + "\n# touched\n", encoding="utf-8")
    digest_code.cache_clear()
    after = digest_code(FEATURES, root=copy), digest_code(SCORES, root=copy)
    file.write_text(content, encoding="utf-8")
    assert (before[0] != after[0], before[1] != after[1]) == (rebuilt, rescored)


def test_a_moved_module_counts_as_changed(tmp_path: Path) -> None:
    for name, imports in (("one", "import features.low.part"), ("two", "from features.high import part")):
        package = tmp_path / name / "features" / ("low" if name == "one" else "high")
        package.mkdir(parents=True)
        (package / "part.py").write_text("X = 1\n")
        (package / "__init__.py").write_text("")
        (tmp_path / name / "features" / "__init__.py").write_text("")
        (tmp_path / name / "features" / "entry.py").write_text(f"def f():\n    {imports}\n")
    one, two = (digest_code("features.entry", root=tmp_path / name) for name in ("one", "two"))
    assert one != two


def test_imports_inside_functions_and_packages_are_followed(tmp_path: Path) -> None:
    package = tmp_path / "features" / "deep"
    package.mkdir(parents=True)
    for folder in (tmp_path / "features", package):
        (folder / "__init__.py").write_text("")
    (package / "leaf.py").write_text("import json\n")
    (tmp_path / "features" / "entry.py").write_text("def f():\n    from features.deep import leaf\n")
    (tmp_path / "features" / "other.py").write_text("")
    places = {path.relative_to(tmp_path).as_posix() for path in find_dependencies(["features.entry"], tmp_path)}
    assert places == {
        "features/__init__.py", "features/entry.py", "features/deep/__init__.py", "features/deep/leaf.py",
    }  # fmt: skip


def test_imports_for_type_checking_only_do_not_count(tmp_path: Path) -> None:
    package = tmp_path / "features"
    package.mkdir()
    lines = ("from typing import TYPE_CHECKING", "if TYPE_CHECKING:", "    from features import unused")
    text = "\n".join((*lines, "from features import used"))
    for name, content in (("__init__", ""), ("entry", text), ("unused", ""), ("used", "")):
        (package / f"{name}.py").write_text(content, encoding="utf-8")
    assert {path.stem for path in find_dependencies(["features.entry"], tmp_path)} == {"__init__", "entry", "used"}


def test_an_entry_that_is_no_module_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="features.nowhere"):
        digest_code("features.nowhere", root=tmp_path)


def test_relative_imports_are_followed(tmp_path: Path) -> None:
    package = tmp_path / "training" / "artifact"
    package.mkdir(parents=True)
    for file, text in (("entry", "from .margin import X\n"), ("margin", "from . import trees\n"), ("trees", "")):
        (package / f"{file}.py").write_text(text)
    files = find_dependencies(["training.artifact.entry"], tmp_path)
    assert {path.stem for path in files} == {"entry", "margin", "trees"}
