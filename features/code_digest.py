"""A digest of the code that a result depends on: its entry modules and all modules of ours that they import.

A stored result (features of a cutoff, scores) keeps this digest. It is computed again only if code that it depends on
has changed: a new word in the report does not cause a new scoring.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

from features.storage.json_files import file_digest

PROJECT_ROOT = Path(__file__).resolve().parent.parent
TOP_PACKAGES = ("features", "training", "serving")


@cache
def digest_code(*entries: str, root: Path = PROJECT_ROOT) -> str:
    """Return a digest of the modules that `entries` depend on, by relative path and content.

    Args:
        entries: Module names, such as 'features.snapshots.build'.
        root: The folder that contains the top-level packages.

    Returns:
        32 hexadecimal digits.

    Raises:
        ModuleNotFoundError: An entry is not a module of ours.
    """
    digest = hashlib.sha256()
    for path in sorted(find_dependencies(entries, root)):
        content = file_digest(path)
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:32]


def find_dependencies(entries: Iterable[str], root: Path = PROJECT_ROOT) -> set[Path]:
    """Return the files of the entry modules and of all modules of ours that they import, directly or indirectly.

    Imports inside functions count, too; imports for type checking only do not. The `__init__` of each package is
    included.

    Raises:
        ModuleNotFoundError: An entry is not a module of ours.
    """
    pending, files = list(entries), set[Path]()
    for entry in pending:
        if not _files(entry, root):
            raise ModuleNotFoundError(f"{entry} is not a module in {root}")
    while pending:
        for path in _files(pending.pop(), root):
            if path not in files:
                files.add(path)
                pending.extend(_imported(path, root))
    return files


def _files(module: str, root: Path) -> list[Path]:
    """Return the file of a module and the `__init__` files of its packages; empty if the module is not ours."""
    parts = module.split(".")
    if parts[0] not in TOP_PACKAGES:
        return []
    place = root.joinpath(*parts)
    candidates = [*(root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))]
    candidates.append(place.with_suffix(".py"))
    return [path for path in candidates if path.is_file()] if any(map(Path.is_file, candidates[-2:])) else []


def _imported(path: Path, root: Path) -> Iterator[str]:
    """Yield the names that a file imports, absolutely or relatively: modules, and names that may be modules."""
    package = path.relative_to(root).parent.parts
    for level, module, names in _imports(path.read_text(encoding="utf-8")):
        above = package[: len(package) + 1 - level] if level else ()
        absolute = ".".join([*above, *([module] if module else [])])
        yield absolute
        yield from (f"{absolute}.{name}" for name in names)


@lru_cache(maxsize=1024)
def _imports(source: str) -> tuple[tuple[int, str | None, tuple[str, ...]], ...]:
    """The imports in a source: how many levels up (0: absolute), the module, and the names imported from it."""
    imports: list[tuple[int, str | None, tuple[str, ...]]] = []
    for node in _executed_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports.extend((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module, tuple(alias.name for alias in node.names)))
    return tuple(imports)


def _executed_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a syntax tree, without the body of `if TYPE_CHECKING`, which never runs."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        only_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        skipped = node.body if isinstance(node, ast.If) and only_types else []
        pending.extend(child for child in ast.iter_child_nodes(node) if child not in skipped)
