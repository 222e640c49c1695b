"""Runs targets for as long as it is told, each slice in a process of its own, and keeps every input that failed.

A process that dies (a crash of a library) is a failure too: the input that it was running is kept. Of each fault the
shortest input is saved, as Python's literals, for `python -m tests.fuzz --replay FILE`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.command import Failure, time_limit, unforeseen
from tests.fuzz.target import Case, Target
from tests.fuzz.workspace import Workspace

SLICE = 90.0  # seconds that a target runs before the next one; then memory is given back
BATCH = 200  # inputs from one seed


@dataclass
class Tally:
    """What came of a target's inputs.

    Attributes:
        outcomes: How many inputs had each outcome; failures begin with 'FAILED'.
        failures: The shortest input of each fault, and what went wrong with it.
        seconds: How long the target ran.
        slices: How often it was started.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, tuple[Case, str]] = field(default_factory=dict)
    seconds: float = 0.0
    slices: int = 0

    @property
    def inputs(self) -> int:
        """How many inputs were run."""
        return self.outcomes.total()

    def add(self, outcome: str, case: Case, detail: str = "") -> None:
        """Count one input."""
        self.outcomes[outcome] += 1
        if detail:
            known = self.failures.get(outcome)
            if known is None or len(repr(case)) < len(repr(known[0])):
                self.failures[outcome] = (case, detail)


def run_case(target: Target, workspace: Workspace, case: Case) -> tuple[str, str]:
    """Run one input; return its outcome, and what went wrong if it failed."""
    try:
        with time_limit(target.seconds):
            return target.run(workspace, case), ""
    except Failure as problem:
        return f"FAILED {problem.signature}", str(problem)
    except Exception as problem:
        failure = unforeseen(problem)
        return f"FAILED in the fuzzer itself: {failure.signature}", str(failure)


def run_targets(targets: Sequence[Target], workspace: Workspace, minutes: float, first_seed: int) -> dict[str, Tally]:
    """Run targets in turn until the time is over.

    Args:
        targets: The targets.
        workspace: Their folders; nothing in this process may have started a thread.
        minutes: For how long, all together.
        first_seed: The seed of the first slice of each target.

    Returns:
        The tally of each target.
    """
    tallies = {target.name: Tally() for target in targets}
    end = time.monotonic() + minutes * 60
    while (left := end - time.monotonic()) > 0:
        target = min(targets, key=lambda one: tallies[one.name].seconds)
        tally, begun = tallies[target.name], time.monotonic()
        _run_slice(target, workspace, min(SLICE, left), first_seed + 1000 * tally.slices, tally)
        tally.seconds += time.monotonic() - begun
        tally.slices += 1
        sys.stderr.write(f"{target.name}: {tally.inputs} inputs, {len(tally.failures)} faults\n")
    return tallies


def in_fork(work: Callable[[], None]) -> int:
    """Do some work in a process of its own; return its exit code, negative if a signal ended it."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def save_failures(tallies: dict[str, Tally], folder: Path) -> list[Path]:
    """Save the shortest input of each fault, with what went wrong; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, tally in tallies.items():
        for outcome, (case, detail) in tally.failures.items():
            digest = hashlib.sha256(outcome.encode("utf-8", "replace")).hexdigest()[:8]
            files.append(folder / f"{name}-{digest}.txt")
            lines = "".join(f"# {line}\n" for line in detail.splitlines())
            text = f"# {outcome}\n{name!r}, {ascii(case)}\n{lines}"
            files[-1].write_text(text, encoding="utf-8", errors="backslashreplace")
    return files


def load_failure(file: Path) -> tuple[str, Case]:
    """The target's name and the input that `save_failures` saved."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return ast.literal_eval("\n".join(line for line in lines if not line.startswith("#")))


def tally_text(tallies: dict[str, Tally]) -> str:
    """The counts as text."""
    lines = [
        f"{'target':<16}{'inputs':>8}{'accepted':>10}{'refused':>9}{'failed':>8}{'tracebacks':>12}{'crashes':>9}{'seconds':>9}"
    ]
    total: Counter[str] = Counter()
    for name, tally in tallies.items():
        counts = _counts(tally)
        total += counts
        lines.append(_line(name, counts, tally.seconds))
    lines.append(_line("all", total, sum(tally.seconds for tally in tallies.values())))
    for name, tally in tallies.items():
        lines += ["", f"{name}:", *(f"{count:>8}  {outcome}" for outcome, count in tally.outcomes.most_common())]
    return "\n".join(lines)


def _counts(tally: Tally) -> Counter[str]:
    """The inputs of a target by what became of them."""
    counts: Counter[str] = Counter(inputs=tally.inputs)
    for outcome, number in tally.outcomes.items():
        failed = outcome.startswith("FAILED")
        sort = "failed" if failed else "refused" if "exit" in outcome or "refused" in outcome else "accepted"
        counts[sort] += number
        counts["tracebacks"] += number * ("traceback" in outcome or "exit code 4" in outcome)
        counts["crashes"] += number * (failed and "crash" in outcome)
    return counts


def _line(name: str, counts: Counter[str], seconds: float) -> str:
    columns = (("inputs", 8), ("accepted", 10), ("refused", 9), ("failed", 8), ("tracebacks", 12), ("crashes", 9))
    return f"{name:<16}" + "".join(f"{counts[key]:>{width},}" for key, width in columns) + f"{seconds:>9.0f}"


def _run_slice(target: Target, workspace: Workspace, seconds: float, first_seed: int, tally: Tally) -> None:
    """Run a target for some seconds in a fork, and add what came of it."""
    record, current = workspace.root / "slice.jsonl", workspace.root / "current.txt"
    current.unlink(missing_ok=True)
    record.write_text("")
    code = in_fork(lambda: _fill_slice(target, workspace, seconds, first_seed, (record, current)))
    for line in record.read_text(encoding="utf-8").splitlines():
        outcome, case, detail = json.loads(line)
        tally.add(outcome, ast.literal_eval(case), detail)
    if code and current.exists():
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        tally.add(f"FAILED crash: {how}", ast.literal_eval(current.read_text(encoding="utf-8")), how)


def _fill_slice(
    target: Target, workspace: Workspace, seconds: float, first_seed: int, files: tuple[Path, Path]
) -> None:
    """Run inputs until the time is over; write a line of JSON for each, and the input that is being run."""
    end, (record, current) = time.monotonic() + seconds, files
    with record.open("a", encoding="utf-8") as lines:

        def run_one(case: Case) -> None:
            if time.monotonic() > end:
                return
            current.write_text(ascii(case), encoding="utf-8")
            outcome, detail = run_case(target, workspace, case)
            lines.write(json.dumps([outcome, ascii(case), detail]) + "\n")
            lines.flush()

        batch = 0
        while time.monotonic() < end:
            _batch(target, workspace, first_seed + batch, run_one)
            batch += 1


def _batch(target: Target, workspace: Workspace, number: int, run_one: Callable[[Any], None]) -> None:
    """Draw a batch of inputs from one seed, and run each."""
    options: dict[str, Any] = {"phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}
    test = settings(max_examples=BATCH, database=None, deadline=None, **options)(
        given(target.cases(workspace))(run_one)
    )
    seed(number)(test)()
