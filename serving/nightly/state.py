"""One night of the chain: what it is about, what its steps left, and what earlier nights left for it to remember.

`OUTPUT/runs/CUTOFF.json` is what a night leaves: its steps with state, seconds and note, the alerts that stand, how the
log had arrived, and what was trained. A step whose inputs are those of its last run, and whose files are as they were
left, is not done again; both are kept there as digests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from features.atomic_files import write_text_atomically
from features.audit.delivery import DeliveryRecord, parse_delivery_record
from features.code_digest import PROJECT_ROOT
from features.config.load import Config
from serving.scoring.resumable_run import file_checksum

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
    """What a step came to.

    Attributes:
        state: 'done', 'unchanged', 'skipped' or 'failed'.
        note: In words: what was made, or why not.
        code: 1 where an alert or a gate said no, 2 and 3 as those of errors; 0 where all is well.
        inputs: A digest of what its files depend on; empty where the step itself knows whether anything is new.
        files: A digest of its files.
        again: The steps that have to be done once more after it.
        stops: Whether what needs this step has nothing to work with.
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
    """The night that is run: fixed in what it is about, and filled by its steps.

    Attributes:
        config: The business.
        cutoff: Which everything is of.
        log: How the log arrived; None where it could not be read, or not be trusted.
        earlier: What an earlier run of this cutoff left; empty where there was none.
        other_nights: What the nights of other cutoffs left, by cutoff, ascending.
        trained: What was trained this night, if anything was.
        alerts: Those that stand.
        unmeasured: Plans that could not be measured, and why.
        log_faults: What the check found wrong, without anybody's id; empty where nothing is.
    """

    config: Config
    cutoff: date
    log: DeliveryRecord | None
    earlier: Mapping[str, Any]
    other_nights: Sequence[Mapping[str, Any]]
    trained: dict[str, Any] | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)
    log_faults: str = ""

    @property
    def newest(self) -> bool:
        """Whether the log knows no later cutoff."""
        return self.log is not None and self.cutoff >= self.log.complete_until

    def is_up_to_date(self, step: str, inputs: str, place: Path) -> bool:
        """Whether a step's files are there just as this run would make them."""
        found = [one for one in self.earlier.get("steps", ()) if one["name"] == step]
        return (
            any(one["inputs"] == inputs and one["files"] == content_digest(place) for one in found) and place.exists()
        )


def summary_path(config: Config, cutoff: date) -> Path:
    """Where a night's summary lies."""
    return config.output / "runs" / f"{cutoff}.json"


def read_summaries(config: Config) -> tuple[list[dict[str, Any]], list[Path]]:
    """What nights left, by cutoff, ascending; and the files that cannot be read."""
    found, damaged = [], []
    for path in sorted((config.output / "runs").glob("????-??-??.json")):
        try:
            told = dict(json.loads(path.read_text(encoding="utf-8")))
            date.fromisoformat(told["cutoff"])
        except (OSError, ValueError, KeyError, TypeError):
            damaged.append(path)
            continue
        if told.get("format") == FORMAT:
            found.append(told)
    return found, damaged


def last_trusted_log(nights: Sequence[Mapping[str, Any]]) -> DeliveryRecord | None:
    """How the log had arrived at the last run that could trust it."""
    told = [night for night in nights if night.get("log")]
    return parse_delivery_record(max(told, key=lambda one: (one["started"], one["cutoff"]))["log"]) if told else None


def write_summary(config: Config, told: Mapping[str, Any]) -> Path:
    """Puts a night's summary in its place, whole; returns where.

    Raises:
        UsageError: It cannot be written.
    """
    target = summary_path(config, date.fromisoformat(told["cutoff"]))
    write_text_atomically(target, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return target


def without_quotes(message: str) -> str:
    """A message without what it quotes: nobody's id stays in what is kept.

    >>> unnamed("2 rows ('C-1', 'C-2'): missing time (customers such as C-1, C-2)")
    "2 rows ('…', '…'): missing time (customers such as …)"
    """
    return QUOTED.sub(lambda found: "'…'" if found[0].startswith("'") else "…", message)


def inputs_digest(config: Config, *told: object) -> str:
    """A digest of the config, of the code of the rooms, and of what else a step's files depend on."""
    shaped = config.model_dump(mode="json", exclude=set(IRRELEVANT_SECTIONS))
    return _digest([shaped, _code(), [str(one) for one in told]])


def content_digest(place: Path) -> str:
    """A digest of a file, or of all files in a folder by their names; of what is not there, one of its own."""
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return _digest([[str(path.relative_to(place)), file_checksum(path)] for path in files if path.is_file()])


@cache
def _code() -> str:
    house = PROJECT_ROOT
    files = sorted(path for room in ROOMS for path in (house / room).rglob("*") if path.suffix in SUFFIXES)
    return _digest([[path.relative_to(house).as_posix(), file_checksum(path)] for path in files])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
