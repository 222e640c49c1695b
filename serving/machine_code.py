"""Compiles loops with Numba and keeps the machine code beside the source, for the next process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function, and keep the machine code for the next process if a folder can be written to."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found none
        _warn()
        return numba.njit(nogil=True, error_model="numpy")(function)


@lru_cache(maxsize=1)
def _warn() -> None:
    """Warn once that every process has to compile."""
    logging.getLogger(__name__).warning(
        "compiled code cannot be kept, so each process compiles it again, which takes about ten seconds for "
        "explanations: set NUMBA_CACHE_DIR to a folder that can be written"
    )
