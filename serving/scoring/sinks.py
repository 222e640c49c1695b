"""Where scores go beside their Parquet: a CSV for people, and a table of PostgreSQL; each whole, or as it was before.

Both are made from the parts that are in place, one at a time, and both remember the run that made them: where it is the
same, nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from adbc_driver_manager.dbapi import Error as DriverError

from features.atomic_files import atomic_folder, report_write_errors
from features.config.load import Config
from features.engines.base import quote_name
from features.errors import DataError, UsageError
from features.sources import postgres
from features.sources.source import Source
from serving.scoring.resumable_run import file_checksum, is_intact
from serving.scoring.score_tables import MANIFEST, Scores
from serving.scoring.spreadsheet_text import escape_formulas

CSV, INCOMING = "scores.csv", "regulars_incoming"
SQL_TYPES = {pa.string(): "text", pa.float64(): "double precision", pa.timestamp("us"): "timestamp"}
JSON_TYPE = "jsonb"
REASON_FORMATS = {"churn_reasons": (100.0, "{:+.1f} points"), "value_reasons": (1.0, "{:+,.2f}")}


def deliver_scores(config: Config, scores: Scores) -> list[str]:
    """Brings scores that are in place wherever [serving] wants them; returns a line for each place that was written.

    Raises:
        DataError: The database refuses, or is not reached; the scores stay in place.
        UsageError: The CSV cannot be written, or the table has other columns.
    """
    told = []
    if config.serving.csv:
        folder = config.output / "csv" / f"cutoff={scores.cutoff}"
        if write_scores_csv(scores, folder):
            told.append(f"written: {folder / CSV}")
    if config.serving.database:
        if write_scores_table(config, scores):
            told.append(f"written: table {config.serving.table} of {config.serving.scores_target().display_name}")
    return told


def write_scores_csv(scores: Scores, folder: Path) -> bool:
    """Writes `scores.csv` (UTF-8, RFC 4180) and a manifest into a folder, unless those of the same run are there.

    Reasons are text, and text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    run = scores.manifest.get("run", "")
    if _is_there(folder, run):
        return False
    with atomic_folder(folder) as beside:
        file = beside / CSV
        with report_write_errors(folder):
            for number, part in enumerate(scores.manifest["parts"]):
                _append_csv(spreadsheet_table(scores.read_part(part)), file, header=number == 0)
            said = {"run": run, "file": CSV, "rows": scores.manifest["customers"], "sha256": file_checksum(file)}
            (beside / MANIFEST).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return True


def reasons_as_text(reasons: pa.ChunkedArray, scale: float, form: str) -> pa.Array:
    """Lists of reasons (n,) as text: each reading with its contribution, strongest first."""
    lists = reasons.combine_chunks()
    flat = lists.flatten()
    amounts = pa.array([form.format(scale * c) for c in flat.field("contribution").to_pylist()], pa.string())
    each = pc.binary_join_element_wise(flat.field("reading"), " (", amounts, ")", "")
    return pc.binary_join(pa.ListArray.from_arrays(lists.offsets, each), "; ")


def write_scores_table(config: Config, scores: Scores) -> bool:
    """Puts a cutoff's scores into the table of PostgreSQL in place of those that it has of that cutoff.

    One transaction: readers see the old rows until the new ones are all there. The table is made where there is none.
    Reasons are jsonb, and a further column names the run. Nothing is written where the run's rows are there.

    Raises:
        DataError: The database refuses, or is not reached; it is as it was.
        UsageError: The table has not all columns.
    """
    target = config.serving.scores_target()
    name = ".".join(quote_name(part) for part in target.table.split(".", 1))
    schema = pq.read_schema(scores.folder / scores.manifest["parts"][0]["file"])
    run = scores.manifest.get("run", "")
    with _explained(target), postgres.write_transaction(target.source, target.password()) as cursor:
        _make(cursor, name, schema)
        _refuse_missing(cursor, target, name, schema)
        cutoff = f"TIMESTAMP '{scores.cutoff}'"
        cursor.execute(f"SELECT count(*), min(run), max(run) FROM {name} WHERE cutoff = {cutoff}")  # noqa: S608
        if cursor.fetchone() == (scores.manifest["customers"], run, run):
            return False
        cursor.adbc_ingest(INCOMING, _incoming(scores, schema), mode="create", temporary=True)
        columns = ", ".join(f'"{column}"' for column in schema.names)
        taken = ", ".join(f'"{f.name}"::{JSON_TYPE}' if _listed(f) else f'"{f.name}"' for f in schema)
        cursor.execute(f"DELETE FROM {name} WHERE cutoff = {cutoff}")  # noqa: S608
        cursor.execute(f"INSERT INTO {name} ({columns}, run) SELECT {taken}, '{run}' FROM {INCOMING}")  # noqa: S608
        cursor.execute(f"DROP TABLE {INCOMING}")
    return True


def delete_customer_rows(config: Config, names: Collection[str], really: bool) -> int:
    """Deletes a customer's rows from the table of PostgreSQL, of all cutoffs; returns how many there are, or were.

    Args:
        config: Names the table.
        names: Of the customer.
        really: Whether to delete, and not only to count.

    Raises:
        DataError: The database refuses, or is not reached.
    """
    target = config.serving.scores_target()
    name = ".".join(quote_name(part) for part in target.table.split(".", 1))
    rows = 0
    with _explained(target), postgres.write_transaction(target.source, target.password()) as cursor:
        cursor.execute(f"SELECT to_regclass({_text(name)}) IS NULL")
        if cursor.fetchone() == (True,):
            return 0
        for one in names:
            cursor.execute(f"SELECT count(*) FROM {name} WHERE customer_id = {_text(one)}")  # noqa: S608 (quoted)
            rows += int((cursor.fetchone() or (0,))[0])
            if really:
                cursor.execute(f"DELETE FROM {name} WHERE customer_id = {_text(one)}")  # noqa: S608 (quoted)
    return rows


def _is_there(folder: Path, run: str) -> bool:
    """Whether a folder holds the whole CSV of a run."""
    try:
        said = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return said.get("run") == run and is_intact(folder, said)


def _append_csv(table: pa.Table, file: Path, header: bool) -> None:
    with file.open("ab") as stream:
        pa_csv.write_csv(table, stream, pa_csv.WriteOptions(include_header=header))


def spreadsheet_table(table: pa.Table) -> pa.Table:
    """Score rows for a spreadsheet: the cutoff as a day, reasons as sentences, formulas escaped."""
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if _listed(field):
            column = escape_formulas(pa.chunked_array([reasons_as_text(column, *REASON_FORMATS[field.name])]))
        elif pa.types.is_timestamp(field.type):
            column = column.cast(pa.date32())
        elif pa.types.is_string(field.type):
            column = escape_formulas(column)
        columns[field.name] = column
    return pa.table(columns)


def _incoming(scores: Scores, schema: pa.Schema) -> pa.RecordBatchReader:
    """The score rows part by part, reasons as JSON."""
    kinds = pa.schema([pa.field(f.name, pa.string()) if _listed(f) else f for f in schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for part in scores.manifest["parts"]:
            table = scores.read_part(part)
            columns = [_as_json(table[f.name]) if _listed(f) else table[f.name] for f in schema]
            yield from pa.table(columns, schema=kinds).to_batches()

    return pa.RecordBatchReader.from_batches(kinds, batches())


def _as_json(lists: pa.ChunkedArray) -> pa.Array:
    return pa.array([json.dumps(reasons, ensure_ascii=False) for reasons in lists.to_pylist()], pa.string())


def _listed(field: pa.Field) -> bool:
    return pa.types.is_list(field.type)


def _make(cursor: postgres.Cursor, name: str, schema: pa.Schema) -> None:
    """Makes the table where there is none; two runs that would do so at once take turns."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('regulars scores'))")
    cursor.execute(f"SELECT to_regclass({_text(name)}) IS NULL")
    if cursor.fetchone() == (True,):
        columns = ", ".join(_declared(field) for field in schema)
        cursor.execute(f"CREATE TABLE {name} ({columns}, run text, PRIMARY KEY (cutoff, customer_id))")


def _declared(field: pa.Field) -> str:
    return f"{quote_name(field.name)} {JSON_TYPE if _listed(field) else SQL_TYPES[field.type]}"


def _refuse_missing(cursor: postgres.Cursor, target: Source, name: str, schema: pa.Schema) -> None:
    """Refuses a table that another version made, with the statement that mends it."""
    cursor.execute(
        f"SELECT attname::text FROM pg_attribute WHERE attrelid = {_text(name)}::regclass AND attnum > 0 "  # noqa: S608
        "AND NOT attisdropped"
    )
    there = {column for (column,) in cursor.fetchall()}
    wanted = [*schema, pa.field("run", pa.string())]
    if missing := [field for field in wanted if field.name not in there]:
        added = ", ".join(f"ADD COLUMN {_declared(field)}" for field in missing)
        raise UsageError(
            f"[serving] table: {target.table} of {target.display_name} has no column "
            f"{', '.join(f.name for f in missing)}; run ALTER TABLE {name} {added}; or name another table"
        )


@contextmanager
def _explained(target: Source) -> Iterator[None]:
    """Turns what the driver raises into one message without a password and without a row."""
    try:
        yield
    except (DriverError, pa.ArrowException, OSError) as problem:
        said, _ = postgres.explain_error(str(problem), getattr(problem, "sqlstate", None) or "", writing=True)
        raise DataError(
            f"{target.display_name}: the scores cannot be written to table {target.table}: {said}. It is as it was, "
            "and the Parquet parts are whole: the same command again only fills the table"
        ) from None


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
