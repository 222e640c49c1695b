"""What the audit says of amounts: rows that outweigh all others, several currencies, reused order ids, overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ibis
import numpy as np

from features.audit.files import FILE, file_name
from features.config.load import Config
from features.currencies import CURRENCY_CODES
from features.engines.base import Engine
from features.errors import UsageError, sample
from features.heavy_amounts import NOTED_RATIO, count_heavy
from features.intake.reused_orders import LATER_USE, PAUSE
from features.intake.tables import Tables
from features.money import TICKS

LARGEST_ROWS = 1000  # so many of the largest rows are looked at
NEARLY_ALL = 0.99  # so many values of a column of currencies are codes


def amount_notes(config: Config, tables: Tables, engine: Engine, repeated_rows: int) -> list[str]:
    """Notes on amounts, and on rows that count twice.

    Args:
        config: Names the columns.
        tables: The contract.
        engine: Where the tables are.
        repeated_rows: How many rows equal another in every column and are kept.

    Returns:
        One sentence a note.
    """
    return [
        *(_heavy_rows(tables, engine) if tables.contract.has_amount else []),
        *(_currencies(config, tables, engine) if tables.contract.has_amount else []),
        *(_reused_orders(tables, engine) if tables.reused_orders else []),
        *(_overlaps(config, tables, engine) if repeated_rows and not config.events.id else []),
    ]


def _heavy_rows(tables: Tables, engine: Engine) -> list[str]:
    """Rows that hold a large share of the money."""
    events = tables.events
    rows = events.select("customer_id", money=events.amount.abs())
    rows = rows.filter(rows.money > 0)
    facts = engine.to_arrow(
        rows.aggregate(count=rows.count(), total=rows.money.cast("float64").sum(), median=rows.money.median())
    ).to_pylist()[0]
    if not facts["count"]:
        return []
    largest = engine.to_arrow(rows.order_by(ibis.desc("money"), "customer_id").limit(LARGEST_ROWS))
    money = largest["money"].to_numpy().astype(np.float64)
    total, median = float(facts["total"]), float(facts["median"])
    heavy = count_heavy(money, total, int(facts["count"]), median, NOTED_RATIO)
    if not heavy:
        return []
    ids = sorted(set(largest["customer_id"].to_pylist()[:heavy]))
    amount = f"{money[heavy - 1] / TICKS:,.2f}"
    share = f"{money[:heavy].sum() / total:.1%} of the money"
    who = f"1 row holds {share}, {amount} (customer {sample(ids)})"
    if heavy > 1:
        who = f"{heavy:,} rows hold {share}, {amount} or more each (customers such as {sample(ids, 3)})"
    return [
        f"{who}, more than {NOTED_RATIO:g} times the median row: mistyped? Correct or filter such rows in [events] "
        "query"
    ]


def _currencies(config: Config, tables: Tables, engine: Engine) -> list[str]:
    """A column of the source that holds codes of several currencies, if the config does not name it."""
    source = tables.source
    if config.events.currency in source.columns:
        return []
    names = [name for name in _distinct_names(tables) if source[name].type().is_string()]
    codes = {name: source[name].strip().upper().isin(sorted(CURRENCY_CODES)) for name in names}
    facts: dict[str, ibis.Value] = {}
    for i, name in enumerate(names):
        facts |= {f"given{i}": (source[name].strip() != "").sum(), f"codes{i}": codes[name].sum()}
    counts = engine.to_arrow(source.aggregate(**facts)).to_pylist()[0] if facts else {}
    for i, name in enumerate(names):
        if not counts[f"codes{i}"] or counts[f"codes{i}"] < NEARLY_ALL * counts[f"given{i}"]:
            continue
        of_codes = source.filter(codes[name]).select(code=source[name].strip().upper())
        groups = of_codes.group_by("code").aggregate(rows=of_codes.count()).order_by(ibis.desc("rows"), "code")
        top = engine.to_arrow(groups.limit(10)).to_pylist()
        if len(top) > 1:
            rows = ", ".join(f"{row['code']} {row['rows']:,}" for row in top[:5])
            return [
                f"column {name!r} holds codes of several currencies (rows: {rows}), but amounts are added up as they "
                f'are: if these are theirs, set [events] currency = "{name}", and rates to convert them'
            ]
    return []


def _distinct_names(tables: Tables) -> list[str]:
    """The columns of the source that every engine can tell by name: Spark calls `note` and `Note` one name."""
    spellings: dict[str, set[str]] = {}
    for name in (name for files in tables.files for file in files.files for name in file.columns):
        spellings.setdefault(name.casefold(), set()).add(name)
    return [name for name in tables.source.columns if len(spellings.get(name.casefold(), ())) < 2]


def _reused_orders(tables: Tables, engine: Engine) -> list[str]:
    """Order ids that a customer used again after a long pause."""
    later = tables.events.filter(tables.events.order_id.re_search(LATER_USE)).select("order_id").distinct()
    ids = engine.to_arrow(later.order_by("order_id").limit(3))["order_id"].to_pylist()
    used = "1 order id was" if tables.reused_orders == 1 else f"{tables.reused_orders:,} order ids were"
    return [
        f"{used} used again by the same customer after more than {PAUSE.days} days without a purchase (such as "
        f"{sample([text.rpartition(' @')[0] for text in ids], 3)}): each use counts as an order of its own; were the "
        "numbers started anew?"
    ]


def _overlaps(config: Config, tables: Tables, engine: Engine) -> list[str]:
    """Files that share rows, as exports of overlapping periods do."""
    events = config.events
    if not any(len(files.files) > 1 for files in tables.files) or events.duplicates == "drop":
        return []
    try:
        source = engine.read_source(
            events.to_source("events"), config.folder, events.columns_by_role(), events.id_columns(), file_column=FILE
        )
    except UsageError:  # a query that counts columns, such as UNION, takes no further one
        return []
    if FILE not in source.columns:
        return []
    columns = [name for name in _distinct_names(tables) if name in source.columns]
    groups = source.group_by(columns).aggregate(first=source[FILE].min(), last=source[FILE].max())
    shared = groups.filter(groups["first"] != groups["last"])
    pairs = shared.group_by("first", "last").aggregate(rows=shared.count())
    return _overlap_text(engine.to_arrow(pairs.order_by(ibis.desc("rows"), "first", "last")).to_pylist(), config.folder)


def _overlap_text(pairs: list[Mapping[str, object]], folder: Path) -> list[str]:
    """The note on pairs of files that share rows, those with most of them first."""
    if not pairs:
        return []
    total = sum(int(str(pair["rows"])) for pair in pairs)
    worst = "; ".join(
        f"{file_name(str(pair['first']), folder)} and {file_name(str(pair['last']), folder)}: "
        f"{int(str(pair['rows'])):,}"
        for pair in pairs[:3]
    )
    return [
        f"{total:,} rows are the same in two files or more ({worst}): overlapping exports? Such rows count twice; "
        'export each period once, or set [events] id, or duplicates = "drop"'
    ]
