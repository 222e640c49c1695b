"""Paths of files as Spark reads them, and packages as archives for its workers."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

from features.errors import DataError, UsageError
from features.sources.files import file_format, find_files
from features.sources.parquet_files import ParquetFiles, read_footers

REMOTE_SCHEMES = ("abfs", "abfss", "dbfs", "file", "gs", "hdfs", "oss", "s3", "s3a", "viewfs", "wasb", "wasbs")


def is_remote_path(path: str) -> bool:
    """Return whether a path has a scheme that Spark reads itself, such as s3a://bucket/folder or dbfs:/tmp."""
    return path.partition(":")[0] in REMOTE_SCHEMES and ":/" in path


def local_parquet(source: str, folder: Path) -> ParquetFiles | None:
    """Return the Parquet files of a source on this machine, with their footers; None if Spark finds them itself.

    Raises:
        DataError: There are no files, or they are not Parquet or damaged.
        UsageError: The source is a database.
    """
    if is_remote_path(source):
        return None
    if "://" in source:
        raise UsageError(
            f'[events] source: with [engine] kind = "spark", {source.partition(":")[0]}:// is not read; '
            f"expected Parquet: files, a folder or a glob, on this machine or at {', '.join(REMOTE_SCHEMES)}"
        )
    files = find_files(source, folder)
    if file_format(files, source) != "parquet":
        raise DataError(
            f'{source}: [engine] kind = "spark" reads Parquet only, found {files[0].name}; convert it once '
            f"(duckdb -c \"COPY (FROM '{files[0].name}') TO 'log.parquet'\"), or set kind = \"duckdb\""
        )
    return read_footers(files, source, folder)


def escaped_path(path: Path) -> str:
    """Return a local path as a URL for Spark, with characters of globs escaped."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path.resolve()))


def zip_package(package: Path, folder: Path) -> Path:
    """Write a package's modules to a zip archive in a folder, from which Python can import them."""
    target = folder / f"{package.name}.zip"
    with ZipFile(target, "w") as parts:
        for module in sorted(package.rglob("*.py")):
            parts.write(module, module.relative_to(package.parent).as_posix())
    return target
