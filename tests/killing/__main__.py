"""Kills a command at random moments and runs it again; see `tests.killing.commands` for what must be equal.

    python -m tests.killing COMMAND... --kills 20 --seed N
    python -m tests.killing score --config CONFIG --cutoff D --kills 50 --seed N

Each COMMAND is one of build, segments, plan, measure, monitor, report, forget, run, train-tuning, train-logging,
train-first-use and score. Prints a line of JSON for each; exit code 1 if a kill did harm.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path

from tests.killing.commands import COMMANDS, NEWEST, make_trained_business, scoring
from tests.killing.forks import value_of
from tests.killing.kills import Killed, kill_repeatedly
from tests.killing.scenario import Scenario, restore, save


def main(arguments: list[str]) -> int:
    """Kill the commands; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.killing", description="Kill commands and run them again.")
    parser.add_argument("commands", nargs="+", metavar="COMMAND", choices=[*COMMANDS, "score"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="before one in so many changes by which it publishes")
    parser.add_argument("--config", type=Path, help="score: the config of a trained business; else one is made")
    parser.add_argument("--cutoff", type=date.fromisoformat, default=NEWEST, help="score: the cutoff")
    options = parser.parse_args(arguments)
    harm = False
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        for name in options.commands:
            begun = time.monotonic()
            try:
                counts = kill_repeatedly(
                    _scenario(name, Path(place), options), options.kills, options.seed, options.every
                )
                result = {"command": name, **counts, "took": round(time.monotonic() - begun)}
            except Killed as problem:
                harm, result = True, {"command": name, "harm": str(problem)}
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()
    return int(harm)


def _scenario(name: str, place: Path, options: argparse.Namespace) -> Scenario:
    """The scenario of a command, with its business made in forks, since a process that forks must have no threads."""
    if name == "score":
        return scoring(options.config or _based(place, make_trained_business) / "regulars.toml", options.cutoff)
    killed = COMMANDS[name]
    if killed.base is make_trained_business:  # imported once for all forks
        import_module("serving.nightly.chain")
    folder = _based(place, killed.base)
    value_of(lambda: str(killed.prepare(folder)))
    return killed.scenario(folder)


def _based(place: Path, base: Callable[[Path], None]) -> Path:
    """A business as `base` makes it, always in the same folder, because MLflow's paths are absolute."""
    folder, kept = place / base.__name__, place / f"{base.__name__}-kept"
    if not kept.exists():
        folder.mkdir()
        value_of(lambda: str(base(folder)))
        save(folder, kept)
    restore(folder, kept)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
