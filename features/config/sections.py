"""The sections of a config as frozen models: every key, its default, and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from features.config.rfm_rules import BUILT_IN_VERSION, RULES, groups_by_scores, suggest_name
from features.sources.source import VARIABLE_NAME, Source
from features.task import Cohort, Task, Window

# Keys of a section that name one column, and those that name several.
COLUMN_KEYS = (
    "customer", "time", "amount", "order", "quantity", "discount", "known_at", "id", "measure", "since", "action",
    "cost", "propensity", "start", "end", "end_known_at", "price", "reason",
)  # fmt: skip
COLUMN_LIST_KEYS = ("kinds", "attributes")
ID_ROLES = ("customer", "order", "id", "action", "reason")
Duration = Annotated[
    Window,
    BeforeValidator(lambda v: Window.parse(v) if isinstance(v, str) else v),
    PlainSerializer(str, return_type=str),
]


class Section(BaseModel):
    """A section: frozen, and a key that it does not know is an error."""

    # Without the input, the text of a validation error cannot hold a password that was put into the file.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class TableSection(Section):
    """A table that is read: where it is, whose rows they are, and how its times are written.

    A row is invisible before it became known.
    """

    source: str = Field(
        description="file, glob or folder (Parquet, CSV, CSV.gz), relative to the config, or the URL of a database: "
        "'postgresql://user@host:5432/dbname', 'duckdb:///FILE', 'sqlite:///FILE'"
    )
    table: str = Field(
        "", description="table or view of a database, such as 'orders' or 'sales.orders'; empty: query names the tables"
    )
    query: str = Field(
        "", description="SQL over `source`, run before anything else reads the columns; of a database in its SQL, there"
    )
    password_env: str = Field("", description="environment variable with the password; empty: PGPASSWORD, ~/.pgpass")
    customer: str = Field(
        description="column of the customer's id; ids of any type are text in what is written (17850.0 is 17850)"
    )
    time_format: str = Field(
        "",
        description="how text times are written, such as '%d/%m/%Y %H:%M'; empty: ISO 8601, whole numbers as YYYYMMDD",
    )
    timezone: str = Field(
        "", description="zone of times that carry none, such as 'Europe/London'; empty: UTC, as all is afterwards"
    )
    known_at: str = Field("", description="column of when a row became known; empty: at once")
    personal: tuple[str, ...] = Field((), description="columns that are never read: names, addresses")
    max_unreadable: float = Field(
        0.05, ge=0, le=1, description="share of rows whose time or amount may be unreadable before the table is refused"
    )

    def to_source(self, section: str) -> Source:
        """Where the section's rows are; `section` is its name in messages."""
        return Source(section, self.source, self.table, self.query, self.password_env, self.personal)

    def columns_by_role(self) -> dict[str, str]:
        """The columns that the section names, by the role that each plays; optional ones left empty are left out."""
        listed = {
            f"{key} ({column})": column
            for key in type(self).model_fields
            for column in (getattr(self, key) if key in COLUMN_LIST_KEYS else ())
        }
        single = {key: getattr(self, key) for key in type(self).model_fields if key in COLUMN_KEYS}
        return {role: column for role, column in (single | listed).items() if column}

    def id_columns(self) -> tuple[str, ...]:
        """The columns that name things rather than measure them: every digit of them counts."""
        return tuple(c for role, c in self.columns_by_role().items() if role in ID_ROLES or role.startswith("kinds ("))

    @model_validator(mode="after")
    def _check_roles(self) -> TableSection:
        """Required columns are named, and no list names a column twice."""
        fields = type(self).model_fields
        empty = [key for key, field in fields.items() if field.is_required() and not getattr(self, key)]
        if empty:
            raise ValueError(f"{' and '.join(empty)} must not be empty")
        for key in (key for key in fields if key in COLUMN_LIST_KEYS):
            named = getattr(self, key)
            if len(set(named)) != len(named):
                raise ValueError(f"{key} names a column twice: {', '.join(named)}")
        both = sorted(set(self.personal) & set(self.columns_by_role().values()))
        if both:
            raise ValueError(f"{', '.join(both)} is personal and cannot be used as well; name it in one place")
        self.to_source("").check()
        return self


class Events(TableSection):
    """[events]: what customers did, one row an item, an order or an activity."""

    time: str = Field(description="column of the time of the event")
    amount: str = Field("", description="column of money; negative is a refund; empty: churn but no value")
    order: str = Field("", description="column of the order's id; empty: events of one moment are one order")
    quantity: str = Field("", description="column of the number of units")
    discount: str = Field("", description="column of the money taken off the price (0 or more)")
    kinds: tuple[str, ...] = Field((), description="columns that say what, where or how: variety, novelty, favourites")
    id: str = Field("", description="column of an event id; rows that repeat it are dropped but for the first")
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="what happens to rows equal in every column: they are often real"
    )
    until: str = Field(
        "",
        description="a date: rows at or after it are set aside (mistyped years, a partial day), and the log counts as "
        "complete up to it",
    )


class Activity(TableSection):
    """[activities.NAME]: what else customers do or meet: visits, service tickets, survey scores."""

    time: str = Field(description="column of the time of the activity")
    measure: str = Field("", description="column of a number: minutes, a score; empty: the activities are counted only")
    kinds: tuple[str, ...] = Field((), description="columns that say what, where or how")


class Customers(TableSection):
    """[customers]: what is known of each customer beside the events.

    With `known_at` a customer may have several rows, and at a cutoff the newest that was known before it holds. Without
    it only the attributes named in `constant` are used: the others are as of today, and left out.
    """

    attributes: tuple[str, ...] = Field(
        (), description="columns: numbers, dates (their age in days; null while to come), yes or no, or text (levels)"
    )
    since: str = Field("", description="column of the day on which the customer signed up; unknown before it")
    constant: tuple[str, ...] = Field((), description="attributes that never change, so that today's are those of then")

    @model_validator(mode="after")
    def _check(self) -> Customers:
        unknown = [name for name in self.constant if name not in self.attributes]
        if unknown:
            raise ValueError(f"constant names {', '.join(unknown)}, which attributes does not")
        return self


class Contacts(TableSection):
    """[contacts]: what was done to customers, the control of a trial included."""

    time: str = Field(description="column of the time of the contact")
    action: str = Field(description="column of what was done")
    cost: str = Field("", description="column of the money that it cost")
    propensity: str = Field(
        "", description="column of the probability of the action, above 0 and at most 1, known when it was randomised"
    )
    control: str = Field(
        "", description="the value of `action` that means: nothing was done; such rows are held out, not received"
    )


class Subscriptions(TableSection):
    """[subscriptions]: terms of a contract, one row a term."""

    start: str = Field(description="column of the first day of the term")
    end: str = Field(
        "",
        description="column of the day on which it ended, the first without cover; empty or null: it runs; one that "
        "lies ahead of a cutoff is not known then",
    )
    end_known_at: str = Field("", description="column of when the end became known; empty: with the row, on its day")
    reason: str = Field("", description="column of why it ended")
    cancelled: tuple[str, ...] = Field(
        (),
        description="the values of `reason` that are churn; other ends are not; without them every end that is not "
        "renewed is",
    )
    price: str = Field("", description="column of the money of the term")
    price_every: Duration | None = Field(
        None,
        description="how long one price pays for, such as '30d': the value of contracts where events have no amount",
    )
    until: str = Field("", description="without [events]: a date up to which the terms are complete")

    @model_validator(mode="after")
    def _check(self) -> Subscriptions:
        for key, needed in (("reason", "end"), ("end_known_at", "end"), ("price_every", "price")):
            if getattr(self, key) and not getattr(self, needed):
                raise ValueError(f"{key} is given, and {needed} is not: name the column of {needed}")
        if self.cancelled and not self.reason:
            raise ValueError("cancelled names values of reason: set reason to the column that says why a term ended")
        if self.reason and not self.cancelled:
            raise ValueError(
                f"reason is given, and cancelled is not: list the values of {self.reason!r} that are churn, such as "
                'cancelled = ["surrender"]; other ends are not churn'
            )
        return self

    def as_events(self) -> dict[str, Any]:
        """The [events] of a business that has nothing but its terms: each start is an event, without an amount."""
        shared = {key for key in TableSection.model_fields if key in Events.model_fields}
        return self.model_dump(include=shared | {"until"}) | {"time": self.start}


class TaskConfig(Section):
    """[task]: what is predicted and from which windows."""

    horizon: Duration = Field(Window(90), description="churn and value are of so long a time after a cutoff")
    churn: Literal["inactive", "cancelled"] = Field(
        "inactive", description="'inactive': no purchase within the horizon; 'cancelled': the contract is"
    )
    active_within: Duration = Field(
        Window(365), description="who counts as a customer: a purchase within this long before a cutoff"
    )
    every: Duration = Field(Window(30), description="spacing of the cutoffs to learn from")
    value_horizons: tuple[Duration, ...] = Field(
        (), description="longer horizons over which value is predicted too, such as ['180d', '365d']"
    )
    windows: tuple[Duration, ...] = Field(
        (Window(30), Window(90), Window(180), Window(365)), description="windows of the features, ascending"
    )

    def to_task(self) -> Task:
        """The task these settings describe; raises ValueError where they contradict each other."""
        longer = tuple(horizon for horizon in self.value_horizons if horizon != self.horizon)
        return Task(self.horizon, Cohort(self.active_within), self.every, self.windows, self.churn, longer)

    @model_validator(mode="after")
    def _check(self) -> TaskConfig:
        self.to_task()
        return self


class FeaturesConfig(Section):
    """[features]: features of your own."""

    own: str = Field("", description="Python file that declares more features, relative to the config")
    cache: str = Field(
        "",
        description="folder, private to you, of built features for later builds; empty: OUTPUT/snapshots; 'off': none",
    )


class EngineConfig(Section):
    """[engine]: where the expressions run."""

    kind: Literal["duckdb", "spark"] = Field("duckdb", description="the engine")
    master: str = Field("local[*]", description="with Spark: its master; a running session or spark-submit goes first")
    memory: str = Field("", description="most memory of the engine, such as '8GB'; empty: its own default")
    threads: int = Field(0, ge=0, description="threads of the engine; 0: one a core")
    scratch: str = Field("", description="folder for what outgrows memory; empty: the system's temporary folder")


GateRule = Literal["better", "ahead", "level", "any"]


class PromoteConfig(Section):
    """[training.promote]: the gates between a challenger and the alias champion, on the last cutoff.

    'better': the whole 95% interval of the paired difference lies on the better side; 'ahead': the figure does;
    'level': some of the interval does; 'any': there is no gate.
    """

    churn: Literal["brier", "log_loss", "auc", "average_precision"] = Field(
        "brier", description="the metric that decides on the churn model"
    )
    value: Literal["deviance", "gini", "spearman", "decile_error", "total_error", "mae"] = Field(
        "deviance", description="the metric that decides on the value model"
    )
    champion: GateRule = Field("ahead", description="where a challenger must stand against the champion")
    gain: float = Field(
        0.0, ge=-1, le=1, description="by how much it must beat the champion, as a share of its figure: 0.01 is 1%"
    )
    ladder: GateRule = Field("ahead", description="where it must stand against the best simple rule of the ladder")
    first: GateRule = Field("any", description="the same, of the first model, which has no champion to beat")


class TrainingConfig(Section):
    """[training]: how models are tuned, and which become champion."""

    trials: int = Field(25, ge=0, description="Optuna trials for each model; 0 keeps the defaults")
    seed: int = Field(7, description="the only source of randomness")
    timeout: int = Field(0, ge=0, description="seconds of tuning for each model; 0: no limit (a limit ends same-bytes)")
    bootstrap: int = Field(300, ge=50, description="resamples of customers behind every interval")
    learn_from: Literal["all", "untouched"] = Field(
        "all", description="'untouched': churn and value learn without customers contacted within the label's interval"
    )
    promote: PromoteConfig = PromoteConfig()
    fairness: tuple[str, ...] = Field(
        (),
        description="columns of [customers] by which the judged models are measured for the model card; personal ones "
        "may be named: they are read for this alone, and no model sees them",
    )


class UpliftConfig(Section):
    """[uplift]: how the effect of actions is learned from [contacts]."""

    actions: tuple[str, ...] = Field(
        (),
        description="the actions, besides the control; empty: those of the contacts; one in them that is not listed is "
        "an error",
    )
    round: Duration = Field(Window(7), description="contacts less than so long after a round's first day belong to it")
    observational: bool = Field(
        False, description="learn also from contacts that were not drawn at random: marked as such everywhere"
    )
    folds: int = Field(5, ge=2, le=20, description="folds of customers; each is judged by what the others taught")


class TrackingConfig(Section):
    """[tracking]: where MLflow keeps runs and models."""

    uri: str = Field("", description="MLflow tracking URI; empty: MLFLOW_TRACKING_URI, else mlflow.db by the config")
    experiment: str = Field("", description="MLflow experiment; empty: the name")


class PrivacyConfig(Section):
    """[privacy]: how customers are named in all that is kept."""

    hash_ids: bool = Field(False, description="keep a keyed hash (HMAC-SHA256, 128 bits) in the place of each id")
    key_env: str = Field("REGULARS_ID_KEY", description="environment variable with the key, 32 characters or more")
    key_file: str = Field("", description="file with the key instead, readable by you alone")

    @model_validator(mode="after")
    def _check(self) -> PrivacyConfig:
        if not VARIABLE_NAME.fullmatch(
            self.key_env
        ):  # what it holds is not repeated: it may be the key in the wrong place
            raise ValueError("key_env must be the name of an environment variable, such as REGULARS_ID_KEY")
        return self


class ServingConfig(Section):
    """[serving]: what scoring writes."""

    output: str = Field("output", description="folder for scores, contributions and reports")
    reasons: int = Field(3, ge=1, le=20, description="reasons given for each number")
    interval: float = Field(0.8, gt=0, lt=1, description="probability inside value_low to value_high")
    chunk: int = Field(100_000, ge=1, description="customers in one part file, and at work at a time")
    csv: bool = Field(
        False, description="whether scores are written as OUTPUT/csv/cutoff=D/scores.csv too, for spreadsheets"
    )
    database: str = Field(
        "", description="URL of a PostgreSQL that gets the scores too: 'postgresql://user@host:5432/dbname'"
    )
    table: str = Field("regulars_scores", description="its table, such as 'sales.scores'; made where there is none")
    password_env: str = Field("", description="environment variable with the password; empty: PGPASSWORD, ~/.pgpass")

    def scores_target(self) -> Source:
        """The table that gets the scores."""
        return Source("serving", self.database, self.table, password_env=self.password_env)

    @model_validator(mode="after")
    def _check(self) -> ServingConfig:
        if not self.database:
            if self.password_env:
                raise ValueError("password_env belongs to database, which is not given")
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


RuleTexts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
LIFECYCLE_STAGES = ("new", "growing", "mature", "declining", "dormant", "lost")  # of the lifecycle
TIERS = ("high", "middle", "low")
SEGMENTS = ("save first", "let go", "keep", "grow", "maintain")


class SegmentsConfig(Section):
    """[segments]: into which groups customers fall, and by which rules."""

    version: str = Field(
        BUILT_IN_VERSION,
        min_length=1,
        max_length=40,
        description="names these rules in what is written; rules of your own need one of their own",
    )
    rfm: dict[str, RuleTexts] = Field(
        dict(RULES), description="groups, each one rule by scores or a list of them, such as 'r 4-5, fm 2-3'"
    )
    treatments: dict[str, str] = Field({}, description="by the name of a group: what to do with its customers")
    window: Duration | None = Field(
        None, description="of frequency, money, preferences and pairs, one of the task's; empty: the longest"
    )
    history: int = Field(4, ge=0, le=60, description="earlier dates that movement is followed over")
    every: Duration | None = Field(None, description="spacing of these dates; empty: the horizon")
    confidence: float = Field(0.9, gt=0.5, lt=1, description="that a pace changed, to call one growing or declining")
    clusters: tuple[int, int] = Field((3, 8), description="fewest and most micro-segments; [0, 0]: none")
    kinds: tuple[str, ...] | None = Field(
        None, description="kinds of [events] whose preferences, lives and pairs are looked at; without it, all"
    )
    preference_orders: int = Field(3, ge=1, description="orders with a value before it is preferred")
    preference_share: float = Field(0.5, gt=0, le=1, description="share of orders with a value before it is preferred")
    support: float = Field(0.01, gt=0, lt=1, description="least share of baskets in which a pair is looked at")

    @model_validator(mode="after")
    def _check(self) -> SegmentsConfig:
        groups_by_scores(self.rfm)
        wrong = [name for name in self.rfm if not name.strip() or len(name) > 40]
        if wrong:
            raise ValueError(f"rfm: a group is named by 1 to 40 characters, found {wrong[0]!r}")
        if (self.rfm == RULES) != (self.version == BUILT_IN_VERSION):
            own = f"version {BUILT_IN_VERSION!r} is that of the built-in rules: give your own rules another version"
            raise ValueError(
                own if self.version == BUILT_IN_VERSION else "the rules are the built-in ones: leave version out"
            )
        known = [*self.rfm, *LIFECYCLE_STAGES, *TIERS, *SEGMENTS]
        for name in self.treatments:
            if name not in known:
                raise ValueError(f"treatments names {name!r}, which is no group; {suggest_name(name, known)}")
        fewest, most = self.clusters
        if self.clusters != (0, 0) and not 2 <= fewest <= most <= 20:
            raise ValueError(f"clusters: expected [fewest, most] between 2 and 20, found [{fewest}, {most}]")
        return self
