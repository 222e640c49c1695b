"""Files and places as Spark is told of them."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

from features.errors import DataError, UsageError
from features.sources.files import file_format, find_files

REMOTE_SCHEMES = ("abfs", "abfss", "dbfs", "file", "gs", "hdfs", "oss", "s3", "s3a", "viewfs", "wasb", "wasbs")


def is_remote_path(place: str) -> bool:
    """Whether a place is written as one that Spark reaches by itself, such as s3a://bucket/folder or dbfs:/tmp."""
    return place.partition(":")[0] in REMOTE_SCHEMES and ":/" in place


def spark_paths(source: str, folder: Path) -> list[str]:
    """What Spark is to read.

    Raises:
        DataError: There are no files, or they are not Parquet.
        UsageError: The source is a database.
    """
    if is_remote_path(source):
        return [source]
    if "://" in source:
        raise UsageError(
            f'[events] source: with [engine] kind = "spark", {source.partition(":")[0]}:// is not read; '
            f"expected Parquet: files, a folder or a glob, here or at {', '.join(REMOTE_SCHEMES)}"
        )
    files = find_files(source, folder)
    if file_format(files, source) != "parquet":
        raise DataError(
            f'{source}: [engine] kind = "spark" reads Parquet only, found {files[0].name}; convert it once '
            f"(duckdb -c \"COPY (FROM '{files[0].name}') TO 'log.parquet'\"), or set kind = \"duckdb\""
        )
    return [escaped_path(file) for file in files]


def escaped_path(path: Path) -> str:
    """A path here as Spark reads it, which takes brackets and the like for globs unless they are escaped."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path.resolve()))


def zip_package(package: Path, folder: Path) -> Path:
    """A package's modules as an archive in a folder, from which they can be imported."""
    target = folder / f"{package.name}.zip"
    with ZipFile(target, "w") as parts:
        for module in sorted(package.rglob("*.py")):
            parts.write(module, module.relative_to(package.parent).as_posix())
    return target
