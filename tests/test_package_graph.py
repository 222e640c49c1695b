"""The house: an acyclic graph of packages with only the listed arrows, small modules and functions, names used once."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.package_graph import (
    PICTURE,
    ROOMS,
    ROOT,
    circle,
    file_graph,
    modules,
    package_graph,
    package_of,
    packages,
    picture,
)

MOST_MODULES, MOST_IN_CATALOG = 16, 20
MOST_LINES_OF_MODULE, MOST_LINES_OF_FUNCTION = 400, 40
VAGUE = {"found", "said", "told", "made", "held", "heard", "came", "whole", "apart"}
MOST_VAGUE = 150  # of these names, as variables, arguments or functions


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yields the path and the syntax tree of every module of ours."""
    for path in modules().values():
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether Numba compiles a function: such loops may be long."""
    return any(
        "jit" in ast.unparse(decorator) or "kernel" in ast.unparse(decorator) for decorator in function.decorator_list
    )


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if is_text else 0)


def test_no_files_import_in_circles() -> None:
    assert circle(file_graph()) == []


def test_the_graph_of_packages_has_no_circle() -> None:
    assert circle(package_graph()) == []


def test_the_picture_in_the_docs_is_the_graph() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "run `python -m tests.package_graph`"


@pytest.mark.parametrize("package", sorted(packages()))
def test_a_package_is_one_idea(package: str) -> None:
    sentence = packages()[package]
    assert sentence.endswith(".") and 20 < len(sentence) < 130
    inside = [path for path in ROOT.joinpath(*package.split(".")).glob("*.py") if path.name != "__init__.py"]
    assert len(inside) <= (MOST_IN_CATALOG if package == "features.catalog" else MOST_MODULES)


def test_modules_and_functions_are_short() -> None:
    long = [path for path, _ in trees() if (ROOT / path).read_text(encoding="utf-8").count("\n") > MOST_LINES_OF_MODULE]
    for path, tree in trees():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [
            f"{path}: {function.name}"
            for function in functions
            if lines_of(function) > MOST_LINES_OF_FUNCTION and not is_kernel(function)
        ]
    assert long == []


def test_class_names_are_unique() -> None:
    places = defaultdict(list)
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_names_say_what_they_hold() -> None:
    counts: Counter[str] = Counter()
    for path, tree in trees():
        for node in ast.walk(tree):
            names = [
                node.id if isinstance(node, ast.Name) else "",
                node.arg if isinstance(node, ast.arg) else "",
                node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else "",
            ]
            counts[path] += sum(name in VAGUE for name in names)
    assert counts.total() < MOST_VAGUE, counts.most_common(10)


@pytest.mark.parametrize("package", [*ROOMS, *sorted(packages())])
def test_exports_exist_and_none_has_the_name_of_a_module(package: str) -> None:
    """A function named like a module would be hidden: once the module is imported, the name means the module."""
    module = import_module(package)
    folder = Path(str(module.__file__)).parent
    beside = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    names = getattr(module, "__all__", [])
    assert [name for name in names if name in beside] == []
    needs = {"serving.web": "uvicorn", "features.engines": "pyspark"}.get(package)
    if not needs or find_spec(needs):
        assert all(getattr(module, name) is not None for name in names)


def test_other_packages_use_only_what_is_exported() -> None:
    known = modules()
    hidden = []
    for module, path in known.items():
        for target, name in taken(path, known) if module not in ROOMS else ():
            package = package_of(target, known)
            if target != package != package_of(module, known) and name not in import_module(package).__all__:
                hidden.append(f"{module} takes {name} of {target}: list it in the __init__ of {package}")
    assert hidden == []


def taken(path: Path, known: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """Yields (module, name) for every name of a module of ours that a file imports, or uses as `module.name`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in known:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif node.module in known:
                    yield node.module, alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            if node.attr in defined(known[aliases[node.value.id]]):
                yield aliases[node.value.id], node.attr


@cache
def defined(path: Path) -> frozenset[str]:
    """The names that a module defines at its top level."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(names)
