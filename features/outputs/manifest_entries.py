"""Rows and entries of the manifests, as typed dictionaries."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

FileName = Annotated[str, Field(pattern=r"^[^/\\]+$")]  # in the folder of its manifest, never elsewhere
Count = Annotated[int, Field(ge=0)]
Rows = list[dict[str, Any]]


class Part(TypedDict):
    """One file of a table: its name, rows and SHA-256."""

    file: FileName
    rows: Count
    sha256: str


class ScoringModel(TypedDict):
    """The model that predicted a number, its task, and the end of the outcomes that it learned from.

    `quick` if a quick look trained it; `skill` is false if it treats everybody alike.
    """

    label: str
    run_id: NotRequired[str]
    digest: NotRequired[str]
    task: NotRequired[dict[str, Any]]
    learned_until: NotRequired[str]
    skill: NotRequired[bool]
    quick: NotRequired[bool]


class SampleRatio(TypedDict):
    """Whether the sizes of the groups contradict the randomisation, and the checks behind that."""

    alarm: bool
    share: NotRequired[float]
    threshold: NotRequired[float]
    groups: NotRequired[Rows]


class NightStep(TypedDict):
    """A step of a nightly run: its name, state, digests of inputs and files, exit code, note and seconds."""

    name: str
    state: str
    inputs: NotRequired[str]
    files: NotRequired[str]
    code: NotRequired[int]
    note: NotRequired[str]
    seconds: NotRequired[float]
