"""One TOML file into frozen models; an unknown or misspelt key is an error that names the nearest key."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from features.errors import UsageError
from features.task import Cohort, Task, Window

Duration = Annotated[
    Window,
    BeforeValidator(lambda v: Window.parse(v) if isinstance(v, str) else v),
    PlainSerializer(str, return_type=str),
]
LATER = ("activities", "contacts", "subscriptions", "customers", "plan", "monitor")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Events(_Section):
    """[events]: what customers did, one row an item, an order or an activity."""

    source: str = Field(description="file, glob or folder (Parquet, CSV, CSV.gz), relative to the config")
    query: str = Field("", description="SQL over `source`, run before anything else reads the columns")
    customer: str = Field(description="column of the customer's id")
    time: str = Field(description="column of the time of the event")
    time_format: str = Field("", description="how text times are written, such as '%d/%m/%Y %H:%M'; empty: ISO 8601")
    timezone: str = Field("", description="zone of times that carry none, such as 'Europe/London'; empty: UTC")
    amount: str = Field("", description="column of money; negative is a refund; empty: churn but no value")
    order: str = Field("", description="column of the order's id; empty: events of one moment are one order")
    quantity: str = Field("", description="column of the number of units")
    kinds: tuple[str, ...] = Field((), description="columns that say what, where or how")
    known_at: str = Field("", description="column of when a row became known; empty: at once")
    id: str = Field("", description="column of an event id; rows that repeat it are dropped but for the first")
    duplicates: Literal["keep", "drop"] = Field("keep", description="what happens to rows equal in every column")
    until: str = Field("", description="a date: rows at or after it are set aside (mistyped years, a partial day)")
    max_unreadable: float = Field(
        0.05, ge=0, le=1, description="share of rows whose time or amount may be unreadable before the log is refused"
    )

    @model_validator(mode="after")
    def _check(self) -> Events:
        required = {"source": self.source, "customer": self.customer, "time": self.time}
        empty = [key for key, value in required.items() if not value]
        if empty:
            raise ValueError(f"{' and '.join(empty)} must not be empty")
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds names a column twice: {', '.join(self.kinds)}")
        return self


class TaskConfig(_Section):
    """[task]: what is predicted and from which windows."""

    horizon: Duration = Field(Window(90), description="the label sees this long after a cutoff")
    churn: Literal["inactive"] = Field("inactive", description="'inactive': no purchase within the horizon")
    active_within: Duration = Field(Window(365), description="the cohort: a purchase within this long before a cutoff")
    every: Duration = Field(Window(30), description="spacing of training cutoffs")
    windows: tuple[Duration, ...] = Field(
        (Window(30), Window(90), Window(180), Window(365)), description="windows of the features, ascending"
    )

    def task(self) -> Task:
        """The task these settings describe; raises ValueError where they contradict each other."""
        return Task(self.horizon, Cohort(self.active_within), self.every, self.windows, self.churn)

    @model_validator(mode="after")
    def _check(self) -> TaskConfig:
        self.task()
        return self


class EngineConfig(_Section):
    """[engine]: where the expressions run."""

    kind: Literal["duckdb", "spark"] = Field("duckdb", description="the engine")
    master: str = Field("local[*]", description="with Spark: its master; a running session or spark-submit goes first")
    memory: str = Field("", description="most memory of the engine, such as '8GB'; empty: its own default")
    threads: int = Field(0, ge=0, description="threads of the engine; 0: one a core")
    scratch: str = Field("", description="folder for what outgrows memory; empty: the system's temporary folder")


class TrainingConfig(_Section):
    """[training]: how models are tuned."""

    trials: int = Field(25, ge=0, description="Optuna trials for each model; 0 keeps the defaults")
    seed: int = Field(7, description="the only source of randomness")
    timeout: int = Field(0, ge=0, description="seconds of tuning for each model; 0: no limit (a limit ends same-bytes)")
    bootstrap: int = Field(300, ge=50, description="resamples of customers behind every interval")


class TrackingConfig(_Section):
    """[tracking]: where MLflow keeps runs and models."""

    uri: str = Field("", description="MLflow tracking URI; empty: MLFLOW_TRACKING_URI, else mlflow.db by the config")
    experiment: str = Field("", description="MLflow experiment; empty: the name")


class ServingConfig(_Section):
    """[serving]: what scoring writes."""

    output: str = Field("output", description="folder for scores, contributions and reports")
    reasons: int = Field(3, ge=1, le=20, description="reasons given for each number")
    interval: float = Field(0.8, gt=0, lt=1, description="probability inside value_low to value_high")
    chunk: int = Field(100_000, ge=1, description="customers in one part file")


class Config(_Section):
    """A whole `regulars.toml`, with the folder it was read from (paths in it are relative to that folder)."""

    config_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="names the registered models")
    events: Events
    task: TaskConfig = TaskConfig()
    engine: EngineConfig = EngineConfig()
    training: TrainingConfig = TrainingConfig()
    tracking: TrackingConfig = TrackingConfig()
    serving: ServingConfig = ServingConfig()
    folder: Path = Field(Path(), exclude=True)

    def path(self, text: str) -> Path:
        """A path of the config, made absolute from the config's folder."""
        return (self.folder / Path(text).expanduser()).resolve()

    @property
    def output(self) -> Path:
        """The folder for scores, contributions and reports."""
        return self.path(self.serving.output)


def load(path: str | Path) -> Config:
    """Reads a config file.

    Raises:
        UsageError: The file is missing, not TOML, or says something that is not understood.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such config. `regulars init YOUR_DATA_FILE` writes one from a data file; "
            "`regulars -c FILE` names another."
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path}: cannot be read: {problem}") from None
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"{path}: not valid TOML: {problem}") from None
    return parse(values, path)


def parse(values: dict[str, Any], path: str | Path = "regulars.toml") -> Config:
    """Checks a config given as a dictionary; `path` is where it came from.

    Raises:
        UsageError: A section or key is unknown, missing or has a wrong value; all of them are listed.
    """
    path = Path(path)
    later = [key for key in LATER if key in values]
    if later:
        raise UsageError(
            f"{path}: [{later[0]}] is not read by this version of regulars; remove it (nothing is ignored silently)"
        )
    try:
        config = Config.model_validate({**values, "folder": path.resolve().parent})
    except ValidationError as problem:
        lines = [_explain(dict(error)) for error in problem.errors()]
        raise UsageError("\n".join(f"{path}: {line}" for line in dict.fromkeys(lines))) from None
    if "folder" in values:
        raise UsageError(f"{path}: unknown key 'folder'")
    return config


def _explain(error: dict[str, Any]) -> str:
    """One line for one of pydantic's errors, in the words of the file."""
    where = [str(part) for part in error["loc"]]
    key, section = where[-1] if where else "", where[0] if len(where) > 1 else ""
    place = f"[{section}] {key}" if section else key
    if error["type"] == "extra_forbidden":
        known = sorted(_keys(section) - {"folder"})
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"unknown key {key!r}{f' in [{section}]' if section else ''}; {hint}"
    if error["type"] == "missing":
        return f"{place} is missing; it is required"
    message = error["msg"].removeprefix("Value error, ")
    found = error.get("input")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) and repr(found) not in message else ""
    return f"{place}: {message[:1].lower() + message[1:]}{shown}"


def _keys(section: str) -> set[str]:
    """The keys of a section, or the sections and keys of the file."""
    if not section:
        return set(Config.model_fields)
    model = Config.model_fields[section].annotation
    return set(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else set()
