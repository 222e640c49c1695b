"""Errors of the machine are recognised in every library's words, and nothing else is taken for one."""

from __future__ import annotations

import errno
import os
import sqlite3

import duckdb
import pyarrow as pa
import pytest

from features.errors import DataError, UsageError
from features.storage.system_errors import explain_system_error


def _os_error(number: int, name: str = "/data/log.csv") -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (_os_error(errno.ENOSPC), "/data/log.csv: the disk is full"),
        (OSError("[Errno 28] Error writing bytes to file. Detail: No space left on device"), "the disk is full"),
        (
            duckdb.IOException('Could not write file "/scratch/x/y.tmp": No space left on device'),
            "/scratch/x/y.tmp: the disk",
        ),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (_os_error(errno.EDQUOT), "the disk is full"),
        (_os_error(errno.EACCES), "/data/log.csv: no right to read or write it"),
        (sqlite3.OperationalError("unable to open database file"), "no right to read or write it"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "can only be read"),
        (_os_error(errno.EROFS), "can only be read"),
        (_os_error(errno.EMFILE), "too many open files"),
        (_os_error(errno.EIO), "does not answer"),
        (_os_error(errno.ENAMETOOLONG), "a name is too long"),
        (MemoryError(), "not enough memory"),
        (pa.ArrowMemoryError("malloc of size 64 failed"), "not enough memory"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"), "raise [engine] memory"),
    ],
)
def test_each_cause_says_what_to_do(problem: BaseException, words: str) -> None:
    known = explain_system_error(problem)
    assert isinstance(known, UsageError) and words in str(known)


@pytest.mark.parametrize(
    "problem",
    [
        sqlite3.OperationalError("database is locked"),
        duckdb.IOException(
            'Could not set lock on file "/data/shop.duckdb": Conflicting lock is held in python (PID 7)'
        ),
    ],
)
def test_a_locked_database_is_one(problem: BaseException) -> None:
    known = explain_system_error(problem)
    assert isinstance(known, DataError) and "in use by another process" in str(known)


def test_a_cause_is_found_through_the_exceptions_that_wrap_it() -> None:
    try:
        try:
            raise _os_error(errno.ENOSPC)
        except OSError as problem:
            raise ValueError("could not train") from problem
    except ValueError as wrapped:
        assert "the disk is full" in str(explain_system_error(wrapped))


def test_a_temporary_folder_that_vanished_is_named() -> None:
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "/scratch/regulars-ab12/mapped-1/rows.parquet")
    in_duckdb = duckdb.IOException('Cannot open file "/scratch/regulars-ab12/duckdb_temp_1": No such file or directory')
    for problem in (gone, in_duckdb):
        assert "folder for temporary files was removed" in str(explain_system_error(problem))
    assert explain_system_error(FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/x.csv")) is None


@pytest.mark.parametrize("text", ["No space left on device", "Permission denied", "database is locked"])
def test_data_that_look_like_a_message_are_not_one(text: str) -> None:
    assert explain_system_error(KeyError(text)) is None
    assert explain_system_error(ValueError(text)) is None
