"""The code that a result depends on: the modules that its entry modules import, followed through our packages.

A result that is kept (features of a cutoff, scores) carries this digest, so it is made anew when code that it depends
on changes, and only then: a new word in the report rescores nobody.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
TOP_PACKAGES = ("features", "training", "serving")


@cache
def digest_code(*entries: str, root: Path = PROJECT_ROOT) -> str:
    """A digest of the modules that `entries` depend on, by relative path and content.

    Args:
        entries: Module names, such as 'features.snapshots.build'.
        root: The folder that holds the rooms.

    Returns:
        32 hexadecimal digits.

    Raises:
        ModuleNotFoundError: An entry is no module of ours.
    """
    digest = hashlib.sha256()
    for path in sorted(find_dependencies(entries, root)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:32]


def find_dependencies(entries: Iterable[str], root: Path = PROJECT_ROOT) -> set[Path]:
    """The files of the entry modules and of all modules of ours that they import, directly or through others.

    Imports inside functions count, too. The `__init__` of each package on the way is included.

    Raises:
        ModuleNotFoundError: An entry is no module of ours.
    """
    pending, files = list(entries), set[Path]()
    for entry in pending:
        if not _files(entry, root):
            raise ModuleNotFoundError(f"{entry} is no module in {root}")
    while pending:
        for path in _files(pending.pop(), root):
            if path not in files:
                files.add(path)
                pending.extend(_imported(path, root))
    return files


def _files(module: str, root: Path) -> list[Path]:
    """The file of a module and the `__init__` of its packages; nothing for what is no module of ours."""
    parts = module.split(".")
    if parts[0] not in TOP_PACKAGES:
        return []
    place = root.joinpath(*parts)
    candidates = [*(root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))]
    candidates.append(place.with_suffix(".py"))
    return [path for path in candidates if path.is_file()] if any(map(Path.is_file, candidates[-2:])) else []


def _imported(path: Path, root: Path) -> Iterator[str]:
    """The names that a file imports, absolutely or relatively: modules, and what could be one."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
