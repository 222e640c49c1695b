"""Download a list of customers, of a plan or of its holdout as CSV or as a workbook; in batches, to save memory.

Formulas in text are escaped in CSV; in a workbook the cells are typed as text, so Excel does not run them. Only one
workbook is written at a time: one with a million customers takes a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from duckdb import Error as DuckDBError
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response, StreamingResponse

from features.outputs.layout import PLAN_TABLE
from features.storage.private_folders import ScratchFolder
from serving.scoring.sinks import REASON_FORMATS, reasons_as_text, spreadsheet_table
from serving.web.parts.output_reader import ROWS, MissingOutput, ScoredCutoff, Site
from serving.web.views.customer_filter import (
    CustomerFilter,
    filter_sql,
    needs_plan,
    order_sql,
    shown_columns,
    source_sql,
)
from serving.web.views.customers import list_columns, list_totals
from serving.web.views.plan import LISTED, PlanAtBudget, StoredPlan
from serving.web.views.plan_list import PlanFilter, plan_list_sql

BATCH = 20_000
EXCEL_ROWS = 1_048_576  # including the header
LONGEST = 32_767  # characters in a cell
HELD_OUT = "customer_id, would_have, segment, churn_probability, value"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ONE_WORKBOOK = Lock()
AGAIN = 60  # seconds after which a workbook may be asked for again
_FOLDERS: dict[Path, ScratchFolder] = {}  # of workbooks that are being sent


@dataclass(frozen=True)
class Listing:
    """A list to download: a query over files of the output folder.

    Attributes:
        name: The name of the file, without its ending.
        sql: The query; it names its columns and their order.
        params: Its parameters.
        rows: How many rows it has.
        command: The command that makes the files.
    """

    name: str
    sql: str
    params: Sequence[Any]
    rows: int
    command: str


def customers_listing(site: Site, at: ScoredCutoff, filters: CustomerFilter, money: bool) -> Listing:
    """Describe the filtered list of customers.

    Args:
        site: The output folder.
        at: The scored cutoff.
        filters: The filter.
        money: Whether the scores have a value; it sets the default order.

    Returns:
        The list, in its order.
    """
    with_plan = needs_plan(filters) or "action" in shown_columns(site, at, filters, money)
    (source, files), (test, params) = source_sql(site, at, with_plan), filter_sql(site, at, filters)
    first, *others = list_columns(site, at, filters, money, with_plan)
    columns = ", ".join([first, f"DATE '{at.cutoff}' AS cutoff", *others])
    sql = f"SELECT {columns} FROM {source} {test} {order_sql(filters, money)}"
    rows = list_totals(site, at, filters)["customers"]
    return Listing(f"customers-{at.cutoff}", sql, [*files, *params], rows, f"regulars score --cutoff {at.cutoff}")


def planned_listing(plan: StoredPlan, planned: PlanAtBudget, filters: PlanFilter, rows: int) -> Listing:
    """Describe the customers whom a plan includes at a budget, filtered and ordered as they are shown.

    Args:
        plan: The plan.
        planned: The plan at the budget.
        filters: The filter and order.
        rows: How many customers the list has.

    Returns:
        The list.
    """
    sql, params = plan_list_sql(plan, planned, filters)
    return Listing(_plan_name(plan, "plan"), f"SELECT {LISTED} {sql}", params, rows, _plan_command(plan))


def holdout_listing(plan: StoredPlan) -> Listing:
    """Describe the customers whom a plan holds out, with the action that each would have."""
    sql = f"SELECT {HELD_OUT} FROM {ROWS} WHERE holdout ORDER BY customer_id"
    params = [[str(plan.folder / PLAN_TABLE)]]
    return Listing(_plan_name(plan, "holdout"), sql, params, plan.facts.customers["held_out"], _plan_command(plan))


def _plan_name(plan: StoredPlan, kind: str) -> str:
    return f"{kind}-{plan.name.replace('/', '-')}"


def _plan_command(plan: StoredPlan) -> str:
    day, campaign = plan.name.split("/")
    return f"regulars plan --cutoff {day} --campaign {campaign}"


def csv_chunks(site: Site, listing: Listing) -> Iterator[bytes]:
    """Write a list as CSV (UTF-8, RFC 4180) in chunks, in its order."""
    header = True
    for batch in _batches(site, listing):
        out = BytesIO()
        pa_csv.write_csv(spreadsheet_table(pa.table(batch)), out, pa_csv.WriteOptions(include_header=header))
        header = False
        yield out.getvalue()


def write_workbook(site: Site, listing: Listing) -> Path:
    """Write a list as a workbook in a temporary folder of its own; the caller deletes it with `delete_workbook`.

    Raises:
        MissingOutput: The list has more rows than an Excel sheet holds, or another workbook is being written.
    """
    if listing.rows >= EXCEL_ROWS:
        message = site.tr(
            "The list has {n} customers, but an Excel sheet holds only {most} rows. Narrow the list, or download "
            "the CSV.",
            n=f"{listing.rows:,}", most=f"{EXCEL_ROWS:,}",
        )  # fmt: skip
        raise MissingOutput(message, status=413)
    if not _ONE_WORKBOOK.acquire(blocking=False):
        message = site.tr("Another workbook is being written. Try again in {n} s, or download the CSV.", n=AGAIN)
        raise MissingOutput(message, status=503, retry_after=AGAIN)
    try:
        return _write_to_folder(site, listing)
    finally:
        _ONE_WORKBOOK.release()


def _write_to_folder(site: Site, listing: Listing) -> Path:
    folder = ScratchFolder()
    place = Path(folder.name) / "list.xlsx"
    try:
        _write(place, _batches(site, listing))
    except BaseException:
        folder.cleanup()
        raise
    _FOLDERS[place] = folder
    return place


def delete_workbook(place: Path) -> None:
    """Delete a workbook and its temporary folder."""
    _FOLDERS.pop(place).cleanup()


def _batches(site: Site, listing: Listing) -> Iterator[pa.RecordBatch]:
    """Read the rows of a list in batches; the first batch is empty, so that there is always a header."""
    try:
        with site.connection.cursor() as cursor:
            relation = cursor.sql(listing.sql, params=list(listing.params))
            yield pa.RecordBatch.from_pylist([], relation.limit(0).fetch_arrow_table().schema)
            yield from relation.fetch_record_batch(BATCH)
    except DuckDBError:
        message = site.tr(
            "A file of the output folder cannot be read: it is being written right now, or is incomplete."
        )
        raise MissingOutput(message, listing.command, 503) from None


def _write(place: Path, batches: Iterator[pa.RecordBatch]) -> None:
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
    bold, number = book.add_format({"bold": True}), 1
    for batch in batches:
        if number == 1:
            sheet.write_row(0, 0, batch.schema.names, bold)
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


def csv_response(site: Site, listing: Listing) -> Response:
    """Answer with a list as CSV."""
    pieces = csv_chunks(site, listing)
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=saved_as(f"{listing.name}.csv"))


def workbook_response(site: Site, method: str, listing: Listing) -> Response:
    """Answer with a list as a workbook, which is written only if its content is asked for.

    Args:
        site: The output folder.
        method: 'GET' or 'HEAD'.
        listing: The list.

    Returns:
        The answer; it deletes the workbook once it is sent.
    """
    headers = saved_as(f"{listing.name}.xlsx")
    if method == "HEAD":
        return Response(media_type=XLSX, headers=headers)
    place = write_workbook(site, listing)
    return FileResponse(place, media_type=XLSX, headers=headers, background=BackgroundTask(delete_workbook, place))


def saved_as(name: str) -> dict[str, str]:
    """The header with which a browser saves an answer under a name."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
