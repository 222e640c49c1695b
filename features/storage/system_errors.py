"""Errors of the machine as readable messages: a full disk, missing rights, a locked database, too little memory.

They can occur in any library and at any line. Each library has its own exceptions for them, so they are recognised by
the error number of the system or by words of the message, anywhere in the chain of exceptions.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass

from features.errors import DataError, RegularsError, UsageError

SCRATCH_PREFIX = "regulars-"  # of the names of our temporary folders
QUOTED_PATH = re.compile(r"""["']((?:/|[A-Za-z]:\\)[^"'\n]+)["']""")
ANOTHER_FOLDER = "set [serving] output (for temporary files [engine] scratch, or TMPDIR) to a folder on another disk"


@dataclass(frozen=True)
class _Cause:
    """A cause that the user can remove.

    Attributes:
        numbers: Error numbers of the system.
        words: A pattern that the libraries' messages contain.
        message: What happened and what to do; `{where}` is the file and a colon, or empty.
        error: The kind of the error.
    """

    numbers: tuple[int, ...]
    words: str
    message: str
    error: type[RegularsError] = UsageError


CAUSES = (
    _Cause(
        (errno.ENOSPC, errno.EDQUOT),
        r"No space left|disk is full|Disk quota exceeded|not enough space",
        f"{{where}}the disk is full; free some space, or {ANOTHER_FOLDER}, and run the command again",
    ),
    _Cause(
        (),
        r"database (table )?is locked|Could not set lock on file|Conflicting lock|database is being used",
        "{where}the database is in use by another process; wait until it has finished, or close it, and run the "
        "command again",
        DataError,
    ),
    _Cause(
        (),
        r"Out of Memory Error|failed to offload|max_temp_directory_size",  # limits of DuckDB
        "{where}the engine's memory or scratch folder is full; raise [engine] memory, or set [engine] scratch to a "
        "folder with more free space",
    ),
    _Cause(
        (errno.ENOMEM,),
        r"OutOfMemoryError|Cannot allocate memory|malloc of size|std::bad_alloc",
        "{where}there is not enough memory; set [engine] memory below what the machine has, make [serving] chunk "
        "smaller, or close other programs",
    ),
    _Cause(
        (errno.EROFS,),
        r"Read-only file system|readonly database",
        "{where}can only be read, not written; change that, or set [serving] output and [tracking] uri to another "
        "folder",
    ),
    _Cause(
        (errno.EACCES, errno.EPERM),
        r"Permission denied|Operation not permitted|unable to open database file",
        "{where}no right to read or write it; have the rights changed (`ls -l` shows them), or give another path",
    ),
    _Cause(
        (errno.EMFILE, errno.ENFILE),
        r"Too many open files",
        "{where}too many open files; raise the limit of the shell (`ulimit -n 4096`) and run the command again",
    ),
    _Cause(
        (errno.EFBIG,),
        r"File too large",
        "{where}the file becomes larger than this system allows; raise the limit (`ulimit -f`), or give another path",
    ),
    _Cause(
        (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO),
        r"Input/output error|Stale file handle|Transport endpoint",
        "{where}the disk or network folder does not answer; check it, and run the command again",
    ),
    _Cause(
        (errno.ENAMETOOLONG,),
        r"File name too long",
        "{where}a name is too long for this file system; shorten the name of the business, the campaign or the folder",
    ),
)
VANISHED = (
    "{where}the folder for temporary files was removed while the command ran; run the command again, and set [engine] "
    "scratch to a folder that nothing cleans up"
)


def explain_system_error(problem: BaseException) -> RegularsError | None:
    """The message for an error of the machine.

    Args:
        problem: Any exception; its causes are looked at too.

    Returns:
        The error to show, or None if nothing in the chain is an error of the machine.

    >>> str(explain_system_error(OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet"))).split(";")[0]
    '/data/x.parquet: the disk is full'
    >>> explain_system_error(KeyError("amount"))
    """
    for link in causes_of(problem):
        if _scratch_vanished(link):
            return UsageError(VANISHED.format(where=_where(link)))
        for cause in CAUSES:
            if _is_due_to(link, cause):
                return cause.error(cause.message.format(where=_where(link)))
    return None


def causes_of(problem: BaseException) -> Iterator[BaseException]:
    """Yields an exception and all that led to it, the last one first."""
    seen: set[int] = set()
    links = [problem]
    while links:
        link = links.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            links += [other for other in (link.__cause__, link.__context__) if other is not None]


def _is_due_to(link: BaseException, cause: _Cause) -> bool:
    if isinstance(link, MemoryError):
        return errno.ENOMEM in cause.numbers
    if isinstance(link, OSError) and link.errno is not None:
        return link.errno in cause.numbers
    return _is_of_library(link) and re.search(cause.words, str(link)) is not None


def _is_of_library(link: BaseException) -> bool:
    """Whether an exception may wrap one of the system: a plain error of Python, such as KeyError, quotes only data."""
    return type(link).__module__ != "builtins" or isinstance(link, OSError | RuntimeError)


def _scratch_vanished(link: BaseException) -> bool:
    """Whether one of our temporary folders, or a file in it, is no longer there."""
    missing = isinstance(link, FileNotFoundError) or (_is_of_library(link) and "No such file or directory" in str(link))
    path = _path(link)
    return missing and any(part.startswith(SCRATCH_PREFIX) for part in path.split("/"))


def _path(link: BaseException) -> str:
    """The file that an exception is about; empty if it names none."""
    if isinstance(link, OSError) and link.filename is not None:
        return str(link.filename)
    quoted = QUOTED_PATH.search(str(link))
    return quoted[1] if quoted else ""


def _where(link: BaseException) -> str:
    path = _path(link)
    return f"{path}: " if path else ""
