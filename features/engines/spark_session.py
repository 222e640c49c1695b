"""The Spark session: the active one, or a new one with the settings of the config."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from features.code_digest import PROJECT_ROOT
from features.config.load import EngineConfig
from features.engines.base import error_summary, megabytes
from features.engines.java import temporary_java_home
from features.engines.spark_files import is_remote_path, zip_package
from features.errors import UsageError
from features.storage.system_errors import explain_system_error

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that pandas 3 is newer than what PySpark was tested with
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession
    from pyspark.sql.utils import is_remote

for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):
    PySparkLogger.getLogger(name).disabled = True  # they log every error to stderr, including the data values
STOPPING = (signal.SIGINT, signal.SIGTERM)
SPARK_ERRORS = (PySparkException, Py4JError)
MAX_LOCAL_PARTITIONS = 8  # of a shuffle on one machine; more would only write more files
SQL_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
}
LOG4J_PROPERTIES = """\
status = error
rootLogger.level = error
logger.shell.name = org.apache.spark.api.python.PythonGatewayServer
logger.shell.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c{1}: %m%n
"""


def active_session() -> SparkSession | None:
    """Return the session that already exists, in a notebook, on a cluster or in spark-submit; None if there is none.

    Raises:
        UsageError: It is a Spark Connect session, which cannot store tables.
    """
    if is_remote():
        raise UsageError('[engine] kind = "spark" needs a classic Spark session, found Spark Connect')
    try:
        return SparkSession.active()
    except PySparkException:
        return SparkSession.builder.getOrCreate() if "PYSPARK_GATEWAY_PORT" in os.environ else None


def start_session(config: EngineConfig, scratch: Path) -> SparkSession:
    """Start Spark with the settings of the config.

    Raises:
        UsageError: Java is missing, or Spark does not start with these settings.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.config(map={"spark.app.name": "regulars", **session_settings(config, scratch)})
    try:
        with temporary_java_home(scratch), _interrupted_afterwards():
            return builder.getOrCreate()
    except SPARK_ERRORS as problem:
        raise UsageError(f"[engine] Spark does not start: {error_summary(problem)}") from None


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Let Spark start completely before Ctrl-C stops this process; a second Ctrl-C stops it at once.

    A Java that is starting would not notice that nobody waits for it. Spark also sets a handler of its own, which asks
    Java first and may wait for it for long; this process's handlers are set again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in STOPPING}
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, handlers[number])

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def error_reason(problem: Exception) -> str:
    """Why Spark failed: what is wrong with the machine and what to do, or the first line of its message."""
    return str(explain_system_error(problem) or error_summary(problem))


def session_settings(config: EngineConfig, scratch: Path) -> dict[str, str]:
    """Return Spark's settings for a session that this engine starts."""
    master = f"local[{config.threads}]" if config.threads and config.master == "local[*]" else config.master
    options = {
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.maxResultSize": "0",
        "spark.hadoop.fs.permissions.umask-mode": "077",  # only the user may read stored tables on a shared file system
        "spark.sql.warehouse.dir": f"file://{scratch}/warehouse",
    }
    if config.memory:
        options["spark.driver.memory"] = _megabytes(config.memory)
    if master.startswith("local"):
        logging = scratch / "log4j2.properties"
        logging.write_text(LOG4J_PROPERTIES, encoding="utf-8")
        options |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(scratch),
            "spark.sql.shuffle.partitions": str(min(_cores(master), MAX_LOCAL_PARTITIONS)),
            "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.as_uri()}",
        }
    return options


def shared_folder(config: EngineConfig, session: SparkSession, local: str) -> str:
    """Return the folder for stored tables, which every Spark process can reach.

    Args:
        config: The engine's section.
        session: The session.
        local: A folder on this machine.

    Returns:
        A folder of its own in the scratch folder, or `local`.

    Raises:
        UsageError: Spark runs on several machines, and the scratch folder is on this one.
    """
    if is_remote_path(config.scratch):
        return f"{config.scratch.rstrip('/')}/regulars-{uuid4().hex}"
    if not config.scratch and not str(session.sparkContext.master).startswith("local"):
        raise UsageError(
            f"[engine] scratch: Spark runs on {session.sparkContext.master}, so set scratch to a folder that "
            "every machine of the cluster can reach, such as 's3a://bucket/tmp' or 'hdfs:///tmp'"
        )
    return f"file://{local}"


def send_packages(packages: Sequence[str], session: SparkSession, scratch: Path) -> set[str]:
    """Send packages of ours to Spark's workers, where they need not be installed.

    Workers on this machine import `training` and `serving` from the checkout, so that machine code compiled from
    them is kept for the next run; workers on other machines get all packages as archives.

    Args:
        packages: Their names.
        session: The session.
        scratch: Where the archives are written.

    Returns:
        The names of those that were sent.
    """
    context = session.sparkContext
    if str(context.master).startswith("local"):
        paths = context.environment.get("PYTHONPATH", "").split(os.pathsep)
        if str(PROJECT_ROOT) not in paths:
            context.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT_ROOT), *paths)))
        packages = [package for package in packages if package == "features"]
    for package in packages:
        context.addPyFile(str(zip_package(PROJECT_ROOT / package, scratch)))
    return set(packages)


def delete_folder(place: str, session: SparkSession) -> None:
    """Delete a folder of stored tables, on this machine or where Hadoop reaches it."""
    if not is_remote_path(place):
        shutil.rmtree(place.removeprefix("file://"), ignore_errors=True)
        return
    java = session.sparkContext._gateway.jvm  # type: ignore[union-attr]
    path = java.org.apache.hadoop.fs.Path(place)
    path.getFileSystem(session._jsc.hadoopConfiguration()).delete(path, True)


def _cores(master: str) -> int:
    """Return the number of threads of a local master.

    >>> _cores("local"), _cores("local[3]"), _cores("local[2,4]")
    (1, 3, 2)
    """
    match = re.fullmatch(r"local\[(\d+|\*)(,\s*\d+)?\]", master)
    if match is None:
        return 1
    return os.cpu_count() or 1 if match[1] == "*" else int(match[1])


def _megabytes(memory: str) -> str:
    """Return a size of memory in Java's notation.

    >>> _megabytes("8GB"), _megabytes("1.5 GiB")
    ('8192m', '1536m')
    """
    size = megabytes(memory)
    if size is None:
        raise UsageError(f"[engine] memory = {memory!r} is not understood; expected a size such as '8GB'")
    return f"{max(1, int(size))}m"
