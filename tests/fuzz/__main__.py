"""Tries odd inputs for as long as it is told, and prints counts.

    python -m tests.fuzz --minutes 30 [--seed N] [--targets configs,intake] [--failures FOLDER]
    python -m tests.fuzz --replay FILE

Exit code 1 if any input failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import serving.nightly.chain  # noqa: F401 (what commands need, imported once for all forks)
import training.backtesting.backtest
import training.uplift.train  # noqa: F401
from tests.fuzz.long_run import in_fork, load_failure, run_case, run_targets, save_failures, tally_text
from tests.fuzz.targets import TARGETS
from tests.fuzz.workspace import Workspace, add_trained, make_workspace, open_workspace


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Try odd inputs and count what came of them."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long, all targets together")
    parser.add_argument("--seed", type=int, default=1, help="seed of the inputs")
    parser.add_argument("--targets", default=",".join(TARGETS), help=f"some of {', '.join(TARGETS)}")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), help="folder for inputs that failed")
    parser.add_argument("--replay", type=Path, help="run one input that failed before, and print what happens")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets.split(",")) - set(TARGETS):
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        workspace = _make(Path(folder), options)
        if options.replay:
            return _replay(options.replay, workspace)
        targets = [TARGETS[name] for name in options.targets.split(",")]
        tallies = run_targets(targets, workspace, options.minutes, options.seed)
    sys.stdout.write(tally_text(tallies) + "\n")
    files = save_failures(tallies, options.failures)
    for file in files:
        sys.stdout.write(f"failed: {file}\n")
    return 1 if files else 0


def _make(folder: Path, options: argparse.Namespace) -> Workspace:
    """The folders of the targets, made in another process, so that this one starts no thread and can fork."""
    with_models = "models" in (load_failure(options.replay)[0] if options.replay else options.targets)

    def make() -> None:
        workspace = make_workspace(folder)
        if with_models:
            add_trained(workspace)

    if in_fork(make):
        raise SystemExit("the folders for the targets could not be made")
    return open_workspace(folder)


def _replay(file: Path, workspace: Workspace) -> int:
    name, case = load_failure(file)
    outcome, detail = run_case(TARGETS[name], workspace, case)
    sys.stdout.write(f"{outcome}\n{detail}\n")
    return 1 if detail else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
