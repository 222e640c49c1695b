"""The graph of the project's packages, read from their imports, and its picture.

python -m tests.package_graph          # draws docs/images/architecture.svg
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "training", "serving")
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
Graph = Mapping[str, frozenset[str]]


def modules() -> dict[str, Path]:
    """The file of every module of ours, by its name; a package's is its `__init__`."""
    files = [ROOT / "regulars.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files)
    return dict(zip(names, files, strict=True))


def file_graph() -> Graph:
    """For each module the modules of ours that it imports, inside functions too."""
    known = modules()
    return {name: frozenset(imported(path, known) - {name}) for name, path in known.items()}


def imported(path: Path, known: Mapping[str, Path]) -> set[str]:
    """The known modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules_in = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            names |= modules_in if len(modules_in) == len(node.names) else modules_in | {node.module}
    return names & known.keys()


def package_of(module: str, known: Mapping[str, Path]) -> str:
    """The package that a module lies in; a module directly in a room stands for itself."""
    if module in ROOMS or known[module].name == "__init__.py":
        return module
    package = module.rpartition(".")[0]
    return module if package in ("", *ROOMS) else package


def package_graph() -> Graph:
    """For each package, and each module directly in a room, those that it imports."""
    known = modules()
    arrows: dict[str, set[str]] = {package_of(name, known): set() for name in known if name not in ROOMS}
    for name, targets in file_graph().items():
        if name not in ROOMS:  # the `__init__` of a room exports what lies above its packages
            arrows[package_of(name, known)] |= {package_of(target, known) for target in targets if target not in ROOMS}
    return {name: frozenset(targets - {name}) for name, targets in arrows.items()}


def circle(graph: Graph) -> list[str]:
    """The names on a circle of a graph; empty where it has none.

    >>> circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")})
    ['b', 'c', 'b']
    >>> circle({"a": frozenset("b"), "b": frozenset()})
    []
    """
    finished: set[str] = set()
    for start in graph:
        path: list[str] = []
        steps: list[Iterator[str]] = []
        if start in finished:
            continue
        path.append(start)
        steps.append(iter(sorted(graph[start])))
        while path:
            following = next(steps[-1], None)
            if following is None:
                finished.add(path.pop())
                steps.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in finished:
                path.append(following)
                steps.append(iter(sorted(graph[following])))
    return []


def reduced(graph: Graph) -> Graph:
    """An acyclic graph without the arrows that longer paths imply."""
    reach: dict[str, frozenset[str]] = {}

    def below(name: str) -> frozenset[str]:
        if name not in reach:
            reach[name] = graph[name].union(*map(below, graph[name])) if graph[name] else frozenset()
        return reach[name]

    return {
        name: frozenset(t for t in targets if not any(t in below(other) for other in targets - {t}))
        for name, targets in graph.items()
    }


def levels(graph: Graph) -> dict[str, int]:
    """How many arrows the longest path down from each name of an acyclic graph has."""
    depth: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in depth:
            depth[name] = max((deep(target) + 1 for target in graph[name]), default=0)
        return depth[name]

    return {name: deep(name) for name in graph}


BOX, GAP, ROW, LEFT, BAND = (150, 30), 14, 62, 110, 26
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b2733; }
.idea { fill: #51616f; font-size: 12px; } .room { font-weight: 600; font-size: 15px; }
.box { fill: #fff; stroke: #35608f; } .band { fill: #eef3f8; } .arrow { stroke: #7a8b9c; fill: none; }
"""


def picture() -> str:
    """The packages as SVG: a band a room, rows by what rests on what, arrows down without those that are implied."""
    graph = {name: targets for name, targets in package_graph().items() if name in packages()}
    graph = {name: frozenset(targets & graph.keys()) for name, targets in graph.items()}
    places, bands, size = _places(graph)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="Packages and what they import">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a8b9c"/></marker></defs>',
        f'<rect width="{size[0]}" height="{size[1]}" fill="#fff"/>',
    ]
    for room, (top, height) in bands.items():
        parts.append(f'<rect class="band" x="8" y="{top}" width="{size[0] - 16}" height="{height}" rx="8"/>')
        parts.append(f'<text class="room" x="20" y="{top + 24}">{room}</text>')
    for name, targets in reduced(graph).items():
        for target in sorted(targets):
            if name.split(".")[0] == target.split(".")[0]:
                parts.append(_arrow(places[name], places[target]))
    alone = {place[1]: None for place in places.values()}
    for top in alone:
        names = [name for name, place in places.items() if place[1] == top]
        if len(names) == 1:
            left = places[names[0]][0] + BOX[0] + GAP
            parts.append(f'<text class="idea" x="{left}" y="{top + 20}">{escape(packages()[names[0]])}</text>')
    parts += [_box(name, place) for name, place in places.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def packages() -> dict[str, str]:
    """The first sentence of each package's `__init__`, by its name."""
    inits = {name: path for name, path in modules().items() if path.name == "__init__.py" and name not in ROOMS}
    return {
        name: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        for name, path in inits.items()
    }


def _places(graph: Graph) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]], tuple[int, int]]:
    """Where each box lies (left, top), each room's band (top, height), and the size of the picture."""
    places: dict[str, tuple[int, int]] = {}
    bands: dict[str, tuple[int, int]] = {}
    top, width = 8, 0
    for room in reversed(ROOMS):
        own = {name for name in graph if name.startswith(f"{room}.")}
        depth = levels({name: graph[name] & own for name in own})
        order = sorted(set(depth.values()), reverse=True)
        rows = [sorted(name for name in own if depth[name] == level) for level in order]
        for place, names in enumerate(rows):
            for column, name in enumerate(names):
                left = LEFT + column * (BOX[0] + GAP) + (place % 2) * (BOX[0] // 2)
                places[name] = (left, top + BAND // 2 + place * ROW)
                width = max(width, left + BOX[0] + 24, 820)
        bands[room] = (top, len(rows) * ROW - (ROW - BOX[1]) + BAND)
        top += bands[room][1] + 16
    return places, bands, (width, top)


def _box(name: str, place: tuple[int, int]) -> str:
    left, top = place
    return (
        f'<g><title>{escape(name)}: {escape(packages()[name])}</title><rect class="box" x="{left}" y="{top}" '
        f'width="{BOX[0]}" height="{BOX[1]}" rx="5"/><text x="{left + BOX[0] // 2}" y="{top + 20}" '
        f'text-anchor="middle">{escape(name.partition(".")[2])}</text></g>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + BOX[0] // 2, start[1] + BOX[1], end[0] + BOX[0] // 2, end[1]
    middle = (y1 + y2) // 2
    return f'<path class="arrow" marker-end="url(#tip)" d="M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2 - 1}"/>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
