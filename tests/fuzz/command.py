"""Runs a command of the real command line in this process, and judges what came of it.

Only two outcomes are right: the command did its work, or it was refused with the exit code of its kind and one readable
message that says what to do. Everything else is a failure: a traceback, an exit code outside the contract (also 4:
nobody foresaw it), control characters for the terminal, text of customers' rows, or files that are half-written.
"""

from __future__ import annotations

import os
import re
import signal
import traceback
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from click.testing import CliRunner

import regulars
from features.errors import RegularsError
from features.storage.atomic_files import leftovers_of

ROOT = Path(__file__).resolve().parents[2]
CODES = {0: "accepted", 1: "exit 1", 2: "exit 2", 3: "exit 3"}
CANARY = "kanarek-7f3a9c"  # in columns that no config names: it must not be printed or written anywhere
LONGEST = 6_000  # characters of a message that somebody can still read
NEWLINE = "\n"
UNSAFE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TEMPORARY = leftovers_of()  # names of folders in which files are being written
LIBRARY_WARNING = re.compile(r"^(\S+\.py):\d+: (\w*Warning): ", re.MULTILINE)
PATH = re.compile(r"/[^\s:;,'\"]+")
ADVICE = (  # words of advice: what is right, or what to do
    "expected add ask change check choose close compare convert correct create delete did_you_mean export "
    "finish fix free give has install is_required it_has keep known_are load log lower make must name names "
    "need needs nothing_to_do open pass put quote raise read remove rename repair replace restore retry run "
    "save see set should_be start stop such_as supply train try turn unset use wait write "
).split()
HINTS = re.compile(rf"`|--\w|\b({'|'.join(ADVICE).replace('_', ' ')})\b", re.IGNORECASE)


class Failure(AssertionError):
    """An outcome that the contract does not allow.

    Attributes:
        kind: What sort of failure it is, in a few words.
        place: Where it arose, such as a function, so that one fault is counted as one.
    """

    def __init__(self, kind: str, detail: str, place: str = "") -> None:
        super().__init__(f"{kind}{f' at {place}' if place else ''}\n{detail}")
        self.kind, self.place = kind, place

    @property
    def signature(self) -> str:
        """One text for all failures of one fault."""
        return f"{self.kind} at {self.place}" if self.place else self.kind


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def kind(self) -> str:
        """The exit code in words, for counts."""
        return CODES[self.code]

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.stdout + self.stderr


def run_command(folder: Path, *arguments: str) -> Outcome:
    """Run a command in a folder and check what it printed.

    Args:
        folder: The working folder.
        arguments: As after `regulars`.

    Returns:
        The outcome, which is success or a proper refusal.

    Raises:
        Failure: It is neither.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", hidden)  # as Python does for users
            result = CliRunner().invoke(regulars.cli, list(arguments), prog_name="regulars")
    finally:
        os.chdir(before)
        os.umask(0o022)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise unforeseen(result.exception, result.exc_info[2] if result.exc_info else None)
    outcome = Outcome(result.exit_code, result.stdout, result.stderr)
    if outcome.code not in CODES:
        trace = _private_traceback(outcome.text)
        error = re.findall(r"^(?:\w+\.)*(\w+)(?=:|$)", trace.strip().rpartition(NEWLINE)[2])
        raise Failure(f"exit code {outcome.code} {' '.join(error)}".strip(), outcome.text + trace, _place_in(trace))
    check_text(outcome.text)
    if outcome.code:
        _check_message(outcome)
    return outcome


def refusal_kind(problem: RegularsError) -> str:
    """The kind of a refusal by a function, after checking its message."""
    check_text(str(problem))
    check_hint(str(problem))
    return CODES[problem.exit_code]


def unforeseen(problem: BaseException, trace: TracebackType | None = None) -> Failure:
    """The failure for an exception that reached the user."""
    if isinstance(problem, Failure):
        return problem
    frames = traceback.extract_tb(trace or problem.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename)]
    last = (ours or list(frames))[-1] if frames else None
    place = f"{_short(last.filename)}:{last.name}" if last else ""
    text = "".join(traceback.format_exception(type(problem), problem, trace or problem.__traceback__))
    return Failure(f"traceback: {type(problem).__name__}", text, place)


def check_text(text: str) -> None:
    """Check that a printed text is safe for a terminal, is no traceback, and has no customer's row.

    Raises:
        Failure: It is not.
    """
    if "Traceback (most recent call last)" in text:
        raise Failure("traceback printed", text)
    if warned := LIBRARY_WARNING.search(text):
        raise Failure(f"a warning of Python on the terminal: {warned[2]}", text, _short(warned[1]))
    if unsafe := sorted({c for c in text if is_unsafe(c)}):
        raise Failure("control characters on the terminal", f"{unsafe!r} in {text!r}", _words(text, unsafe[0]))
    if CANARY in text:
        raise Failure("text of customers' rows on the terminal", text, _words(text, CANARY))


def is_unsafe(character: str) -> bool:
    """Whether a character could change what a terminal shows."""
    return character != NEWLINE and (unicodedata.category(character) in UNSAFE_CATEGORIES or character in BIDI)


def check_hint(message: str) -> None:
    """Check that a message of refusal can be read and says what to do.

    Raises:
        Failure: It does not.
    """
    if not message.strip():
        raise Failure("an empty message", repr(message))
    if len(message) > LONGEST:
        raise Failure("a message too long to read", message, _words(message, message[:1]))
    if not HINTS.search(message):
        raise Failure("a message without advice", message, re.sub(r"\W+", " ", message)[-60:])


def leftovers(folder: Path) -> list[str]:
    """Files that somebody was writing and did not remove."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if TEMPORARY.fullmatch(path.name))


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder with their content; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer; only in the main thread."""

    def over(*_: object) -> None:
        raise Failure("too slow", f"it took over {seconds:g} s\n{''.join(traceback.format_stack(limit=8))}")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check_message(outcome: Outcome) -> None:
    """A refusal is one message of ours, or click's with the usage."""
    ours = [line for line in outcome.stderr.splitlines() if line.startswith("regulars: ")]
    clicks = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    if outcome.stderr and Counter({"ours": len(ours), "click's": len(clicks)}).total() > 1:
        raise Failure("more than one message", outcome.stderr)
    message = outcome.stderr if ours or clicks else outcome.text
    check_hint(message[message.find("regulars: ") :] if ours else message)


def _private_traceback(text: str) -> str:
    """The traceback in the file that a message names; the file is removed."""
    for name in PATH.findall(text):
        path = Path(name.rstrip("."))
        if path.is_file() and path.stat().st_size < 1_000_000 and b"Traceback" in path.read_bytes():
            found = path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
            return f"\n{found}"
    return ""


def _place_in(trace: str) -> str:
    """The innermost place of ours in a traceback."""
    lines = re.findall(r'File "([^"]+)", line \d+, in (\S+)', trace)
    ours = [f"{_short(file)}:{function}" for file, function in lines if _is_ours(file)]
    return ours[-1] if ours else ""


def _is_ours(file: str) -> bool:
    return file.startswith(str(ROOT)) and "/tests/" not in file and "/.venv/" not in file


def _short(file: str) -> str:
    return file.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]


def _words(text: str, mark: str) -> str:
    """A few words before a mark, by which a message is recognised."""
    before = text.partition(mark)[0].rpartition(NEWLINE)[2]
    return re.sub(r"[^A-Za-z\[\] ]+", " ", before)[:60].strip()
