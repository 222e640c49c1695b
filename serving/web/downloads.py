"""Download the filtered list of customers as CSV or as an Excel workbook; both in batches, to save memory.

Formulas in text are escaped in CSV; in a workbook the cells are typed as text, so Excel does not run them. Only one
workbook is written at a time: one with a million customers takes a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from io import BytesIO
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from duckdb import Error as DuckDBError

from features.storage.private_folders import ScratchFolder
from serving.scoring.sinks import REASON_FORMATS, reasons_as_text, spreadsheet_table
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site
from serving.web.views.customers import LIST_COLUMNS, CustomerFilter, filter_sql, order_sql

BATCH = 20_000
EXCEL_ROWS = 1_048_576  # including the header
LONGEST = 32_767  # characters in a cell
COLUMNS = (*LIST_COLUMNS[:1], "cutoff", *LIST_COLUMNS[1:], "churn_reasons", "value_reasons")
_ONE_WORKBOOK = Lock()
AGAIN = 60  # seconds after which a workbook may be asked for again
_FOLDERS: dict[Path, ScratchFolder] = {}  # of workbooks that are being sent


def csv_chunks(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> Iterator[bytes]:
    """Write the list as CSV (UTF-8, RFC 4180) in chunks, in its order.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.
        money: Whether the scores have a value; it sets the default order.

    Yields:
        Bytes of the file.
    """
    header = True
    for batch in _batches(site, at, filters, money):
        out = BytesIO()
        pa_csv.write_csv(spreadsheet_table(pa.table(batch)), out, pa_csv.WriteOptions(include_header=header))
        header = False
        yield out.getvalue()


def write_workbook(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool, customers: int) -> Path:
    """Write the list as a workbook in a temporary folder of its own; the caller deletes it with `delete_workbook`.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.
        money: Whether the scores have a value; it sets the default order.
        customers: How many customers the list has.

    Returns:
        The path of the workbook.

    Raises:
        MissingOutput: The list has more rows than an Excel sheet holds, or another workbook is being written.
    """
    if customers >= EXCEL_ROWS:
        message = site.tr(
            "The list has {n} customers, but an Excel sheet holds only {most} rows. Narrow the list, or download "
            "the CSV.",
            n=f"{customers:,}", most=f"{EXCEL_ROWS:,}",
        )  # fmt: skip
        raise MissingOutput(message, status=413)
    if not _ONE_WORKBOOK.acquire(blocking=False):
        message = site.tr("Another workbook is being written. Try again in {n} s, or download the CSV.", n=AGAIN)
        raise MissingOutput(message, status=503, retry_after=AGAIN)
    try:
        return _write_to_folder(site, at, filters, money)
    finally:
        _ONE_WORKBOOK.release()


def _write_to_folder(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> Path:
    folder = ScratchFolder()
    place = Path(folder.name) / "customers.xlsx"
    try:
        names = [name for name in COLUMNS if name in at.columns]
        _write(place, _batches(site, at, filters, money), names)
    except BaseException:
        folder.cleanup()
        raise
    _FOLDERS[place] = folder
    return place


def delete_workbook(place: Path) -> None:
    """Delete a workbook and its temporary folder."""
    _FOLDERS.pop(place).cleanup()


def _batches(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> Iterator[pa.RecordBatch]:
    """Read the rows of a list in batches; the first batch is empty, so that there is always a header."""
    test, params = filter_sql(site, at, filters)
    columns = ", ".join(name for name in COLUMNS if name in at.columns)
    sql = f"SELECT {columns} FROM {ROWS} {test} {order_sql(filters, money)}"
    try:
        with site.connection.cursor() as cursor:
            relation = cursor.sql(sql, params=[at.files, *params])
            yield pa.RecordBatch.from_pylist([], relation.limit(0).fetch_arrow_table().schema)
            yield from relation.fetch_record_batch(BATCH)
    except DuckDBError:
        message = site.tr(
            "A file of the output folder cannot be read: it is being written right now, or is incomplete."
        )
        raise MissingOutput(message, f"regulars score --cutoff {at.cutoff}", 503) from None


def _write(place: Path, batches: Iterator[pa.RecordBatch], names: Sequence[str]) -> None:
    import xlsxwriter

    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(
        str(place), {**options, "default_date_format": "yyyy-mm-dd", "tmpdir": str(place.parent)}
    )
    sheet = book.add_worksheet("customers")
    sheet.freeze_panes(1, 1)
    sheet.set_column(0, 0, 18)
    sheet.write_row(0, 0, names, book.add_format({"bold": True}))
    number = 1
    for batch in batches:
        columns = [_plain(name, batch.column(name)) for name in batch.schema.names]
        for row in zip(*columns, strict=True):
            for place_in_row, value in enumerate(row):
                _cell(sheet, number, place_in_row, value)
            number += 1
    book.close()


def _plain(name: str, column: pa.Array) -> list[Any]:
    """Turn a column into values for cells; lists of reasons become text."""
    if pa.types.is_list(column.type):
        return list(reasons_as_text(pa.chunked_array([column]), *REASON_FORMATS[name]).to_pylist())
    return list(column.to_pylist())


def _cell(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return
    if isinstance(value, str):
        sheet.write_string(row, column, value[:LONGEST])
    elif isinstance(value, datetime | date):
        sheet.write_datetime(row, column, value)
    else:
        sheet.write_number(row, column, value)
