"""The base of all sections of a config, and the smaller sections, as frozen models that check every key."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from features.sources.source import VARIABLE_NAME, Source
from features.task import UTC_ZONE, Cohort, Task, Window

ENGINES_ZONE = re.compile(r"[A-Z]{3}|SystemV/\w+|[+-]\d\d(:\d\d)?")  # 'JST' (DuckDB), '+02:00' (Spark)
DURATION_FORMAT = "days or weeks"  # in the JSON schema
LAPSED_TIMES = 3  # times active_within, by default, for which a former customer counts as lapsed
Duration = Annotated[
    Window,
    BeforeValidator(lambda v: Window.parse(v) if isinstance(v, str) else v),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": DURATION_FORMAT}),
]


def check_label_delay(text: str) -> str:
    """Return a value of `label_delay`; raises ValueError for any other text.

    >>> check_label_delay("1w")
    '7d'
    """
    return _duration_or(text, ("usual", "none"), "or 'usual', or 'none'")


def require_zone(name: str) -> str:
    """Return the name of a time zone as the IANA database writes it; raises ValueError for any other text."""
    zones = _zones()
    if name.casefold() not in zones:
        near = difflib.get_close_matches(name.casefold(), zones, n=1, cutoff=0.6)
        hint = f"did you mean {zones[near[0]]!r}?" if near else "expected one such as 'Europe/London' or 'UTC'"
        raise ValueError(f"there is no time zone {name!r}; {hint}")
    return zones[name.casefold()]


def zone_of_clocks(name: str) -> str:
    """Return the name of a time zone, also one that only an engine knows, or ''; raises ValueError for other text."""
    return name if not name or ENGINES_ZONE.fullmatch(name) else require_zone(name)


def check_lapsed_within(text: str) -> str:
    """Return a value of `lapsed_within`; raises ValueError for any other text.

    >>> check_lapsed_within("52w"), check_lapsed_within("off")
    ('364d', 'off')
    """
    return _duration_or(text, ("", "off"), f"or 'off'; or '' for {LAPSED_TIMES} times active_within")


def _duration_or(text: str, words: tuple[str, ...], also: str) -> str:
    """One of some words, or a duration in its usual form; raises ValueError, which ends with what else is possible."""
    if text in words:
        return text
    try:
        return str(Window.parse(text))
    except ValueError as problem:
        raise ValueError(f"{problem}; {also}") from None


@cache
def _zones() -> dict[str, str]:
    """The names of the IANA database, by their lower-case forms."""
    return {name.casefold(): name for name in sorted(available_timezones() - {"localtime"})}


class Section(BaseModel):
    """A section of the config: immutable; an unknown key is an error."""

    # Errors do not repeat the input, because it may contain a password that was put into the file.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class TaskConfig(Section):
    """[task]: what is predicted, for whom, and from which windows."""

    horizon: Duration = Field(Window(90), description="time after a cutoff for which churn and value are predicted")
    churn: Literal["inactive", "cancelled"] = Field(
        "inactive",
        description="'inactive': no purchase within the horizon; 'cancelled': the contract is cancelled within it",
    )
    active_within: Duration = Field(
        Window(365), description="a customer is somebody with a purchase within this time before a cutoff"
    )
    lapsed_within: Annotated[str, AfterValidator(check_lapsed_within)] = Field(
        "",
        description="a customer without a purchase within active_within is lapsed, and scored for win-back, until the "
        f"last purchase is older than this; '': {LAPSED_TIMES} times active_within; 'off': nobody is scored for "
        "win-back",
    )
    every: Duration = Field(Window(30), description="time between the cutoffs for training")
    label_delay: Annotated[str, AfterValidator(check_label_delay)] = Field(
        "usual",
        description="how long the outcome of a cutoff waits for rows that become known late (`known_at`); 'usual': "
        "until 99% of a horizon's rows have usually become known, by the log's own delays; a duration such as '7d'; "
        "'none': not at all",
    )
    value_horizons: tuple[Duration, ...] = Field(
        (), description="longer horizons for which value is predicted as well, such as ['180d', '365d']"
    )
    windows: tuple[Duration, ...] = Field(
        (Window(30), Window(90), Window(180), Window(365)), description="windows of the features, ascending"
    )

    timezone: Annotated[str, AfterValidator(require_zone)] = Field(
        UTC_ZONE,
        description="time zone of the business, such as 'Europe/London': days, weeks, months, hours and cutoffs begin "
        "in it; a date without a clock is a day in every zone",
    )

    def to_task(self) -> Task:
        """Return the task with these settings; raises ValueError if they contradict each other."""
        longer = tuple(horizon for horizon in self.value_horizons if horizon != self.horizon)
        return Task(
            self.horizon, Cohort(self.active_within), self.every, self.windows, self.churn, longer, self.timezone
        )

    @property
    def lapsed_limit(self) -> Window | None:
        """How old the last purchase of a lapsed customer may be; None if nobody is scored for win-back."""
        if self.lapsed_within == "off" or self.churn == "cancelled":
            return None
        return (
            Window.parse(self.lapsed_within) if self.lapsed_within else Window(LAPSED_TIMES * self.active_within.days)
        )

    def to_lapsed_task(self) -> Task | None:
        """Return the task of lapsed customers; None if nobody is scored for win-back, as with contracts."""
        limit = self.lapsed_limit
        return None if limit is None else self.to_task().lapsed_until(limit)

    @model_validator(mode="after")
    def _check(self) -> TaskConfig:
        self.to_task()
        limit = self.lapsed_limit
        if limit is not None and limit <= self.active_within:
            raise ValueError(
                f"lapsed_within must be longer than active_within ({self.active_within}), found {limit}; or 'off'"
            )
        return self


class LifetimeConfig(Section):
    """[lifetime]: what customers are worth over years."""

    months: tuple[Annotated[int, Field(ge=1, le=120)], ...] = Field(
        (12, 24, 36),
        description="horizons in months, ascending, for which lifetime value is predicted beside the whole life; "
        "empty: no lifetime value",
    )
    discount: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="discount rate a year, for what comes after [task] horizon: 0.1 divides by 1.1 for each year"
    )
    margin: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="profit as a share of spend; with it, profit is scored beside value"
    )

    @field_validator("months")
    @classmethod
    def _check_months(cls, months: tuple[int, ...]) -> tuple[int, ...]:
        if list(months) != sorted(set(months)):
            raise ValueError(f"months must be distinct and ascending, found {', '.join(map(str, months))}")
        return months


class FeaturesConfig(Section):
    """[features]: your own features, and the cache."""

    own: str = Field("", description="Python file that defines additional features, relative to the config")
    cache: str = Field(
        "",
        description="folder, readable by you only, that keeps computed features for reuse; empty: "
        "OUTPUT/snapshots; 'off': no cache",
    )


class EngineConfig(Section):
    """[engine]: the engine that reads the data and computes features."""

    kind: Literal["duckdb", "spark"] = Field("duckdb", description="DuckDB in this process, or Spark")
    master: str = Field("local[*]", description="master of Spark; a running session or spark-submit takes precedence")
    memory: str = Field("", description="memory limit of the engine, such as '8GB'; empty: the engine's default")
    threads: int = Field(0, ge=0, description="threads of the engine; 0: one for each core")
    scratch: str = Field("", description="folder for data larger than memory; empty: the system's temporary folder")


QUICK_ROWS, QUICK_RESAMPLES = 20_000, 100  # of `regulars train --quick`
GateRule = Literal["better", "ahead", "level", "any"]


class PromoteConfig(Section):
    """[training.promote]: the gates that a challenger must pass at the last cutoff to become champion.

    Each gate looks at the paired difference in a metric, with its 95% confidence interval. 'better': the whole interval
    is on the better side; 'ahead': the point estimate is; 'level': some of the interval is; 'any': no gate.
    """

    churn: Literal["brier", "log_loss", "auc", "average_precision"] = Field(
        "brier", description="metric that the gates of the churn model use"
    )
    value: Literal["deviance", "gini", "spearman", "decile_error", "total_error", "mae"] = Field(
        "deviance", description="metric that the gates of the value model use"
    )
    champion: GateRule = Field("ahead", description="gate of the challenger against the champion")
    gain: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="required improvement on the champion, as a share of the champion's metric: 0.01 is 1%",
    )
    ladder: GateRule = Field("ahead", description="gate of the challenger against the best baseline")
    first: GateRule = Field(
        "any",
        description="gate of the first model, which has no champion, against the best baseline; without skill no model "
        "becomes champion by itself, whatever this says",
    )


class TrainingConfig(Section):
    """[training]: how models are tuned and trained."""

    trials: int = Field(
        25,
        ge=0,
        description="most Optuna trials for each model; a search ends earlier when ten in a row brought nothing but "
        "noise; 0: default hyperparameters",
    )
    seed: int = Field(7, ge=0, description="seed of all random numbers")
    timeout: int = Field(
        0,
        ge=0,
        description="maximum seconds of tuning for each model; 0: no limit (with a limit, models are not "
        "reproducible byte for byte)",
    )
    bootstrap: int = Field(
        300, ge=50, description="number of bootstrap resamples of customers for confidence intervals"
    )
    rows: int = Field(
        400_000,
        ge=0,
        description="most rows (a customer at a cutoff) to tune and learn from; of a larger log, cutoffs whose labels "
        "overlap are left out, then customers are sampled by a hash of their ids; also no more than fit into [engine] "
        "memory (5 GB if that is empty); 0: no limit but [engine] memory",
    )
    learn_from: Literal["all", "untouched"] = Field(
        "all",
        description="'untouched': churn and value models leave out customers contacted within the label's interval",
    )
    promote: PromoteConfig = PromoteConfig()
    fairness: tuple[str, ...] = Field(
        (),
        description="columns of [customers] by which the evaluation in the model card is broken down; personal "
        "columns are allowed: they are read only for this, and no model uses them",
    )
    _quick: bool = PrivateAttr(False)  # no key of the file but an option of the command

    @property
    def quick(self) -> bool:
        """Whether this is a quick look (`regulars train --quick`)."""
        return self._quick

    def as_quick(self) -> TrainingConfig:
        """Return the settings of a quick look: few rows, no tuning, few resamples."""
        rows = min(self.rows or QUICK_ROWS, QUICK_ROWS)
        few = self.model_copy(update={"rows": rows, "trials": 0, "bootstrap": min(self.bootstrap, QUICK_RESAMPLES)})
        few._quick = True
        return few


class UpliftConfig(Section):
    """[uplift]: how the effects of actions are estimated from [contacts]."""

    actions: tuple[str, ...] = Field(
        (),
        description="actions besides the control; empty: all actions of the contacts; an action in the contacts "
        "that is not listed is an error",
    )
    round: Duration = Field(
        Window(7),
        description="contacts within this time after the first day of a round belong to the round; of contacts that "
        "were not randomised, each day is a round, and whoever was contacted within this time before it is left out",
    )
    observational: bool = Field(
        False,
        description="also use contacts that were not randomised; their effects are marked as observational everywhere",
    )
    folds: int = Field(5, ge=2, le=20, description="folds of customers for cross-fitting")


class TrackingConfig(Section):
    """[tracking]: where MLflow stores runs and models."""

    uri: str = Field(
        "", description="MLflow tracking URI; empty: MLFLOW_TRACKING_URI, or else mlflow.db beside the config"
    )
    experiment: str = Field("", description="MLflow experiment; empty: the name of the business")


class PrivacyConfig(Section):
    """[privacy]: how customers' ids are stored."""

    hash_ids: bool = Field(False, description="store a keyed hash (HMAC-SHA256, 128 bits) instead of each id")
    key_env: str = Field(
        "REGULARS_ID_KEY", description="environment variable that holds the key, 32 characters or more"
    )
    key_file: str = Field("", description="file that holds the key instead, readable by you only")

    @model_validator(mode="after")
    def _check(self) -> PrivacyConfig:
        if not VARIABLE_NAME.fullmatch(self.key_env):  # the value is not repeated: it may be the key itself
            raise ValueError("key_env must be the name of an environment variable, such as REGULARS_ID_KEY")
        return self


class ServingConfig(Section):
    """[serving]: what scoring writes, and where."""

    output: str = Field("output", description="folder for scores, contributions and reports")
    reasons: int = Field(3, ge=1, le=20, description="number of reasons for each prediction")
    interval: float = Field(
        0.8, gt=0, lt=1, description="probability that the value lies between value_low and value_high"
    )
    chunk: int = Field(100_000, ge=1, description="customers in each part file, and in memory at a time")
    last_try: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="the last day to try to win a lapsed customer back is the last one on which the probability that "
        "they come back within a horizon, had they stayed silent until then, is at least this",
    )
    csv: bool = Field(
        False, description="whether to write scores as OUTPUT/csv/cutoff=D/scores.csv as well, for spreadsheets"
    )
    database: str = Field(
        "",
        description="URL of a PostgreSQL database to write the scores to as well: 'postgresql://user@host:5432/dbname'",
    )
    table: str = Field(
        "regulars_scores", description="table of this database, such as 'sales.scores'; created if it does not exist"
    )
    password_env: str = Field(
        "", description="environment variable that holds the password; empty: PGPASSWORD or ~/.pgpass"
    )

    def scores_target(self) -> Source:
        """Return the database table for the scores."""
        return Source("serving", self.database, self.table, password_env=self.password_env)

    @model_validator(mode="after")
    def _check(self) -> ServingConfig:
        if not self.database:
            if self.password_env:
                raise ValueError(
                    "password_env is the password of database, which is not set; set database or remove password_env"
                )
            return self
        if self.scores_target().database != "postgresql":
            raise ValueError("database is not PostgreSQL: expected postgresql://user@host:5432/dbname")
        if not self.table:
            raise ValueError("table must not be empty")
        try:
            self.scores_target().check()
        except ValueError as problem:
            raise ValueError(str(problem).replace("source ", "database ", 1)) from None
        return self
