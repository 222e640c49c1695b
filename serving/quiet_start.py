"""Ctrl-C before the command line is ready, while modules are imported, also ends with one line and exit code 130.

`regulars.py` imports this module first. It imports only what is loaded quickly.
"""

from __future__ import annotations

import sys
from types import TracebackType

EXIT_CODE = 130


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


sys.excepthook = one_line_hook
