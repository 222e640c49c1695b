"""The last handler: an error that nobody foresaw is one message, and its traceback is in a private file.

The file is in the user's state folder (`$XDG_STATE_HOME/regulars/errors`, by default `~/.local/state/regulars/errors`),
or in the system's temporary folder if that cannot be written. The terminal and logs get no text of the exception,
because it may quote data of customers.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from features.errors import RegularsError
from features.storage.system_errors import SCRATCH_PREFIX, explain_system_error

UNFORESEEN_CODE = 4
PREFIX = f"{SCRATCH_PREFIX}error-"
KEPT = 20  # reports in the folder; the oldest are removed
ROOT = Path(__file__).resolve().parent.parent
OUR_CODE = ("features", "training", "serving", "regulars.py")


def message_and_code(problem: BaseException, command: str) -> tuple[str, int]:
    """The message for the user and the exit code of any error.

    Args:
        problem: An expected error, one of the machine, or one that nobody foresaw, which is then reported in a file.
        command: What was running, such as 'regulars check'.

    Returns:
        The message, and 1 to 4.
    """
    known = problem if isinstance(problem, RegularsError) else explain_system_error(problem)
    if known is not None:
        return str(known), known.exit_code
    return report_unforeseen_error(problem, command), UNFORESEEN_CODE


def report_unforeseen_error(problem: BaseException, command: str) -> str:
    """Write the traceback of an error into a private file.

    Args:
        problem: The error.
        command: What was running, such as 'regulars check'; without arguments, which may name a customer.

    Returns:
        The message for the user: the class of the error, where it was raised, and the file.
    """
    place = _place(problem)
    file = _write_report(_report_text(problem, command))
    kept = (
        f"The details are in {file}, which only you can read; it may quote data of your customers, so remove it when "
        "it has served its purpose"
        if file
        else "The details could not be written to a file"
    )
    return (
        f"an error that nobody foresaw stopped `{command}`: {type(problem).__name__}{f' at {place}' if place else ''}. "
        f"{kept}. Please report this line to those who maintain regulars; running the command again is safe"
    )


def error_folders() -> list[Path]:
    """The folders in which reports of errors may be, the preferred one first."""
    with suppress(RuntimeError):  # a user without a home folder
        state = os.environ.get("XDG_STATE_HOME", "")
        base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
        return [base / "regulars" / "errors", Path(tempfile.gettempdir())]
    return [Path(tempfile.gettempdir())]


def error_reports() -> list[Path]:
    """The reports of errors of this user, the newest first."""
    found = []
    for folder in error_folders():
        for file in folder.glob(f"{PREFIX}*.txt"):
            with suppress(OSError):
                facts = file.lstat()
                if facts.st_uid == os.getuid():
                    found.append((facts.st_mtime_ns, file))
    return [file for _, file in sorted(found, reverse=True)]


def _write_report(text: str) -> Path | None:
    """Write a report that only the user can read; None if no folder can be written."""
    for folder in error_folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=".txt", dir=folder)  # readable by the user only
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            _remove_old(Path(name))
            return Path(name)
    return None


def _remove_old(newest: Path) -> None:
    for file in error_reports()[KEPT:]:
        if file != newest:
            with suppress(OSError):
                file.unlink()


def _report_text(problem: BaseException, command: str) -> str:
    try:
        ours = version("regulars")
    except PackageNotFoundError:
        ours = "unknown"
    facts = f"{command}\nregulars {ours}, Python {platform.python_version()}, {platform.platform()}\n"
    return f"{facts}\n{''.join(traceback.format_exception(problem))}"


def _place(problem: BaseException) -> str:
    """The last line of our own code in a traceback, such as 'features/intake/read_log.py, line 12'."""
    frames = traceback.extract_tb(problem.__traceback__)
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OUR_CODE:
            return f"{path.relative_to(ROOT).as_posix()}, line {frame.lineno}"
    return ""


def running_command(name: str | None) -> str:
    """A command as the user typed it, without its arguments."""
    return f"regulars {name}" if name else Path(sys.argv[0]).stem
