"""What a process needs before anything else is imported: one line for Ctrl-C, and threads that sleep while they wait.

`regulars.py` imports this module first. It imports only what is loaded quickly. Ctrl-C while the others are imported
also ends with one line and exit code 130. OpenMP reads its settings when LightGBM loads it, so they are set here.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

EXIT_CODE = 130
# OpenMP's threads (GCC's and LLVM's) spin while they wait for each other by default, so a training beside other work
# waits for threads that are not running. Threads that sleep leave the processor to the one that they wait for.
SLEEPING_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def one_line_hook(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """Report an exception that nothing caught; an interruption is one line instead of a traceback.

    Args:
        kind: The class of the exception.
        problem: The exception.
        trace: Where it was raised.

    Raises:
        SystemExit: It was an interruption.
    """
    if not isinstance(problem, KeyboardInterrupt):
        sys.__excepthook__(kind, problem, trace)
        return
    sys.stderr.write("regulars: interrupted\n")
    raise SystemExit(EXIT_CODE)


def let_threads_sleep() -> None:
    """Sets the policy of OpenMP's threads for this process and its children, unless the user has set one."""
    for name, value in SLEEPING_THREADS.items():
        os.environ.setdefault(name, value)


let_threads_sleep()
sys.excepthook = one_line_hook
