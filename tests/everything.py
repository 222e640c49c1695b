"""The project's whole test run: linters, types, then tests and doctests; stops at the first that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "pytest": [
        "pytest",
        "-q",
        "-rs",
        "--durations=40",
        "-n",
        "2",
        "--dist",
        "loadgroup",
    ],  # the group 'spark' stays on one process
}

# Each of the two test processes has one core: more threads would only wait for each other. SciPy's setting lets
# scikit-learn run all of its checks of an estimator.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "SCIPY_ARRAY_API": "1"}


def steps(fast: bool, record: bool = False, long: bool = False) -> dict[str, list[str]]:
    """The commands by name, in their order.

    Args:
        fast: Whether pytest leaves out what is marked slow.
        record: Whether pytest adds slow tests to `tests/slow_tests.txt`.
        long: Whether pytest also runs what is marked long, which CI leaves out.

    Returns:
        The arguments of each command, after `python -m`.
    """
    left_out = [*([] if long else ["not long"]), *(["not slow"] if fast else [])]
    options = [*(["-m", " and ".join(left_out)] if left_out else []), *(["--record-slow"] if record else [])]
    return STEPS | {"pytest": [*STEPS["pytest"], *options]}


def main(arguments: Sequence[str]) -> int:
    """Runs each step under a heading; returns the first exit code that is not 0."""
    if unknown := set(arguments) - {"--fast", "--record", "--long"}:
        found = " ".join(sorted(unknown))
        print(f"usage: python tests/everything.py [--fast] [--long] [--record]; found {found}", file=sys.stderr)
        return 2
    for name, command in steps(*(option in arguments for option in ("--fast", "--record", "--long"))).items():
        print(f"\n== {name} ==", flush=True)
        start = time.perf_counter()
        code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=ENVIRONMENT, check=False).returncode
        took = f"{time.perf_counter() - start:.1f} s"
        if code:
            print(f"\nFAILED: {name} (exit {code}, {took})", flush=True)
            return code
        print(f"-- {name}: ok, {took}", flush=True)
    print("All passed.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
