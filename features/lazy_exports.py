"""Names that a package exports, imported when they are first used: importing a package stays quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_exports(package: str, exports: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], list[str]]:
    """The `__getattr__` (PEP 562) and the `__all__` of a package.

    Args:
        package: The package's `__name__`.
        exports: For each module, named relative to the package, the names in it that others may use.

    Returns:
        A function that imports a name, and all names, sorted.

    >>> load, names = lazy_exports("features", {"task": ["Window", "Task"]})
    >>> names, load("Window")(30).days
    (['Task', 'Window'], 30)
    >>> load("Nothing")
    Traceback (most recent call last):
    AttributeError: module 'features' has no attribute 'Nothing'
    """
    module_of = {name: module for module, names in exports.items() for name in names}

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return load, sorted(module_of)
