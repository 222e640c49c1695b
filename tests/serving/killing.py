"""A program that kills scoring runs at random moments and resumes them; it forks every run.

    python -m tests.serving.killing CONFIG CUTOFF KILLS SEED

Half of the moments are random times; the others are random changes that the run makes to files, where something may be
half done. Besides, a run is killed before each change by which it publishes its files. After each kill the published
files must be intact, those of the old scores or of the new ones; a run that ends must leave the same bytes as an
undisturbed one. Prints how many runs were killed and how many ended, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import ibis.backends.duckdb  # noqa: F401 (a fork would import it each time)

from features.config.load import Config, load_config, parse_config
from features.json_files import file_digest, has_digest
from serving.scoring import run

CHANGES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "ctypes.dlsym"}
PLACES = ("scores", "contributions")
PUBLISHING_CHANGES = 11  # changes by which a run publishes its files and tidies up


def main(path: str, cutoff: str, kills: str, seed: str) -> None:
    """Run all kills; a failure is a traceback and exit code 1."""
    day, rng = date.fromisoformat(cutoff), random.Random(int(seed))  # noqa: S311 (moments)
    config = _changed(load_config(path), reasons=3)
    champions = run.load_champions(config)
    run.load_champions = lambda config: champions  # loaded once for all forks
    out = config.output
    _run(_changed(config, reasons=1), day)
    old = shutil.copytree(out, out.parent / "old")
    begun = time.monotonic()
    _run(config, day)
    seconds, wanted = time.monotonic() - begun, _checksums(out)
    _restore(out, old)
    assert _run(config, day, _counted(out, count := out.parent / "count")) == 0
    changes = len(count.read_text())
    _restore(out, old)
    moments: list[dict[str, Any]] = [
        {"seconds": rng.uniform(0, seconds)} if number % 2 else {"arm": _kill_at(out, rng.randrange(changes))}
        for number in range(int(kills))
    ]
    moments += [{"arm": _kill_in_placing(out, change)} for change in range(PUBLISHING_CHANGES)]
    killed = ended = 0
    for moment in moments:
        missed = 0
        while (status := _run(config, day, **moment)) != -signal.SIGKILL:
            _assert_intact(out, day)
            assert status == 0 and _checksums(out) == wanted, (status, "other bytes than of an undisturbed run")
            ended, missed = ended + 1, missed + 1
            assert missed < 20, f"{moment} never comes"
            _restore(out, old)
            if "seconds" in moment:  # the run had ended before
                moment["seconds"] *= 0.7
        _assert_intact(out, day)
        killed += 1
    assert _run(config, day) == 0 and _checksums(out) == wanted and not (out / ".scoring").exists()
    sys.stdout.write(json.dumps({"killed": killed, "ended": ended + 1, "seconds": seconds, "changes": changes}))


def _changed(config: Config, **serving: Any) -> Config:
    values = config.model_dump(mode="json", exclude={"folder"})
    values["serving"] |= {"output": str(config.folder / "killed" / "output"), "chunk": 90, **serving}
    return parse_config(values, config.folder / "regulars.toml")


def _run(config: Config, day: date, arm: Callable[[], None] | None = None, seconds: float | None = None) -> int:
    """Score in a fork, which is killed after so many seconds; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            if arm:
                arm()
            run.score_customers(config, day, with_contributions=True, resume=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, 0 if end is None else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            end = None
        time.sleep(0.001)


def _on_change(out: Path, then: Callable[[], None]) -> Callable[[], None]:
    """Call a function just before each change to files under a folder, and before each file is flushed to disk."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES:
            return
        if event == "ctypes.dlsym" or (str(arguments[0]).startswith(str(out)) and _writes(event, arguments)):
            then()

    def arm() -> None:
        settle = os.fsync
        os.fsync = lambda file: (then(), settle(file))[1]
        sys.addaudithook(hook)

    return arm


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def _counted(out: Path, count: Path) -> Callable[[], None]:
    """Write a letter into a file at each change, to count the changes."""
    stream = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    return _on_change(out, lambda: os.write(stream, b"."))


def _kill_at(out: Path, change: int) -> Callable[[], None]:
    """Kill this process before its change with that number."""
    left = [change]

    def then() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return _on_change(out, then)


def _kill_in_placing(out: Path, change: int) -> Callable[[], None]:
    """Kill this process before its change with that number since it began to publish."""
    placed = run._publish

    def arm() -> None:
        def begins(*arguments: Any) -> Any:
            _kill_at(out, change)()
            return placed(*arguments)

        run._publish = begins

    return arm


def _assert_intact(out: Path, day: date) -> None:
    """Assert that readers see the scores of one run, and only contributions of the same run."""
    folder = out / "scores" / f"cutoff={day}"
    manifest = json.loads((folder / run.MANIFEST).read_text())
    assert all(has_digest(folder, part) for part in manifest["parts"]), "scores in place are not whole"
    assert {f.name for f in folder.iterdir()} == {run.MANIFEST, *(p["file"] for p in manifest["parts"])}
    for kind, parts in manifest["contributions"].items():
        explained = out / "contributions" / kind / f"cutoff={day}"
        if explained.exists():
            assert all(has_digest(explained, part) for part in parts), "contributions of other numbers"


def _checksums(out: Path) -> dict[str, str]:
    files = [file for place in PLACES for file in sorted((out / place).rglob("*")) if file.is_file()]
    return {file.relative_to(out).as_posix(): file_digest(file) for file in files}


def _restore(out: Path, old: Path) -> None:
    """Restore the output as it was before the run; built features stay."""
    for place in (*PLACES, ".scoring"):
        shutil.rmtree(out / place, ignore_errors=True)
    for place in PLACES:
        shutil.copytree(old / place, out / place)


if __name__ == "__main__":
    main(*sys.argv[1:])
