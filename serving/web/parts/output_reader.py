"""The output folder as the page reads it: scored cutoffs and what lies beside them, asked through DuckDB.

Nothing here writes. A request has a cursor of its own; what a page counts over all customers is counted once and kept
under the fingerprint of the manifest that it was counted from, so that a folder that is written anew is counted anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from serving.language.formats import Forms
from serving.language.messages import Language, language
from serving.scoring.score_tables import MANIFEST

MEMORY, THREADS, KEPT = "1GB", 2, 64
ROWS = "read_parquet(?, hive_partitioning = false)"  # of a list of files; their folders tell no column
NEEDED = ("customer_id", "churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment")
T = TypeVar("T")


class NotHere(Exception):  # noqa: N818 (a page that says what is missing, not a fault)
    """What a page needs is not there, or not as it should be.

    Args:
        said: What is missing, in the language of the page.
        command: What makes it; empty where no command does.
        status: Of the answer.
    """

    def __init__(self, said: str, command: str = "", status: int = 404) -> None:
        super().__init__(said)
        self.said, self.command, self.status = said, command, status


class Kept:
    """Answers that cost something, the newest `size` of them; one thread makes an answer while others wait for it."""

    def __init__(self, size: int = KEPT) -> None:
        self._size, self._lock = size, Lock()
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, Lock] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer of a key, made where it is not there."""
        with self._lock:
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in self._answers:
                    self._answers.move_to_end(key)
                    return self._answers[key]
            try:
                made = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._answers[key] = made
                while len(self._answers) > self._size:
                    self._answers.popitem(last=False)
            return made


@dataclass(frozen=True)
class Scored:
    """A scored cutoff.

    Attributes:
        cutoff: When.
        folder: Its parts and manifest.
        manifest: As scoring wrote it.
        fingerprint: Of the manifest's bytes.
        columns: Of the score table.
    """

    cutoff: date
    folder: Path
    manifest: dict[str, Any]
    fingerprint: str
    columns: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The parts, in order of the customers' ids."""
        return [str(self.folder / part["file"]) for part in self.manifest["parts"]]

    @property
    def customers(self) -> int:
        """How many there are."""
        return int(self.manifest["customers"])


@dataclass(frozen=True)
class Site:
    """What every page is made from.

    Attributes:
        config: The business.
        tr: Its language.
        connection: A DuckDB in memory; each question has a cursor of its own.
        kept: Answers over all customers.
    """

    config: Config
    tr: Language
    connection: duckdb.DuckDBPyConnection
    kept: Kept = field(default_factory=Kept)

    def ask(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """The rows that a question gives.

        Raises:
            NotHere: A file is not what was written, or is being written now.
        """
        try:
            with self.connection.cursor() as cursor:
                return cursor.sql(sql, params=list(params)).to_arrow_table()
        except duckdb.Error as problem:
            logging.getLogger(__name__).warning("a question failed: %s", type(problem).__name__)
            said = self.tr("A file of the output folder cannot be read: it is being written now, or is not whole.")
            raise NotHere(said, "regulars score --cutoff D", 503) from None

    def say(self, text: str) -> str:
        """A name of a group, or a phrase of a feature, in the language of the page; others as they are."""
        named = self.tr(text)
        return named if named != text else self.tr.phrase(text)

    def one(self, sql: str, params: Sequence[Any]) -> dict[str, Any]:
        """The only row that a question gives."""
        return dict(self.ask(sql, params).to_pylist()[0])


def open_site(config: Config) -> Site:
    """The pages of a config's output folder, which may be empty."""
    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "threads": THREADS, "autoinstall_known_extensions": False}
    )
    connection.execute("SET enable_progress_bar = false")
    return Site(config, language(config.language), connection)


def cutoffs(site: Site) -> list[date]:
    """The scored cutoffs, ascending; a folder without a manifest is one that a run has not ended."""
    return days(site.config.output / "scores", MANIFEST)


def days(folder: Path, file: str) -> list[date]:
    """The cutoffs under a folder whose own folder has a file, ascending."""
    found = []
    for path in folder.glob(f"cutoff=*/{file}"):
        day = _day(path.parent.name.removeprefix("cutoff="))
        if day:
            found.append(day)
    return sorted(found)


def unfinished(site: Site) -> list[str]:
    """The cutoffs whose folder has no manifest, and those whose run ended early, as text."""
    places = [*site.config.output.glob("scores/cutoff=*"), *site.config.output.glob(".scoring/cutoff=*")]
    names = {
        place.name.removeprefix("cutoff=") for place in places if place.is_dir() and not (place / MANIFEST).exists()
    }
    return sorted(name for name in names if _day(name))


def scored(site: Site, asked: str = "") -> Scored:
    """A scored cutoff, the newest where none is asked for.

    Raises:
        NotHere: There is none, or its folder is not whole, or an older version of regulars wrote it.
    """
    known = cutoffs(site)
    if not known and not asked:
        raise NotHere(site.tr("Nothing is scored yet under this output folder."), "regulars score --cutoff D")
    day = _day(asked) if asked else known[-1]
    if day not in known or day is None:
        have = ", ".join(map(str, known)) or site.tr("none")
        said = site.tr("This cutoff is not scored: {asked}. Scored are: {have}.", asked=asked[:40], have=have)
        raise NotHere(said, f"regulars score --cutoff {day or 'D'}")
    return _scored(site, day)


def _scored(site: Site, day: date) -> Scored:
    folder = site.config.output / "scores" / f"cutoff={day}"
    again = f"regulars score --cutoff {day}"
    found = manifest(site, folder / MANIFEST)
    if found is None or not isinstance(found[0].get("parts"), list) or "customers" not in found[0]:
        raise NotHere(site.tr("The scores of {day} have a manifest that cannot be read.", day=day), again, 503)
    said, mark = found
    lost = [part["file"] for part in said["parts"] if not (folder / part["file"]).is_file()]
    if lost or not said["parts"]:
        raise NotHere(site.tr("The scores of {day} are not whole: parts are missing.", day=day), again, 503)
    columns = site.kept.get(("columns", mark), lambda: _columns(folder / said["parts"][0]["file"]))
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        text = site.tr(
            "The scores of {day} were written by an older version, or are damaged: they lack {columns}.",
            day=day, columns=", ".join(missing),
        )  # fmt: skip
        raise NotHere(text, again, 503)
    return Scored(day, folder, said, mark, columns)


def _columns(file: Path) -> tuple[str, ...]:
    """The columns of a part; none where it cannot be read."""
    try:
        return tuple(pq.read_schema(file).names)
    except (OSError, pa.ArrowInvalid):
        return ()


def manifest(site: Site, path: Path) -> tuple[dict[str, Any], str] | None:
    """A JSON object of the output folder with the fingerprint of its bytes; None where it is not there or not whole."""
    try:
        state = path.stat()
        return site.kept.get(("json", str(path), state.st_mtime_ns, state.st_size), lambda: _read(path))
    except OSError:
        return None
    except ValueError:
        logging.getLogger(__name__).warning("%s is not whole", path)
        return None


def _read(path: Path) -> tuple[dict[str, Any], str]:
    content = path.read_bytes()
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("expected an object")
    return found, hashlib.sha256(content).hexdigest()[:16]


def forms(site: Site, at: Scored) -> Forms:
    """How money is written, by the customers' mean value; counted once."""

    def mean() -> float:
        sql = f"SELECT coalesce(avg(abs(value)), 0) AS mean FROM {ROWS}"
        return float(site.one(sql, [at.files])["mean"])

    return Forms(site.kept.get(("mean", at.fingerprint), mean))


def has_money(site: Site, at: Scored) -> bool:
    """Whether the scores tell money."""
    return "value" in at.manifest.get("models", {}) or forms(site, at).mean > 0


def _day(text: str) -> date | None:
    """A day in ISO form, or None.

    >>> _day("2024-01-31"), _day("../etc"), _day("20240131")
    (datetime.date(2024, 1, 31), None, None)
    """
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
