"""The state of the nightly chain: the current night, and the summaries of earlier nights.

A night's summary is `OUTPUT/runs/CUTOFF.json`: its steps with state, seconds and note, open alerts, the delivery of the
log, and what was trained. It also has digests of each step's inputs and files: a step is skipped if both are unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from features.audit.delivery import DeliveryRecord, parse_delivery_record
from features.code_digest import PROJECT_ROOT
from features.config.load import Config
from features.errors import DataError
from features.intake.log import Log
from features.outputs.manifests import NightRecord, OtherFormatError, read_manifest
from features.storage.atomic_files import write_text_atomically
from features.storage.json_files import document_text, file_digest, json_digest

FORMAT = 1
DONE, UNCHANGED, SKIPPED, FAILED = "done", "unchanged", "skipped", "failed"
ROOMS, SUFFIXES = ("features", "training", "serving"), (".py", ".j2", ".css", ".js", ".po")
IRRELEVANT_SECTIONS = (
    "folder",
    "run",
    "tracking",
    "engine",
    "monitor",
)  # of the config: what no step's files depend on
QUOTED = re.compile(r"'[^']*'|(?<=such as )[^)']+(?=\))")  # in a message: what may be a customer's id


@dataclass(frozen=True)
class StepOutcome:
    """The outcome of a step.

    Attributes:
        state: 'done', 'unchanged', 'skipped' or 'failed'.
        note: The result in words, or why there is none.
        code: Exit code: 0 success, 1 an alert or a failed gate, 2 wrong use, 3 bad data.
        inputs: A digest of what its files depend on; empty if the step detects changes itself.
        files: A digest of its files.
        again: The steps that must run again after it.
        stops: Whether the steps that need it are skipped.
    """

    state: str
    note: str = ""
    code: int = 0
    inputs: str = ""
    files: str = ""
    again: tuple[str, ...] = ()
    stops: bool = False


@dataclass
class Night:
    """The current night: its inputs are fixed, its results are filled in by the steps.

    Attributes:
        log: The log of the business, opened once for all steps.
        cutoff: The cutoff of all steps.
        delivery: How the log was delivered; None if it could not be read or trusted.
        earlier: The summary of an earlier run of this cutoff; empty if there was none.
        other_nights: The summaries of other cutoffs, ascending.
        trained: What was trained this night, if anything.
        alerts: The open alerts.
        alert_plans: The plans that alerts started in this and earlier nights: alert, segment, campaign and cutoff.
        unmeasured: Plans that could not be measured, and why.
        log_faults: Problems that the check found, without customer ids; empty if there are none.
    """

    log: Log
    cutoff: date
    delivery: DeliveryRecord | None
    earlier: Mapping[str, Any]
    other_nights: Sequence[Mapping[str, Any]]
    trained: dict[str, Any] | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)
    alert_plans: list[dict[str, str]] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)
    log_faults: str = ""

    @property
    def config(self) -> Config:
        """The business."""
        return self.log.config

    @property
    def newest(self) -> bool:
        """Whether the log has no later complete day."""
        return self.delivery is not None and self.cutoff >= self.delivery.complete_until

    def is_up_to_date(self, step: str, inputs: str, place: Path) -> bool:
        """Whether a step can be skipped: its files exist, and neither they nor their inputs have changed.

        Args:
            step: Name of the step.
            inputs: Digest of what its files depend on now.
            place: Its file or folder.

        Returns:
            True if running the step again would give the same files.
        """
        earlier_steps = [record for record in self.earlier.get("steps", ()) if record["name"] == step]
        digests = {"inputs": inputs, "files": content_digest(place)}
        return place.exists() and any(digests.items() <= record.items() for record in earlier_steps)


def summary_path(output: Path, cutoff: date) -> Path:
    """The path of a night's summary."""
    return output / "runs" / f"{cutoff}.json"


def read_summaries(output: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """The summaries of all nights, by ascending cutoff, and the files that cannot be read."""
    summaries, damaged = [], []
    for path in sorted((output / "runs").glob("????-??-??.json")):
        try:
            summary = read_manifest(path, NightRecord)
            last_trusted_log([summary.to_dict()])
        except OtherFormatError:
            continue
        except (FileNotFoundError, DataError, KeyError, TypeError, ValueError):
            damaged.append(path)
            continue
        summaries.append(summary.to_dict())
    return summaries, damaged


def last_trusted_log(nights: Sequence[Mapping[str, Any]]) -> DeliveryRecord | None:
    """The delivery of the log at the last run that could trust it."""
    with_log = [night for night in nights if night.get("log")]
    return (
        parse_delivery_record(max(with_log, key=lambda one: (one["started"], one["cutoff"]))["log"])
        if with_log
        else None
    )


def write_summary(config: Config, content: Mapping[str, Any]) -> Path:
    """Writes a night's summary in one step; returns its path.

    Raises:
        UsageError: It cannot be written.
    """
    target = summary_path(config.output, date.fromisoformat(content["cutoff"]))
    write_text_atomically(target, document_text(content, sort_keys=False, ensure_ascii=False))
    return target


def without_quotes(message: str) -> str:
    """A message without quoted values, which may be customer ids.

    >>> without_quotes("2 rows ('C-1', 'C-2'): missing time (customers such as C-1, C-2)")
    "2 rows ('…', '…'): missing time (customers such as …)"
    """
    return QUOTED.sub(lambda match: "'…'" if match[0].startswith("'") else "…", message)


def inputs_digest(config: Config, *other_inputs: object) -> str:
    """A digest of the config, of our code, and of the other inputs of a step."""
    sections = config.model_dump(mode="json", exclude=set(IRRELEVANT_SECTIONS))
    return json_digest([sections, _code_digest(), [str(value) for value in other_inputs]])


def content_digest(place: Path) -> str:
    """A digest of a file, or of all files in a folder with their names; a missing path has its own digest."""
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return json_digest([[str(path.relative_to(place)), file_digest(path)] for path in files if path.is_file()])


@cache
def _code_digest() -> str:
    house = PROJECT_ROOT
    files = sorted(path for room in ROOMS for path in (house / room).rglob("*") if path.suffix in SUFFIXES)
    return json_digest([[path.relative_to(house).as_posix(), file_digest(path)] for path in files])
