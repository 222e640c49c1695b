"""Every public function with three or more parameters explains each of them, and what it returns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "training", "serving")
MODULES = sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MANY = 3  # parameters from which a docstring needs its sections
CLICK = {"command", "group", "pass_context", "pass_obj"}  # a command explains its options in their help texts
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Yields the functions of a module and the methods of its classes whose names have no leading underscore."""
    for node in body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def is_click_command(function: Function) -> bool:
    """Whether a decorator such as `@click.command()` or `@main.command()` makes the function a command."""
    calls = (node.func if isinstance(node, ast.Call) else node for node in function.decorator_list)
    return any((node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) in CLICK for node in calls)


def parameters(function: Function) -> list[str]:
    """The names of the function's parameters, without `self` and `cls`, and without those that start with `_`."""
    own = function.args
    every = [*own.posonlyargs, *own.args, *([own.vararg] if own.vararg else []), *own.kwonlyargs]
    every += [own.kwarg] if own.kwarg else []
    return [arg.arg for arg in every if arg.arg not in ("self", "cls") and not arg.arg.startswith("_")]


def returns_nothing(function: Function) -> bool:
    """Whether the function is annotated with None or never returns."""
    return function.returns is not None and ast.unparse(function.returns) in ("None", "NoReturn")


def sections(docstring: str) -> dict[str, str]:
    """The docstring's sections by name: `{"Args": "...", "Returns": "..."}`."""
    parts = re.split(r"^(Args|Returns|Yields|Raises|Example|Examples|Note):[ \t]*$", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def gaps(source: str, path: str) -> list[str]:
    """What the docstrings of a module leave out, as 'path:line: name lacks ...'.

    >>> gaps("def add(a: int, b: int, c: int) -> int:\\n    '''Adds.'''", "sums.py")
    ['sums.py:1: add lacks Args: a, b, c', 'sums.py:1: add lacks Returns or Yields']
    """
    lines = []
    for function in public_functions(ast.parse(source).body):
        names = parameters(function)
        if len(names) < MANY or is_click_command(function):
            continue
        written = sections(ast.get_docstring(function) or "")
        explained = re.findall(r"^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:", written.get("Args", ""), flags=re.MULTILINE)
        where = f"{path}:{function.lineno}: {function.name}"
        if missing := [name for name in names if name not in explained]:
            lines.append(f"{where} lacks Args: {', '.join(missing)}")
        if not returns_nothing(function) and not {"Returns", "Yields"} & set(written):
            lines.append(f"{where} lacks Returns or Yields")
    return lines


@pytest.mark.parametrize("path", MODULES)
def test_public_functions_explain_their_parameters(path: str) -> None:
    assert gaps((ROOT / path).read_text(encoding="utf-8"), path) == []


EXAMPLE = """
class Model:
    def fit(self, x, y, w) -> None:
        '''Fits.

        Args:
            x: Features (n, k).
            y: Labels (n,).
            w: Weights (n,).
        '''

    def score(self, x, y, *rest, **more):
        '''Scores.

        Args:
            x: Features (n, k).
            *rest: Further features.

        Yields:
            A score.
        '''

    def _hide(self, x, y, w):
        return x


@main.command()
def run(a, b, c):
    '''Runs.'''
"""


def test_checker_reads_methods_and_exempts_commands_and_private_names() -> None:
    assert gaps(EXAMPLE, "model.py") == ["model.py:12: score lacks Args: y, more"]
