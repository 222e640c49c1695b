"""A business's log, opened once and handed along: from a config, or from a table in memory."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config, load_config, parse_config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.outputs.ownership import require_output_folder
from features.storage.private_folders import ScratchFolder

LOG_FILE, CONFIG_NAME = "log.parquet", "regulars.toml"


class Log:
    """The log of one business: its config, the engine that holds its rows, and its tables.

    The engine starts, and the log is read, when `engine` or `tables` is first used. Use it in a `with` block, or call
    `close`, to give the engine's memory back.

    Attributes:
        config: The business.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._open = ExitStack()

    @cached_property
    def engine(self) -> Engine:
        """The engine that the config names; raises UsageError if the output folder belongs to somebody else."""
        require_output_folder(self.config.output)
        return self._open.enter_context(open_engine(self.config.engine, self.config.folder))

    @cached_property
    def tables(self) -> Tables:
        """The log in the contract's tables; raises DataError or UsageError as `read_tables` does."""
        return read_tables(self.config, self.engine)

    @contextmanager
    def stages(self) -> Iterator[tuple[Engine, Tables]]:
        """The engine and the tables, for a block of work; what the block stores in the engine is dropped at its end."""
        engine, tables = self.engine, self.tables
        with engine.temporary_stages():
            yield engine, tables

    def to_pandas(self) -> Any:
        """The usable events as a DataFrame, one row an event, in the columns of the contract."""
        return self.engine.to_arrow(self.tables.recorded.events).to_pandas()

    def close(self) -> None:
        """Closes the engine; a log that is used again afterwards is opened anew."""
        self._open.close()
        for name in ("engine", "tables"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_log(source: Any, *, folder: str | Path | None = None, name: str = "log", **sections: Any) -> Log:
    """Opens a log: that of a config, or a table in memory.

    Args:
        source: A `Config`, the path of a `regulars.toml`, or the events as a pandas, Polars, Arrow or Ibis table. Any
            other table with an `__arrow_c_stream__` method will do.
        folder: For a table: where it is written as Parquet, together with scores, models and reports. By default a
            temporary folder that is removed when Python ends.
        name: For a table: the name of the business; models are called NAME-churn and NAME-value.
        sections: For a table: the columns, as [events] in a config has them (`customer` and `time` are required;
            `amount`, `order`, `quantity`, `kinds`, ...), and further sections as dictionaries, such as
            `task={"horizon": "30d"}`.

    Returns:
        The log; nothing is read yet.

    Raises:
        UsageError: The source is no table, a column or a key is not understood, or the config cannot be read.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({
    ...     "who": ["ann", "ann", "bob"], "day": pd.to_datetime(["2024-01-05", "2024-02-09", "2024-02-11"]),
    ...     "paid": [10.0, 20.0, 5.0],
    ... })
    >>> with open_log(rows, customer="who", time="day", amount="paid", task={"horizon": "30d"}) as log:
    ...     log.to_pandas()[["customer_id", "amount"]].values.tolist()
    [['ann', 100000], ['ann', 200000], ['bob', 50000]]
    """
    if isinstance(source, Config):
        return Log(source)
    if isinstance(source, str | Path):
        return Log(load_config(str(source)))
    if isinstance(source, Log):
        return source
    rows = arrow_table(source)
    place = _temporary_folder() if folder is None else Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, place / LOG_FILE)
    return Log(parse_config(_content(name, sections), place / CONFIG_NAME))


Business = Config | Log | str | Path  # the business, as functions of the public API take it


@contextmanager
def opened(business: Business) -> Iterator[Log]:
    """The log of a business for a block of work; at its end, the log is closed if the block opened it.

    Args:
        business: An opened log, which stays open, a config, or the path of a config.

    Yields:
        The log; nothing is read yet.

    Raises:
        UsageError: The config cannot be read.
    """
    log = open_log(business)
    try:
        yield log
    finally:
        if log is not business:
            log.close()


def as_date(day: date | str) -> date:
    """A day given as a date or as text; raises UsageError if it is no date.

    >>> as_date("2024-06-01")
    datetime.date(2024, 6, 1)
    """
    try:
        return date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        raise UsageError(f"{day!r} is no date: expected one such as 2024-06-01") from None


def config_of(business: Business) -> Config:
    """The config of a business that is given as a config, an opened log, or the path of a config."""
    return open_log(business).config


def arrow_table(source: Any) -> pa.Table:
    """A table of pandas, Polars, Arrow or Ibis as Arrow; raises UsageError for anything else."""
    if isinstance(source, pa.Table):
        return source
    if hasattr(source, "to_pyarrow") and not hasattr(source, "__dataframe__"):
        return source.to_pyarrow()
    if hasattr(source, "iloc"):
        return pa.Table.from_pandas(source, preserve_index=False)
    if hasattr(source, "__arrow_c_stream__"):
        return pa.table(source)
    raise UsageError(
        f"expected a config, its path, or a pandas, Polars, Arrow or Ibis table; found {type(source).__name__}"
    )


def _temporary_folder() -> Path:
    """A new private folder that is removed when Python ends."""
    place = ScratchFolder()
    atexit.register(place.cleanup)
    return Path(place.name)


def _content(name: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """A config as TOML would have it: what is no section of its own belongs to [events]."""
    own = {key: value for key, value in sections.items() if key in Config.model_fields}
    events = {key: _plain(value) for key, value in sections.items() if key not in own}
    return {"config_version": 1, "name": name, "events": {"source": LOG_FILE, **events}, **own}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
