"""Copies published scores to a CSV for people and to a table of PostgreSQL; a failed copy changes nothing.

Both are written from the published parts, one at a time, and both record the run that they come from; a copy of the
same run is not written again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from adbc_driver_manager.dbapi import Error as DriverError

from features.config.load import Config
from features.errors import DataError, UsageError
from features.outputs.manifests import manifest_text
from features.sources import postgres
from features.sources.source import Source
from features.sql_text import quote_name, quote_text
from features.storage.atomic_files import atomic_folder, report_write_errors
from features.storage.json_files import file_digest, has_digest, read_object
from serving.scoring.score_tables import MANIFEST, Scores
from serving.scoring.spreadsheet_text import escape_formulas

CSV, INCOMING = "scores.csv", "regulars_incoming"
SQL_TYPES = {
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.timestamp("us"): "timestamp",
    pa.date32(): "date",
}
JSON_TYPE = "jsonb"
REASON_FORMATS = {
    "churn_reasons": (100.0, "{:+.1f} points"),
    "value_reasons": (1.0, "{:+,.2f}"),
    "reasons": (100.0, "{:+.1f} points"),  # of lapsed customers
}


def deliver_scores(config: Config, scores: Scores) -> list[str]:
    """Copy published scores to the places that [serving] names; return a line for each that was written.

    Raises:
        DataError: The database refuses or cannot be reached; the scores stay published.
        UsageError: The CSV cannot be written, or the table lacks columns.
    """
    notes = []
    if config.serving.csv:
        folder = config.outputs.csv(scores.cutoff)
        if write_scores_csv(scores, folder):
            notes.append(f"written: {folder / CSV}")
    if config.serving.database:
        if write_scores_table(config, scores):
            notes.append(f"written: table {config.serving.table} of {config.serving.scores_target().display_name}")
    return notes


def write_scores_csv(scores: Scores, folder: Path) -> bool:
    """Write `scores.csv` (UTF-8, RFC 4180) and a manifest into a folder; return False if it has those of this run.

    Reasons are written as text, and text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    run = scores.manifest.run
    if _holds_csv_of(folder, run):
        return False
    with atomic_folder(folder) as beside:
        file = beside / CSV
        with report_write_errors(folder):
            for number, part in enumerate(scores.manifest.parts):
                append_csv(spreadsheet_table(scores.read_part(part)), file, header=number == 0)
            facts = {"run": run, "file": CSV, "rows": scores.manifest.customers, "sha256": file_digest(file)}
            (beside / MANIFEST).write_text(manifest_text(facts), encoding="utf-8")
    return True


def reasons_as_text(reasons: pa.ChunkedArray, scale: float, form: str) -> pa.Array:
    """Write lists of reasons as text: each reading with its contribution, strongest first.

    Args:
        reasons: Lists of reasons (n,).
        scale: What contributions are multiplied by: 100 for points of probability.
        form: The format of a contribution, for `str.format`.

    Returns:
        Text (n,).
    """
    lists = reasons.combine_chunks()
    flat = lists.flatten()
    amounts = pa.array([form.format(scale * c) for c in flat.field("contribution").to_pylist()], pa.string())
    each = pc.binary_join_element_wise(flat.field("reading"), " (", amounts, ")", "")
    return pc.binary_join(pa.ListArray.from_arrays(lists.offsets, each), "; ")


def write_scores_table(config: Config, scores: Scores) -> bool:
    """Replace a cutoff's rows in the table of PostgreSQL; return False if the table has the rows of this run.

    All happens in one transaction: readers see the old rows until all new ones are there. A missing table is created.
    Reasons are jsonb, and a further column names the run.

    Raises:
        DataError: The database refuses or cannot be reached; it has not changed.
        UsageError: The table lacks columns.
    """
    target = config.serving.scores_target()
    name = ".".join(quote_name(part) for part in target.table.split(".", 1))
    schema = scores.schema
    run = scores.manifest.run
    with _explain_database_errors(target), postgres.write_transaction(target.source, target.password()) as cursor:
        _create_table(cursor, name, schema)
        _refuse_missing(cursor, target, name, schema)
        cutoff = f"TIMESTAMP '{scores.cutoff}'"
        cursor.execute(f"SELECT count(*), min(run), max(run) FROM {name} WHERE cutoff = {cutoff}")  # noqa: S608
        if cursor.fetchone() == (scores.manifest.customers, run, run):
            return False
        cursor.adbc_ingest(INCOMING, _score_batches(scores, schema), mode="create", temporary=True)
        columns = ", ".join(f'"{column}"' for column in schema.names)
        selected = ", ".join(f'"{f.name}"::{JSON_TYPE}' if _is_list(f) else f'"{f.name}"' for f in schema)
        cursor.execute(f"DELETE FROM {name} WHERE cutoff = {cutoff}")  # noqa: S608
        cursor.execute(f"INSERT INTO {name} ({columns}, run) SELECT {selected}, '{run}' FROM {INCOMING}")  # noqa: S608
        cursor.execute(f"DROP TABLE {INCOMING}")
    return True


def delete_customer_rows(config: Config, names: Collection[str], really: bool) -> int:
    """Delete a customer's rows of all cutoffs from the table of PostgreSQL, or only count them.

    Args:
        config: The business; [serving] names the table.
        names: The ids of the customer, plain and hashed.
        really: Whether to delete; False only counts.

    Returns:
        The number of rows that the table has or had.

    Raises:
        DataError: The database refuses or cannot be reached.
    """
    target = config.serving.scores_target()
    name = ".".join(quote_name(part) for part in target.table.split(".", 1))
    rows = 0
    with _explain_database_errors(target), postgres.write_transaction(target.source, target.password()) as cursor:
        cursor.execute(f"SELECT to_regclass({quote_text(name)}) IS NULL")
        if cursor.fetchone() == (True,):
            return 0
        for customer_id in names:
            cursor.execute(f"SELECT count(*) FROM {name} WHERE customer_id = {quote_text(customer_id)}")  # noqa: S608 (quoted)
            rows += int((cursor.fetchone() or (0,))[0])
            if really:
                cursor.execute(f"DELETE FROM {name} WHERE customer_id = {quote_text(customer_id)}")  # noqa: S608 (quoted)
    return rows


def _holds_csv_of(folder: Path, run: str) -> bool:
    """Tell whether a folder holds the intact CSV of a run."""
    try:
        facts = read_object(folder / MANIFEST, "")
    except (FileNotFoundError, DataError):
        return False
    return facts.get("run") == run and has_digest(folder, facts)


def append_csv(table: pa.Table, file: Path, header: bool) -> None:
    """Append rows to a CSV file.

    Args:
        table: The rows, from `spreadsheet_table`.
        file: The file.
        header: Whether to write the names of the columns first.
    """
    with file.open("ab") as stream:
        pa_csv.write_csv(table, stream, pa_csv.WriteOptions(include_header=header))


def spreadsheet_table(table: pa.Table) -> pa.Table:
    """Turn score rows into columns for a spreadsheet: the cutoff as a day, reasons as text, formulas escaped."""
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if _is_list(field):
            column = escape_formulas(pa.chunked_array([reasons_as_text(column, *REASON_FORMATS[field.name])]))
        elif pa.types.is_timestamp(field.type):
            column = column.cast(pa.date32())
        elif pa.types.is_string(field.type):
            column = escape_formulas(column)
        columns[field.name] = column
    return pa.table(columns)


def _score_batches(scores: Scores, schema: pa.Schema) -> pa.RecordBatchReader:
    """Read the score rows part by part, with reasons as JSON."""
    types = pa.schema([pa.field(f.name, pa.string()) if _is_list(f) else f for f in schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for part in scores.manifest.parts:
            table = scores.read_part(part)
            columns = [_as_json(table[f.name]) if _is_list(f) else table[f.name] for f in schema]
            yield from pa.table(columns, schema=types).to_batches()

    return pa.RecordBatchReader.from_batches(types, batches())


def _as_json(lists: pa.ChunkedArray) -> pa.Array:
    return pa.array([json.dumps(reasons, ensure_ascii=False) for reasons in lists.to_pylist()], pa.string())


def _is_list(field: pa.Field) -> bool:
    return pa.types.is_list(field.type)


def _create_table(cursor: postgres.Cursor, name: str, schema: pa.Schema) -> None:
    """Create the table if it is missing; a lock keeps two runs from doing so at once."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('regulars scores'))")
    cursor.execute(f"SELECT to_regclass({quote_text(name)}) IS NULL")
    if cursor.fetchone() == (True,):
        columns = ", ".join(_column_definition(field) for field in schema)
        cursor.execute(f"CREATE TABLE {name} ({columns}, run text, PRIMARY KEY (cutoff, customer_id))")


def _column_definition(field: pa.Field) -> str:
    return f"{quote_name(field.name)} {JSON_TYPE if _is_list(field) else SQL_TYPES[field.type]}"


def _refuse_missing(cursor: postgres.Cursor, target: Source, name: str, schema: pa.Schema) -> None:
    """Refuse a table that lacks columns, and name the statement that adds them."""
    cursor.execute(
        f"SELECT attname::text FROM pg_attribute WHERE attrelid = {quote_text(name)}::regclass AND attnum > 0 "  # noqa: S608
        "AND NOT attisdropped"
    )
    present = {column for (column,) in cursor.fetchall()}
    wanted = [*schema, pa.field("run", pa.string())]
    if missing := [field for field in wanted if field.name not in present]:
        added = ", ".join(f"ADD COLUMN {_column_definition(field)}" for field in missing)
        raise UsageError(
            f"[serving] table: {target.table} of {target.display_name} has no column "
            f"{', '.join(f.name for f in missing)}; run ALTER TABLE {name} {added}; or name another table"
        )


@contextmanager
def _explain_database_errors(target: Source) -> Iterator[None]:
    """Turn the driver's errors into one message that holds no password and no row."""
    try:
        yield
    except (DriverError, pa.ArrowException, OSError) as problem:
        reason, _ = postgres.explain_error(str(problem), getattr(problem, "sqlstate", None) or "", writing=True)
        raise DataError(
            f"{target.display_name}: the scores cannot be written to table {target.table}: {reason}. The table has "
            "not changed, and the Parquet parts are complete: the same command again only fills the table"
        ) from None
