"""Read the output folder for the web page: scored cutoffs and the files beside them, queried with DuckDB.

Nothing here writes. A request has a cursor of its own. Sums over all customers are computed once and cached under the
fingerprint of the manifest, so that a folder that was written again is read again.
"""

from __future__ import annotations

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
from features.errors import DataError
from features.outputs.manifests import Manifest, ScoreManifest, read_manifest
from features.storage.json_files import file_digest
from serving.language.feature_phrases import Driver, translate_drivers
from serving.language.formats import NumberFormat
from serving.language.messages import Language, get_language
from serving.scoring.score_tables import MANIFEST, NEVER_NULL
from serving.web.parts.slow_queries import SlowQueries

MEMORY, THREADS, CACHE_SIZE = "1GB", 2, 64
ROWS = "read_parquet(?, hive_partitioning = false)"  # of a list of files; folder names are not columns
NEEDED = ("customer_id", "churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment")
T = TypeVar("T")
M = TypeVar("M", bound=Manifest)


class MissingOutput(Exception):  # noqa: N818 (it becomes a page, not an error)
    """Something that a page needs is missing or incomplete.

    Args:
        message: What is missing, in the language of the page.
        command: The command that creates it; empty if there is none.
        status: The HTTP status of the answer.
        retry_after: After how many seconds it is worth asking again; 0: unknown.
    """

    def __init__(self, message: str, command: str = "", status: int = 404, retry_after: int = 0) -> None:
        super().__init__(message)
        self.message, self.command, self.status, self.retry_after = message, command, status, retry_after


class AnswerCache:
    """A cache of the newest `size` answers; one thread computes an answer while others wait for it."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size, self._lock = size, Lock()
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, Lock] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the answer of a key; compute it if it is not cached."""
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
        cutoff: The day.
        folder: The folder of the parts and the manifest.
        manifest: The manifest that scoring wrote.
        fingerprint: The fingerprint of the manifest's bytes.
        columns: The columns of the score table.
    """

    cutoff: date
    folder: Path
    manifest: ScoreManifest
    fingerprint: str
    columns: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The parts, in the order of the customers' ids."""
        return [str(self.folder / part["file"]) for part in self.manifest.parts]

    @property
    def customers(self) -> int:
        """The number of scored customers."""
        return int(self.manifest.customers)


@dataclass(frozen=True)
class Site:
    """What every page is made from.

    Attributes:
        config: The business.
        tr: Its language.
        connection: A DuckDB in memory; each query has a cursor of its own.
        cache: Answers over all customers.
        slow_queries: The queue of questions about the log.
    """

    config: Config
    tr: Language
    connection: duckdb.DuckDBPyConnection
    cache: AnswerCache = field(default_factory=AnswerCache)
    slow_queries: SlowQueries = field(default_factory=SlowQueries)

    def query(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """Run a query and return its rows.

        Raises:
            MissingOutput: A file is not what was written, or is being written right now.
        """
        try:
            with self.connection.cursor() as cursor:
                return cursor.sql(sql, params=list(params)).to_arrow_table()
        except duckdb.Error as problem:
            logging.getLogger(__name__).warning("a query failed: %s", type(problem).__name__)
            message = self.tr(
                "A file of the output folder cannot be read: it is being written right now, or is incomplete."
            )
            raise MissingOutput(message, "regulars score --cutoff D", 503) from None

    def translate(self, text: str) -> str:
        """Translate a name from a table, such as that of a group; other text stays as it is."""
        return self.tr(text)

    def drivers(self, at: ScoredCutoff) -> dict[str, list[Driver]]:
        """Return the drivers of a cutoff's scores by outcome, with phrases in the language of the site."""
        drivers = at.manifest.drivers
        return self.cache.get(("drivers", at.fingerprint), lambda: translate_drivers(drivers, self.config, self.tr))

    def query_row(self, sql: str, params: Sequence[Any]) -> dict[str, Any]:
        """Run a query that gives a single row."""
        return dict(self.query(sql, params).to_pylist()[0])


def open_site(config: Config) -> Site:
    """Open the output folder of a config; it may be empty."""
    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "threads": THREADS, "autoinstall_known_extensions": False}
    )
    connection.execute("SET enable_progress_bar = false")
    return Site(config, get_language(config.language, config.currency), connection)


def scored_cutoffs(site: Site) -> list[date]:
    """List the scored cutoffs, ascending; a folder without a manifest belongs to an unfinished run."""
    return site.config.outputs.scored_cutoffs()


def unfinished_cutoffs(site: Site) -> list[str]:
    """List the cutoffs whose scoring is not finished, as text."""
    return [str(cutoff) for cutoff in site.config.outputs.unfinished_cutoffs()]


def read_scored_cutoff(site: Site, requested: str = "") -> ScoredCutoff:
    """Read a scored cutoff, by default the newest.

    Raises:
        MissingOutput: There is none, its folder is incomplete, or an older version of regulars wrote it.
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
    folder = site.config.outputs.scores(day)
    command = f"regulars score --cutoff {day}"
    try:
        manifest, fingerprint = _cached_manifest(site, folder / MANIFEST, ScoreManifest)
    except (OSError, DataError):
        text = site.tr("The manifest of the scores of {day} cannot be read.", day=day)
        raise MissingOutput(text, command, 503) from None
    missing_files = [part["file"] for part in manifest.parts if not (folder / part["file"]).is_file()]
    if missing_files or not manifest.parts:
        raise MissingOutput(site.tr("The scores of {day} are incomplete: parts are missing.", day=day), command, 503)
    columns = site.cache.get(
        ("columns", fingerprint), lambda: _columns([folder / part["file"] for part in manifest.parts])
    )
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        text = site.tr(
            "The scores of {day} were written by an older version, or are damaged: columns missing: {columns}.",
            day=day, columns=", ".join(missing),
        )  # fmt: skip
        raise MissingOutput(text, command, 503)
    return ScoredCutoff(day, folder, manifest, fingerprint, columns)


def _columns(files: Sequence[Path]) -> tuple[str, ...]:
    """Read the columns of the first part; none if it cannot be read, nor those that lack values in any part."""
    try:
        names = tuple(pq.read_schema(files[0]).names)
    except (OSError, pa.ArrowInvalid):
        return ()
    gaps = {name for file in files for name in _columns_with_nulls(file)}
    return tuple(name for name in names if name not in NEVER_NULL or name not in gaps)


def _columns_with_nulls(file: Path) -> set[str]:
    """The columns of a part that have nulls, by the statistics in it; none if it cannot be read."""
    try:
        part = pq.read_metadata(file)
    except (OSError, pa.ArrowInvalid):
        return set()
    groups = [part.row_group(number) for number in range(part.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return {column.path_in_schema for column in columns if column.statistics and column.statistics.null_count}


def read_stored_manifest(site: Site, path: Path, model: type[M]) -> tuple[M, str] | None:
    """Read a manifest and the fingerprint of its bytes; None if the file is missing or damaged.

    Args:
        site: The output folder.
        path: The file.
        model: What it should be.

    Returns:
        The manifest and the fingerprint, cached while the file stays the same.
    """
    try:
        return _cached_manifest(site, path, model)
    except OSError:
        return None
    except DataError as problem:
        logging.getLogger(__name__).warning("%s", problem)
        return None


def _cached_manifest(site: Site, path: Path, model: type[M]) -> tuple[M, str]:
    state = path.stat()
    key = ("manifest", model.__name__, str(path), state.st_mtime_ns, state.st_size)
    return site.cache.get(key, lambda: (read_manifest(path, model), file_digest(path, 16)))


def number_format(site: Site, at: ScoredCutoff) -> NumberFormat:
    """Choose the format of money by the customers' mean value; cached."""

    def mean() -> float:
        sql = f"SELECT coalesce(avg(abs(value)), 0) AS mean FROM {ROWS}"
        return float(site.query_row(sql, [at.files])["mean"])

    return NumberFormat(site.cache.get(("mean", at.fingerprint), mean), site.tr)


def has_value(site: Site, at: ScoredCutoff) -> bool:
    """Check whether the scores have a value."""
    return "value" in at.manifest.models or number_format(site, at).mean > 0


def _day(text: str) -> date | None:
    """Parse a day in ISO form; None if it is not one.

    >>> _day("2024-01-31"), _day("../etc"), _day("20240131")
    (datetime.date(2024, 1, 31), None, None)
    """
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
