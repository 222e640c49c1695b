"""The manifests beside results as typed, frozen models, each with a format version; read in this one place.

A manifest that is half-written, was changed by something else, or has another format gives one message that says which
of the three it is and what to run. Each holds a checksum of its own content.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import DataError
from features.outputs.manifest_entries import Count, FileName, NightStep, Part, Rows, SampleRatio, ScoringModel
from features.storage.json_files import CHECKSUM, document_text, has_valid_checksum, read_json

SAMPLE_RATIO, OVERLAP, SAME_DRAW = "sample ratio", "overlap", "same draw"  # why nothing is learned from a measurement


class OtherFormatError(DataError):
    """A manifest was written by another version of Regulars (exit code 3)."""


class Manifest(BaseModel):
    """What every manifest says.

    Attributes:
        format: The version of the file's format.
        name: The name of the business in its config.
        cutoff: The cutoff.
        currency: The code of the currency of its money; empty if the config does not name it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    FORMAT: ClassVar[int] = 1
    AGAIN: ClassVar[str] = "regulars"  # the command that writes it
    ADVICE: ClassVar[str] = "run `{command}` again"

    format: int = 1
    name: str = ""
    cutoff: date
    currency: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON has it."""
        return self.model_dump(mode="json", exclude_unset=True)


class ScoreManifest(Manifest):
    """`scores/cutoff=D/_manifest.json`.

    Attributes:
        customers: How many were scored.
        parts, contributions: The files of the score table, and of contributions by kind.
        models: For each kind the model's label, run and digest.
        bases, drivers: For each kind the starting point of its contributions, and the cohort's strongest features.
        spread: What prediction intervals of totals need; None without money.
        grade: The figures of the models' grade (`training.evaluation.grade`); None if unknown.
        lifetime: Totals of lifetime value, and how far labels reach; None without lifetime value.
        interval, run: The probability that prediction intervals hold; the digest of all that the files depend on.
    """

    AGAIN: ClassVar[str] = "regulars score --cutoff {cutoff}"

    customers: Count
    parts: list[Part]
    contributions: dict[str, list[Part]] = {}
    models: dict[str, ScoringModel] = {}
    bases: dict[str, float] = {}
    drivers: dict[str, list[dict[str, Any]]] = {}
    spread: dict[str, Any] | None = None
    grade: dict[str, Any] | None = None
    lifetime: dict[str, Any] | None = None
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

    @property
    def skill(self) -> bool:
        """Whether the models tell customers apart; false if they treat everybody alike."""
        return all(model.get("skill", True) for model in self.models.values())


class SegmentManifest(Manifest):
    """`segments/cutoff=D/manifest.json`: rules, clusters and the cutoffs that segments were compared with.

    Attributes:
        files: The SHA-256 of each file beside it.
        skill: Whether the scores tell customers apart.
    """

    AGAIN: ClassVar[str] = "regulars segments --cutoff {cutoff}"

    customers: Count
    files: dict[FileName, str] = {}
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
    skill: bool = True


class UpliftManifest(Manifest):
    """`uplift/cutoff=D/_manifest.json`: the model that estimated the effects, and the checksum of effects.parquet.

    Attributes:
        evidence: The average effects, by action and outcome; empty in earlier versions.
        plans: The measured plans from which the model learned.
        timezone: The zone in which its days begin.
    """

    AGAIN: ClassVar[str] = "regulars uplift --cutoff {cutoff}"

    customers: Count
    rows: Count
    sha256: str
    model: str
    source: str
    actions: str = ""
    evidence: dict[str, dict[str, dict[str, float]]] = {}
    plans: list[str] = []
    timezone: str = "UTC"


class PlanManifest(Manifest):
    """`plans/cutoff=D/CAMPAIGN/manifest.json`.

    Attributes:
        campaign, files: Its name, and the SHA-256 of each of its files.
        rules: The `[plan]` that it was made by.
        budget, spent: The most money that it may spend, and what it spends.
        gain, bound: The expected gain; no plan within the rules is expected to gain more than the bound.
        gain_low, gain_high: They hold the gain with the probability `interval`; None if unknown.
        loss_probability: The probability that it loses money; None if unknown, as with assumed effects.
        exploring: What exploring costs in expected gain, and how it was done; None if the plan does not explore.
        unmeasurable: The actions with too few customers held out to measure them.
        holdout: Share, seed and key of the random draw.
        past: By what the log before the cutoff is recognised when the plan is measured.
        timezone: The zone in which its days begin.
        pilot: Its action, and how many customers were needed, eligible and drawn at random; None if scores choose.
        experiment: Its arms, what it can tell and what it needs, if arms were assigned at random; None otherwise.
    """

    AGAIN: ClassVar[str] = "regulars plan --cutoff {cutoff} --campaign {campaign}"
    ADVICE: ClassVar[str] = "restore it from a backup or, if nobody was contacted yet, run `{command}` again"

    campaign: str
    files: dict[FileName, str] = {}
    rules: dict[str, Any] = {}
    budget: float = 0.0
    spent: float = 0.0
    gain: float
    bound: float = 0.0
    gap: float = 0.0
    gain_low: float | None = None
    gain_high: float | None = None
    interval: float | None = None
    loss_probability: float | None = None
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
    exploring: dict[str, Any] | None = None
    assumed: bool = False
    effects_sha256: str | None = None
    design: dict[str, Any] = {}
    unmeasurable: dict[str, dict[str, Any]] = {}
    send: dict[str, str | None] = {}
    money: dict[str, Any] | None = None
    holdout: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    language: str = "en"
    past: dict[str, Any] | None = None
    timezone: str = "UTC"
    pilot: dict[str, Any] | None = None
    experiment: dict[str, Any] | None = None


class SupersededPlan(Manifest):
    """`plans/cutoff=D/CAMPAIGN/superseded.json`: a newer plan of the cutoff took the place of this one.

    Attributes:
        campaign, by: The plan's name, and the campaign of the newer plan.
    """

    AGAIN: ClassVar[str] = "regulars plan --cutoff {cutoff}"
    ADVICE: ClassVar[str] = "remove it if that plan is the one in use, or run `{command}` again"

    campaign: str = ""
    by: FileName


class Measurement(Manifest):
    """`plans/cutoff=D/CAMPAIGN/measured.json`: the measured effects of an executed plan.

    Attributes:
        campaign, mature: The plan's name, and whether the horizon was over.
        log, effects: Fingerprint, end and marks of the log; the rows of measured.parquet.
        plan_sha256: The SHA-256 of the plan's manifest.
        sample_ratio: Whether the sizes of the groups contradict the randomisation.
        customers: How many were measured, treated, held out and missing.
        returns: Costs and gain, in all and by action.
        withheld: Groups that are too small for a row, and how many customers held out would do.
        counted_up_to: By outcome, how much one customer counts in adjusted effects.
        experiment: For an experiment its test, its arms and the difference of their gains; None for other plans.
        later: The effects on value after the horizon, at two and four horizons, as far as the log reaches.
        overlap: Later plans within the horizon, and the shares of both groups whom their actions reach.
    """

    AGAIN: ClassVar[str] = "regulars measure {cutoff}/{campaign}"
    ADVICE: ClassVar[str] = "remove it, and run `{command}` again"

    campaign: str
    mature: bool
    log: dict[str, Any]
    effects: Rows
    sample_ratio: SampleRatio
    customers: dict[str, Count]
    returns: dict[str, dict[str, Any]] = {}
    withheld: Rows = []
    counted_up_to: dict[str, float] = {}
    plan_sha256: str = ""
    days: int = 0
    horizon_days: int = 0
    matures: str = ""
    exposure: dict[str, dict[str, Any]] = {}
    responses: dict[str, dict[str, int]] = {}
    contamination: dict[str, Any] = {}
    policy_since: date | None = None
    superseded_by: str | None = None
    experiment: dict[str, Any] | None = None
    overlap: dict[str, Any] | None = None
    later: Rows = []

    @property
    def refused_because(self) -> tuple[str, ...]:
        """Why nothing is learned from it: 'sample ratio', 'overlap', 'same draw'; empty if it is evidence."""
        reasons = {
            SAMPLE_RATIO: self.sample_ratio["alarm"],
            OVERLAP: bool(self.overlap and self.overlap["alarm"]),
            SAME_DRAW: self.policy_since is not None,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)


class MonitoringRecord(Manifest):
    """`monitor/cutoff=D/monitor.json`: data, drift, performance and alerts of a scored cutoff."""

    AGAIN: ClassVar[str] = "regulars monitor --cutoff {cutoff}"

    alerts: Rows
    data: Rows = []
    drift: Rows = []
    performance: Rows = []
    calibration: Rows = []
    segments: Rows = []
    notes: list[str] = []
    models: dict[str, str] = {}
    language: str = "en"
    log: dict[str, Any] | None = None


class NightRecord(Manifest):
    """`runs/D.json`: the summary of a nightly run."""

    AGAIN: ClassVar[str] = "regulars run --cutoff {cutoff}"

    started: str = ""
    finished: bool = True
    exit: int = 0
    steps: list[NightStep] = []
    alerts: Rows | int = []
    trained: dict[str, Any] | None = None
    alert_plans: Rows = []
    tried: dict[str, str] = {}
    log: dict[str, Any] | None = None


WRITTEN_BY: Mapping[str, type[Manifest]] = {
    "scores": ScoreManifest,
    "contributions": ScoreManifest,
    "csv": ScoreManifest,
    "winback": ScoreManifest,
    "segments": SegmentManifest,
    "uplift": UpliftManifest,
    "plans": PlanManifest,
    "monitor": MonitoringRecord,
    "runs": NightRecord,
}  # by the folder of the output

M = TypeVar("M", bound=Manifest)


def read_manifest(path: Path, model: type[M]) -> M:
    """A manifest, checked.

    Args:
        path: The file.
        model: What it should be.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is half-written, was changed, is not what Regulars writes there, or has another format.
    """
    advice = _advice(path, model)
    content = read_json(path, advice)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(content).__name__}; {advice}")
    number = content.get("format")
    if isinstance(number, int) and number != model.FORMAT:
        other = "a newer" if number > model.FORMAT else "an older"
        raise OtherFormatError(
            f"{path}: was written by {other} version of Regulars (format {number}; this version reads format "
            f"{model.FORMAT}); {advice}"
        )
    if not has_valid_checksum(content):
        raise DataError(f"{path}: was changed since it was written (its checksum differs); {advice}")
    try:
        return model.model_validate({key: value for key, value in content.items() if key != CHECKSUM})
    except ValidationError as problem:
        fields = ", ".join(sorted({".".join(map(str, error["loc"][:2])) for error in problem.errors()}))
        raise DataError(f"{path}: is not what Regulars writes there (missing or wrong: {fields}); {advice}") from None


def read_required_manifest(path: Path, model: type[M]) -> M:
    """A manifest that must be there: as `read_manifest`, but a missing file is a DataError too."""
    try:
        return read_manifest(path, model)
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; {_advice(path, model)}") from None


def manifest_text(content: Mapping[str, Any]) -> str:
    """A manifest as it is written, with its checksum: the same content gives the same bytes."""
    return document_text(content)


def rewriting_advice(path: Path) -> str:
    """What to do about a damaged file of the output: which command writes it again.

    >>> rewriting_advice(Path("output/segments/cutoff=2024-06-01/kinds.parquet"))
    'run `regulars segments --cutoff 2024-06-01` again'
    """
    if path.name.startswith("measured."):
        return _advice(path, Measurement)
    folder = next((part for part in reversed(path.parts[:-1]) if part in WRITTEN_BY), "")
    if not folder or _cutoff_in(path) == "D":
        return "remove it, and create it again"
    return _advice(path, WRITTEN_BY[folder])


def _advice(path: Path, model: type[Manifest]) -> str:
    """What to do about a manifest that cannot be read."""
    return model.ADVICE.format(command=_command(path, model))


def _command(path: Path, model: type[Manifest]) -> str:
    """The command that writes a manifest or a file beside it."""
    return model.AGAIN.format(cutoff=_cutoff_in(path), campaign=path.parent.name)


def _cutoff_in(path: Path) -> str:
    """The cutoff in the name of one of the two folders above a file, or in its own; 'D' if there is none."""
    names = [p.name for p in (path.parent, path.parent.parent, path)]
    return next((name.removeprefix("cutoff=") for name in names if name.startswith("cutoff=")), "D")
