"""The file of `regulars build`: what may be replaced by it, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import UsageError
from features.intake.source_files import files_of_sources, is_read_by
from features.point_in_time.history import KEYS
from features.storage.atomic_files import atomic_file, atomic_folder, refuse_other_kind, report_write_errors
from features.storage.user_paths import real_path

MAGIC = b"PAR1"  # the first bytes of every Parquet file
BUILD_MARKER = "_regulars.json"  # in a folder of parts; with an underscore, so that readers of Parquet skip it


def require_build_target(config: Config, out: Path) -> None:
    """Refuse a target of `regulars build` that is not new, and not what an earlier build may be replaced at.

    Args:
        config: The business; its own files are never replaced.
        out: The file or, with Spark, the folder to write.

    Raises:
        UsageError: It is a device or a link, a file that the config reads, or a folder of somebody else.
    """
    as_folder = config.engine.kind == "spark"
    refuse_other_kind(out, "folder" if as_folder else "file")
    place = real_path(out)
    read = [file for file in sorted(files_of_sources(config)) if file == place or file.is_relative_to(place)]
    if read or is_read_by(config, place):
        raise UsageError(f"--out {out}: lies where the config reads from ({read[0] if read else place}); give another")
    if out.exists() and not (_is_built(out) if as_folder else _is_parquet(out)):
        raise UsageError(
            f"--out {out}: is a {'folder' if as_folder else 'file'} that `regulars build` did not write, and it would "
            "be replaced; give another path, or remove it yourself"
        )


@contextmanager
def built_file(config: Config, out: Path) -> Iterator[Path]:
    """Yield a temporary path for the rows of a build, which replaces `out` at the end of the block.

    Args:
        config: The business; DuckDB writes one file, Spark a folder of parts.
        out: The file or folder to write.

    Yields:
        The path to write to: of an empty file, or of an empty folder.

    Raises:
        UsageError: `out` cannot be written, or must not be replaced.
    """
    require_build_target(config, out)
    as_folder = config.engine.kind == "spark"
    with (atomic_folder if as_folder else atomic_file)(out) as target:
        yield target
        if as_folder:
            marker = json.dumps({"format": 1, "written_by": "regulars build"}) + "\n"
            (target / BUILD_MARKER).write_text(marker, encoding="utf-8")


def _is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, complete or not, or empty."""
    with report_write_errors(file), file.open("rb") as stream:
        return stream.read(len(MAGIC)) in (MAGIC, b"")


def _is_built(folder: Path) -> bool:
    """Whether a folder is empty or that of an earlier build: with the marker or, of earlier versions, parts only."""
    names = sorted(path.name for path in folder.iterdir())
    if not names or BUILD_MARKER in names:
        return True
    if not all(name.startswith("part-") and name.endswith(".parquet") for name in names):
        return False
    try:
        return set(KEYS) <= set(pq.read_schema(folder / names[0]).names)
    except (OSError, pa.ArrowException):
        return False
