"""CSV logs to be read: plain ones, and such as spreadsheets, exports and broken disks make them."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fuzz.command import CANARY

HEADER = ("customer", "time", "amount", "order", "channel", "note")
IDS = (
    *(
        "c1",
        "c2",
        "1001",
        "1001.0",
        " 1001 ",
        "00042",
        "客户 7",
        "O'Brien",
        'say "hi"',
        "a;b",
        "a,b",
        "",
        "NULL",
        "nan",
    ),
    *("-1", "=1+1"),
)
TIME_STYLES = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S -0400", "%d/%m/%Y", "%m/%d/%y"),
    *("%d.%m.%Y %H:%M", "%Y%m%d", "%s", "%s000", "%Y%m%d%H%M", "%d %b %Y", "%Y-%m-%dT%H:%M:%S.%f+02:00"),
)
ODD_TIMES = (
    *("", "never", "0000-00-00", "9999-12-31", "1899-12-30", "2024-02-30", "12:30", "45000", "NaT"),
    "2024-06-31 25:00",
)
AMOUNT_STYLES: dict[str, Callable[[float], str]] = {
    "plain": lambda x: f"{x:.2f}",
    "comma": lambda x: f"{x:.2f}".replace(".", ","),
    "thousands": lambda x: f"{x * 1000:,.2f}",
    "currency": lambda x: f"£{x:.2f}",
    "parentheses": lambda x: f"({x:.2f})",
    "integer": lambda x: f"{int(x)}",
    "exponent": lambda x: f"{x:e}",
}
ODD_AMOUNTS = ("", "NaN", "inf", "-inf", "free", "1e400", "99999999999999999999", "--5", "5-", "1.2.3", "1,2,3", "٣")
DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "cp1252")
LINE_ENDS = ("\n", "\n", "\r\n", "\r")
FLAWS = ("extra", "missing", "blank", "quote", "nul", "binary", "title", "cut", "header again", "long", "commas")
COUNTED = {"extra", "missing"}  # flaws after which every line can still be counted
HEADERS = ("plain", "plain", "plain", "upper", "spaces", "double", "empty name", "none", "unicode", "quoted")
SHAPES = (
    *("one", "one", "folder", "glob", "gz", "cut gz", "gz that is none", "with an empty file", "with junk"),
    *("broken link", "folder named like a file", "other columns", "odd name"),
)


def write_csv(folder: Path, how: dict[str, Any]) -> tuple[str, int | None]:
    """Writes a CSV log; returns its source, and how many lines of data it has if all of them can be counted."""
    rng = random.Random(how["seed"])  # noqa: S311 (made-up data)
    lines = [_row(rng, how) for _ in range(how["rows"])]
    if how.get("shuffle"):
        random.Random(1).shuffle(lines)  # noqa: S311
    count: int | None = len(lines)
    texts = [_join(line, how) for line in lines]
    for flaw in how["flaws"]:
        texts = _with_flaw(texts, flaw, how, rng)
        count = len(texts) if flaw in COUNTED and count is not None else None
    head = _header(how)
    plain = (
        how["header"] in ("plain", "quoted") and how["encoding"] in ("utf-8", "utf-8-sig") and how["line end"] != "\r"
    )
    clean = all(c not in name for name in how["ids"] for c in '\x00\n\r"') and not how["odd"]
    parts = _parts(how["shape"], texts)
    for name, some in parts.items():
        text = how["line end"].join([*head, *some]) + how["line end"] * (not how["flaws"] or "cut" not in how["flaws"])
        data = text.encode(how["encoding"], "replace")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_packed(data, how["shape"]))
    source = _beside(folder, how["shape"], next(iter(parts)))
    return source, count if plain and clean and how["shape"] in ("one", "folder", "glob", "gz") else None


def _parts(shape: str, lines: list[str]) -> dict[str, list[str]]:
    """The files by name, with their lines."""
    half = len(lines) // 2
    if shape in ("folder", "glob", "with an empty file", "with junk", "broken link", "other columns"):
        return {"log/a.csv": lines[:half], "log/b.csv": lines[half:]}
    if shape in ("gz", "cut gz", "gz that is none"):
        return {"log.csv.gz": lines}
    return {"lo g[1] '客'.csv" if shape == "odd name" else "log.csv": lines}


def _packed(data: bytes, shape: str) -> bytes:
    if shape in ("gz", "cut gz"):
        packed = gzip.compress(data, mtime=0)
        return packed if shape == "gz" else packed[: len(packed) // 2]
    return data


def _beside(folder: Path, shape: str, first: str) -> str:
    """Writes what lies beside the files; returns the source."""
    log = folder / "log"
    if shape == "with an empty file":
        (log / "c.csv").write_bytes(b"")
    elif shape == "with junk":
        (log / ".DS_Store").write_bytes(b"\0\1")
        (log / "README.txt").write_text("no data")
        (log / ".hidden.csv").write_text("x,y\n1,2\n")
    elif shape == "broken link":
        (log / "c.csv").symlink_to(folder / "nowhere.csv")
    elif shape == "other columns":
        (log / "c.csv").write_text("customer,price\nc1,3\n")
    elif shape == "folder named like a file":
        (folder / first).unlink()
        (folder / first).mkdir()
    return {"glob": "log/*.csv"}.get(shape, "log" if log.is_dir() else first)


def _row(rng: random.Random, how: dict[str, Any]) -> list[str]:
    moment = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(200 * 24 * 60))
    time = (
        str(int(moment.timestamp())) + how["time"][2:] if how["time"].startswith("%s") else moment.strftime(how["time"])
    )
    amount = AMOUNT_STYLES[how["amount"]](rng.uniform(1, 90))
    if rng.random() < how["odd"]:
        time = rng.choice(ODD_TIMES)
    if rng.random() < how["odd"]:
        amount = rng.choice(ODD_AMOUNTS)
    return [rng.choice(how["ids"]), time, amount, f"o{rng.randrange(999)}", rng.choice(("web", "shop")), CANARY]


def _join(cells: Sequence[str], how: dict[str, Any]) -> str:
    """A line of CSV; cells are quoted where it is needed, or all of them."""
    marks = (how["delimiter"], '"', "\n", "\r")
    quoted = ['"' + c.replace('"', '""') + '"' if how["quote all"] or any(m in c for m in marks) else c for c in cells]
    return how["delimiter"].join(quoted)


def _header(how: dict[str, Any]) -> list[str]:
    names = {
        "upper": [name.upper() for name in HEADER],
        "spaces": [f" {name} " for name in HEADER],
        "double": [*HEADER[:4], "note", "note"],
        "empty name": [*HEADER[:4], "", "note"],
        "unicode": ["客户", "时间", "金额", *HEADER[3:]],
    }.get(how["header"], list(HEADER))
    line = _join(names, {**how, "quote all": how["header"] == "quoted" or how["quote all"]})
    return [] if how["header"] == "none" else [*(["Report of all sales", ""] if "title" in how["flaws"] else []), line]


def _with_flaw(lines: list[str], flaw: str, how: dict[str, Any], rng: random.Random) -> list[str]:
    """The lines with one flaw; 'title' is done with the header, 'cut' here and at the end of the file."""
    place, delimiter = rng.randrange(len(lines) + 1), how["delimiter"]
    line = lines[place] if place < len(lines) else _join(_row(rng, how), how)
    new = {
        "extra": line + delimiter + "more",
        "missing": line.rpartition(delimiter)[0],
        "blank": "",
        "quote": f'"{line}',
        "nul": line.replace("c", "\0"),
        "binary": "\ufffd\ufffe",
        "header again": delimiter.join(HEADER),
        "long": line.replace("web", "w" * 50_000),
        "commas": delimiter * 5,
    }.get(flaw)
    if flaw == "cut":
        return [*lines[:-1], lines[-1][: len(lines[-1]) // 2]] if lines else lines
    return lines if new is None else [*lines[:place], new, *lines[place:]]
