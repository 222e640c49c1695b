"""The manifests beside results as typed, frozen models, each with a format version; read in this one place.

A manifest that is half-written, was changed by something else, or has another format gives one message that says which
of the three it is and what to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import DataError
from features.json_files import read_object


class Manifest(BaseModel):
    """What every manifest says.

    Attributes:
        format: The version of the file's format.
        name: The name of the business in its config.
        cutoff: The cutoff.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    FORMAT: ClassVar[int] = 1
    AGAIN: ClassVar[str] = "regulars"  # the command that writes it

    format: int = 1
    name: str = ""
    cutoff: date

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON has it."""
        return self.model_dump(mode="json", exclude_unset=True)


Part = dict[str, Any]  # one file of a table: file, rows and sha256


class ScoreManifest(Manifest):
    """`scores/cutoff=D/_manifest.json`.

    Attributes:
        customers: How many were scored.
        parts: The files of the score table.
        contributions: The files of contributions, by kind.
        models: For each kind the model's label, run and digest.
        bases: The starting point of each kind's contributions.
        drivers: For each kind the strongest features of the cohort.
        spread: What prediction intervals of totals need; None without money.
        interval: The probability that prediction intervals hold.
        run: The digest of everything that the files depend on.
    """

    AGAIN: ClassVar[str] = "regulars score --cutoff {cutoff}"

    customers: int
    parts: list[Part]
    contributions: dict[str, list[Part]] = {}
    models: dict[str, dict[str, Any]] = {}
    bases: dict[str, float] = {}
    drivers: dict[str, list[dict[str, Any]]] = {}
    spread: dict[str, Any] | None = None
    interval: float = 0.8  # the default of the config, which early versions did not record
    reasons: int = 0
    chunk: int = 0
    run: str = ""
    language: str = "en"
    engine: str = ""
    ids: dict[str, Any] | None = None
    code: str = ""
    versions: dict[str, str] = {}
    segment_rules: int = 0
    data_fingerprint: str = ""
    snapshot_fingerprint: str = ""


class SegmentManifest(Manifest):
    """`segments/cutoff=D/manifest.json`: rules, clusters and the cutoffs that segments were compared with."""

    AGAIN: ClassVar[str] = "regulars segments --cutoff {cutoff}"

    customers: int
    cutoffs: list[str] = []
    models: dict[str, str] = {}
    data_fingerprint: str = ""
    rules: dict[str, Any] = {}
    window: str = ""
    left_out: list[Any] = []
    kind_periods: dict[str, Any] = {}
    micro_segments: dict[str, Any] | None = None
    language: str = "en"
    segment_rules: int = 0
    stage_rules: int = 0


class UpliftManifest(Manifest):
    """`uplift/cutoff=D/_manifest.json`: the model that estimated the effects, and the checksum of effects.parquet."""

    AGAIN: ClassVar[str] = "regulars uplift --cutoff {cutoff}"

    customers: int
    rows: int
    sha256: str
    model: str
    source: str


class PlanManifest(Manifest):
    """`plans/cutoff=D/CAMPAIGN/manifest.json`.

    Attributes:
        campaign: Its name.
        files: The SHA-256 of each file of the plan.
        rules: The `[plan]` that it was made by.
        budget: The most money that it may spend.
        spent: What it spends.
        gain: The expected gain.
        bound: No plan within the rules is expected to gain more.
        past: By what the log before the cutoff is recognised when the plan is measured.
    """

    AGAIN: ClassVar[str] = "regulars plan --cutoff {cutoff} --campaign {campaign}"

    campaign: str
    files: dict[str, str] = {}
    rules: dict[str, Any] = {}
    budget: float = 0.0
    spent: float = 0.0
    gain: float
    bound: float = 0.0
    gap: float = 0.0
    gain_low: float | None = None
    gain_high: float | None = None
    interval: float | None = None
    objective: str
    margin: float | None = None
    horizon_days: int
    customers: dict[str, int]
    actions: dict[str, dict[str, Any]] = {}
    closed: dict[str, Any] = {}
    segments: dict[str, dict[str, Any]] = {}
    left_out: dict[str, int] = {}
    lists: dict[str, dict[str, int]] = {}
    binding: list[str] = []
    prices: dict[str, Any] = {}
    break_even: float | None = None
    assumed: bool = False
    effects_sha256: str | None = None
    design: dict[str, Any] = {}
    holdout: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    language: str = "en"
    past: dict[str, Any] | None = None


class Measurement(Manifest):
    """`plans/cutoff=D/CAMPAIGN/measured.json`: the measured effects of an executed plan."""

    AGAIN: ClassVar[str] = "regulars measure {cutoff}/{campaign}"

    campaign: str
    mature: bool
    log: dict[str, Any]
    effects: list[dict[str, Any]]


class MonitoringRecord(Manifest):
    """`monitor/cutoff=D/monitor.json`: data, drift, performance and alerts of a scored cutoff."""

    AGAIN: ClassVar[str] = "regulars monitor --cutoff {cutoff}"

    alerts: list[dict[str, Any]]
    log: dict[str, Any] | None = None


M = TypeVar("M", bound=Manifest)


def read_manifest(path: Path, model: type[M]) -> M:
    """A manifest, checked.

    Args:
        path: The file.
        model: What it should be.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is half-written, is not what Regulars writes there, or has another format.
    """
    content = read_object(path, _advice(path, model, {}))
    advice = _advice(path, model, content)
    number = content.get("format")
    if isinstance(number, int) and number != model.FORMAT:
        other = "a newer" if number > model.FORMAT else "an older"
        raise DataError(
            f"{path}: was written by {other} version of Regulars (format {number}; this version reads format "
            f"{model.FORMAT}); {advice}"
        )
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        fields = ", ".join(sorted({".".join(map(str, error["loc"][:2])) for error in problem.errors()}))
        raise DataError(f"{path}: is not what Regulars writes there (missing or wrong: {fields}); {advice}") from None


def manifest_text(content: Mapping[str, Any]) -> str:
    """A manifest as it is written: the same content gives the same bytes."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _advice(path: Path, model: type[Manifest], content: dict[str, Any]) -> str:
    """What to run to write the manifest again."""
    folder = path.parent
    cutoff = next((p.name.removeprefix("cutoff=") for p in (folder, folder.parent) if "cutoff=" in p.name), "D")
    command = model.AGAIN.format(cutoff=cutoff, campaign=content.get("campaign", folder.name))
    return f"run `{command}` again"
