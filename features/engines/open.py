"""Open the engine that a config names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.config.load import EngineConfig
from features.engines.base import Engine
from features.errors import UsageError


@contextmanager
def open_engine(config: EngineConfig, folder: Path = Path()) -> Iterator[Engine]:
    """Open an engine; at the end of the block it is closed and its scratch folder removed.

    Raises:
        UsageError: PySpark is needed and not installed, or a setting of the engine is wrong.
    """
    engine = _spark(config, folder) if config.kind == "spark" else _duckdb(config, folder)
    try:
        yield engine
    finally:
        engine.close()


def _duckdb(config: EngineConfig, folder: Path) -> Engine:
    from features.engines.duckdb import DuckDBEngine  # imported late: DuckDB is not loaded for Spark

    return DuckDBEngine(config, folder)


def _spark(config: EngineConfig, folder: Path) -> Engine:
    try:
        from features.engines.spark import SparkEngine
    except ModuleNotFoundError as problem:
        if problem.name not in ("pyspark", "py4j"):
            raise
        raise UsageError(
            "[engine] kind = \"spark\" needs PySpark, which is not installed: pip install 'regulars[spark]', "
            'or set kind = "duckdb"'
        ) from None
    return SparkEngine(config, folder)
