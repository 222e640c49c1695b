"""What a target of the fuzzer is: a strategy of cases, and a function that runs one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.workspace import Workspace

Case = Any  # plain values that `repr` writes and `ast.literal_eval` reads, so that every case can be run again


@dataclass(frozen=True)
class Target:
    """One part of the program to be tried.

    Attributes:
        name: Its name on the command line.
        cases: Gives the strategy of its cases.
        run: Runs a case; returns what came of it, for counts, or raises `Failure`.
        short: How many cases CI runs.
        seconds: A case that takes longer is a failure.
    """

    name: str
    cases: Callable[[Workspace], st.SearchStrategy[Case]]
    run: Callable[[Workspace, Case], str]
    short: int
    seconds: float = 60.0
