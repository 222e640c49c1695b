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
from serving.language.formats import NumberFormat
from serving.language.messages import Language, get_language
from serving.scoring.score_tables import MANIFEST

MEMORY, THREADS, CACHE_SIZE = "1GB", 2, 64
ROWS = "read_parquet(?, hive_partitioning = false)"  # of a list of files; their folders tell no column
NEEDED = ("customer_id", "churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment")
T = TypeVar("T")


class MissingOutput(Exception):  # noqa: N818 (a page that says what is missing, not a fault)
    """What a page needs is not there, or not as it should be.

    Args:
        said: What is missing, in the language of the page.
        command: What makes it; empty where no command does.
        status: Of the answer.
    """

    def __init__(self, message: str, command: str = "", status: int = 404) -> None:
        super().__init__(message)
        self.message, self.command, self.status = message, command, status


class AnswerCache:
    """Answers that cost something, the newest `size` of them; one thread makes an answer while others wait for it."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
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
                answer = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._answers[key] = answer
                while len(self._answers) > self._size:
                    self._answers.popitem(last=False)
            return answer


@dataclass(frozen=True)
class ScoredCutoff:
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
    cache: AnswerCache = field(default_factory=AnswerCache)

    def query(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """The rows that a question gives.

        Raises:
            NotHere: A file is not what was written, or is being written now.
        """
        try:
            with self.connection.cursor() as cursor:
                return cursor.sql(sql, params=list(params)).to_arrow_table()
        except duckdb.Error as problem:
            logging.getLogger(__name__).warning("a question failed: %s", type(problem).__name__)
            message = self.tr(
                "A file of the output folder cannot be read: it is being written right now, or is incomplete."
            )
            raise MissingOutput(message, "regulars score --cutoff D", 503) from None

    def translate(self, text: str) -> str:
        """A name of a group, or a phrase of a feature, in the language of the page; others as they are."""
        named = self.tr(text)
        return named if named != text else self.tr.phrase(text)

    def query_row(self, sql: str, params: Sequence[Any]) -> dict[str, Any]:
        """The only row that a question gives."""
        return dict(self.query(sql, params).to_pylist()[0])


def open_site(config: Config) -> Site:
    """The pages of a config's output folder, which may be empty."""
    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "threads": THREADS, "autoinstall_known_extensions": False}
    )
    connection.execute("SET enable_progress_bar = false")
    return Site(config, get_language(config.language), connection)


def scored_cutoffs(site: Site) -> list[date]:
    """The scored cutoffs, ascending; a folder without a manifest is one that a run has not ended."""
    return cutoffs_with_file(site.config.output / "scores", MANIFEST)


def cutoffs_with_file(folder: Path, file: str) -> list[date]:
    """The cutoffs under a folder whose own folder has a file, ascending."""
    dates = []
    for path in folder.glob(f"cutoff=*/{file}"):
        day = _day(path.parent.name.removeprefix("cutoff="))
        if day:
            dates.append(day)
    return sorted(dates)


def unfinished_cutoffs(site: Site) -> list[str]:
    """The cutoffs whose folder has no manifest, and those whose run ended early, as text."""
    places = [*site.config.output.glob("scores/cutoff=*"), *site.config.output.glob(".scoring/cutoff=*")]
    names = {
        place.name.removeprefix("cutoff=") for place in places if place.is_dir() and not (place / MANIFEST).exists()
    }
    return sorted(name for name in names if _day(name))


def read_scored_cutoff(site: Site, requested: str = "") -> ScoredCutoff:
    """A scored cutoff, the newest where none is asked for.

    Raises:
        NotHere: There is none, or its folder is not whole, or an older version of regulars wrote it.
    """
    known = scored_cutoffs(site)
    if not known and not requested:
        raise MissingOutput(site.tr("This output folder holds no scores yet."), "regulars score --cutoff D")
    day = _day(requested) if requested else known[-1]
    if day not in known or day is None:
        have = ", ".join(map(str, known)) or site.tr("none")
        message = site.tr("Cutoff {asked} is not scored. Scored cutoffs: {have}.", asked=requested[:40], have=have)
        raise MissingOutput(message, f"regulars score --cutoff {day or 'D'}")
    return _scored(site, day)


def _scored(site: Site, day: date) -> ScoredCutoff:
    folder = site.config.output / "scores" / f"cutoff={day}"
    command = f"regulars score --cutoff {day}"
    stored = read_json_object(site, folder / MANIFEST)
    if stored is None or not isinstance(stored[0].get("parts"), list) or "customers" not in stored[0]:
        raise MissingOutput(site.tr("The manifest of the scores of {day} cannot be read.", day=day), command, 503)
    content, fingerprint = stored
    missing_files = [part["file"] for part in content["parts"] if not (folder / part["file"]).is_file()]
    if missing_files or not content["parts"]:
        raise MissingOutput(site.tr("The scores of {day} are incomplete: parts are missing.", day=day), command, 503)
    columns = site.cache.get(("columns", fingerprint), lambda: _columns(folder / content["parts"][0]["file"]))
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        text = site.tr(
            "The scores of {day} were written by an older version, or are damaged: columns missing: {columns}.",
            day=day, columns=", ".join(missing),
        )  # fmt: skip
        raise MissingOutput(text, command, 503)
    return ScoredCutoff(day, folder, content, fingerprint, columns)


def _columns(file: Path) -> tuple[str, ...]:
    """The columns of a part; none where it cannot be read."""
    try:
        return tuple(pq.read_schema(file).names)
    except (OSError, pa.ArrowInvalid):
        return ()


def read_json_object(site: Site, path: Path) -> tuple[dict[str, Any], str] | None:
    """A JSON object of the output folder with the fingerprint of its bytes; None where it is not there or not whole."""
    try:
        state = path.stat()
        return site.cache.get(("json", str(path), state.st_mtime_ns, state.st_size), lambda: _read(path))
    except OSError:
        return None
    except ValueError:
        logging.getLogger(__name__).warning("%s is not whole", path)
        return None


def _read(path: Path) -> tuple[dict[str, Any], str]:
    content = path.read_bytes()
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return value, hashlib.sha256(content).hexdigest()[:16]


def number_format(site: Site, at: ScoredCutoff) -> NumberFormat:
    """How money is written, by the customers' mean value; counted once."""

    def mean() -> float:
        sql = f"SELECT coalesce(avg(abs(value)), 0) AS mean FROM {ROWS}"
        return float(site.query_row(sql, [at.files])["mean"])

    return NumberFormat(site.cache.get(("mean", at.fingerprint), mean))


def has_value(site: Site, at: ScoredCutoff) -> bool:
    """Whether the scores tell money."""
    return "value" in at.manifest.get("models", {}) or number_format(site, at).mean > 0


def _day(text: str) -> date | None:
    """A day in ISO form, or None.

    >>> _day("2024-01-31"), _day("../etc"), _day("20240131")
    (datetime.date(2024, 1, 31), None, None)
    """
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
