"""Loads a config: one TOML file into frozen models; an unknown key is an error that suggests the nearest one."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from features.config.app import AppConfig
from features.config.monitor import MonitorConfig
from features.config.names import Name
from features.config.nightly import RunConfig
from features.config.plan import PlanConfig
from features.config.rfm_rules import groups_using
from features.config.sections import (
    EngineConfig,
    FeaturesConfig,
    LifetimeConfig,
    PrivacyConfig,
    Section,
    ServingConfig,
    TaskConfig,
    TrackingConfig,
    TrainingConfig,
    UpliftConfig,
)
from features.config.segments import SegmentsConfig
from features.config.table_sections import Activity, Contacts, Customers, Events, Identity, Subscriptions
from features.errors import UsageError
from features.outputs.layout import OutputFolder
from features.storage.user_paths import real_path, user_path

LONGEST_VALUE = 80  # characters of a wrong value that a message repeats
EXPECTED = {  # in place of pydantic's words
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected a section with keys of its own",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "int_type": "expected a whole number",
    "list_type": "expected a list in brackets, such as ['a', 'b']",
    "model_attributes_type": "expected a section with keys of its own",
    "model_type": "expected a section with keys of its own",
    "string_type": "expected text in quotes",
    "tuple_type": "expected a list in brackets, such as ['a', 'b']",
}


class Config(Section):
    """The contents of a `regulars.toml`, and the folder it was read from (its paths are relative to that folder)."""

    config_version: Literal[1] = Field(description="version of the config format; only 1 exists so far")
    name: Name = Field(description="name of the business; its models are named NAME-churn and NAME-value")
    language: Literal["en", "zh"] = Field("en", description="language of reasons, report, web page and alerts")
    events: Events
    activities: dict[str, Activity] = {}
    customers: Customers | None = None
    contacts: Contacts | None = None
    subscriptions: Subscriptions | None = None
    identity: Identity | None = None
    features: FeaturesConfig = FeaturesConfig()
    task: TaskConfig = TaskConfig()
    lifetime: LifetimeConfig = LifetimeConfig()
    engine: EngineConfig = EngineConfig()
    training: TrainingConfig = TrainingConfig()
    uplift: UpliftConfig = UpliftConfig()
    tracking: TrackingConfig = TrackingConfig()
    serving: ServingConfig = ServingConfig()
    plan: PlanConfig | None = None
    segments: SegmentsConfig = SegmentsConfig()
    monitor: MonitorConfig = MonitorConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    run: RunConfig = RunConfig()
    app: AppConfig = AppConfig()
    folder: Path = Field(Path(), exclude=True)

    @property
    def currency(self) -> str:
        """The code of the currency of all results; empty where the config does not say it."""
        sections = (each for each in (self.events, self.subscriptions) if each is not None)
        return next((each.result_currency for each in sections if each.result_currency), "")

    @model_validator(mode="after")
    def _check_fairness(self) -> Config:
        if self.training.fairness and self.customers is None:
            named = ", ".join(self.training.fairness)
            raise ValueError(
                f"[training] fairness names columns of the customer table ({named}), but there is no [customers]; "
                "add it"
            )
        return self

    @model_validator(mode="after")
    def _check_learn_from(self) -> Config:
        if self.training.learn_from == "untouched" and self.contacts is None:
            raise ValueError(
                "[training] learn_from = 'untouched' leaves out contacted customers, but there is no [contacts]; add it"
            )
        return self

    @model_validator(mode="after")
    def _check_plan(self) -> Config:
        plan = self.plan
        if plan and plan.limits_contacts and self.contacts is None:
            raise ValueError(
                "[plan] counts earlier contacts (contacted_within, contacts_at_most, rest), but there is no "
                "[contacts]; add it"
            )
        if plan and self.contacts and self.contacts.control in plan.actions:
            raise ValueError(
                f"[plan.actions] names {self.contacts.control!r}, which is the control of [contacts]; remove it"
            )
        return self

    @model_validator(mode="after")
    def _check_run(self) -> Config:
        lacks = "there is no [plan]" if self.plan is None else "[plan] has no budget"
        if self.plan and (self.plan.budget is not None or self.plan.total_budget is not None):
            lacks = ""
        if self.run.has_schedule and lacks or self.run.plans_on_alert and self.plan is None:
            raise ValueError(f"[run] makes plans (plan_every, plan_on), but {lacks}")
        least = min((action.cost for action in self.plan.actions.values()), default=0.0) if self.plan else 0.0
        if self.run.alert_budget is not None and self.run.alert_budget < least:
            raise ValueError(
                f"[run] alert_budget is {self.run.alert_budget:g}, below the cheapest action ({least:g} a customer)"
            )
        monitor = self.monitor
        if self.run.plans_on_alert and not (monitor.churn or monitor.value or monitor.value_at_risk):
            raise ValueError(
                "[run] plan_on = 'alert' makes plans when a segment crosses a threshold, but [monitor] has none: set "
                "churn, value or value_at_risk"
            )
        return self

    @model_validator(mode="after")
    def _check_segments(self) -> Config:
        rules, windows = self.segments, self.task.windows
        if rules.window and rules.window not in windows:
            raise ValueError(f"[segments] window is {rules.window}; expected one of [task] windows: {_listed(windows)}")
        unknown = [name for name in rules.kinds or () if name not in self.events.kinds]
        if unknown:
            known = _listed(self.events.kinds) or "none"
            raise ValueError(f"[segments] kinds names {unknown[0]!r}; the kinds of [events] are {known}")
        groups_with_m = groups_using(rules.rfm, "m")
        if groups_with_m and not self.events.amount:
            raise ValueError(f"[segments.rfm] {groups_with_m[0]!r} uses m, and the log has no amounts; use r and f")
        return self

    def path(self, text: str) -> Path:
        """Return a path of the config as an absolute path; it is relative to the config's folder."""
        return real_path(user_path(text, self.folder))

    @property
    def only_subscriptions(self) -> bool:
        """Whether the business has only subscriptions, so that the events are the starts of their terms."""
        terms = self.subscriptions
        if terms is None or self.task.churn != "cancelled":
            return False
        return self.events.model_copy(update={"until": terms.until}) == Events.model_validate(terms.as_events())

    @property
    def has_value(self) -> bool:
        """Whether value is predicted: events have amounts, or terms of contracts have prices and `price_every`."""
        terms = self.subscriptions
        priced = terms is not None and terms.price_every is not None and self.task.churn == "cancelled"
        return bool(self.events.amount) or priced

    def require_value(self) -> None:
        """Raise UsageError if value cannot be predicted, because the log has no money."""
        if not self.has_value:
            terms = self.task.churn == "cancelled"
            raise UsageError(
                "[events] amount is not set: without money there is churn but no value"
                + (" (nor are [subscriptions] price and price_every)" if terms else "")
            )

    @property
    def output(self) -> Path:
        """The folder for scores, contributions and reports."""
        return self.path(self.serving.output)

    @property
    def outputs(self) -> OutputFolder:
        """The places in the output folder."""
        return OutputFolder(self.output)

    @model_validator(mode="before")
    @classmethod
    def _starts_as_events(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Use the starts of terms as events if a contractual business leaves [events] out."""
        task, terms = values.get("task"), values.get("subscriptions")
        if "events" in values or not (isinstance(task, dict) and task.get("churn") == "cancelled"):
            return values
        try:
            return {**values, "events": Subscriptions.model_validate(terms).as_events()}
        except ValidationError:  # reported for [subscriptions], and not for [events] again
            return {**values, "events": {"source": "none", "customer": "none", "time": "none"}}

    @model_validator(mode="after")
    def _check_contracts(self) -> Config:
        terms = self.subscriptions
        if self.task.churn == "cancelled" and (terms is None or not terms.end):
            needed = "set its end to the column of the day on which a term ended" if terms else "add it"
            raise ValueError(f"[task] churn = 'cancelled' needs [subscriptions]: {needed}")
        if terms and terms.until and not self.only_subscriptions:
            raise ValueError(
                "[subscriptions] until is only for a business without [events]: remove it and set [events] until "
                "instead"
            )
        return self


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        UsageError: The file is missing, is not TOML, or has an unknown key, a missing key or a wrong value.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such config. `regulars init YOUR_DATA_FILE` writes one from a data file; "
            "`regulars -c FILE` uses another one."
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise UsageError(
            f"{path}: not valid TOML: {problem}; correct that place: text stands in quotes, a list in brackets"
        ) from None
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path}: cannot be read: byte {problem.start:,} is not UTF-8; save it as UTF-8") from None
    except (OSError, ValueError) as problem:  # ValueError: a path with a zero character
        raise UsageError(f"{path}: cannot be read: {problem}; give another file with -c") from None
    return parse_config(values, path)


def parse_config(values: dict[str, Any], path: str | Path = "regulars.toml") -> Config:
    """Check a config given as a dictionary; `path` is the file that it came from.

    Raises:
        UsageError: A section or key is unknown or missing, or a value is wrong; the message lists all of them.
    """
    path = Path(path)
    _refuse_zero_characters(values, path)
    try:
        config = Config.model_validate({**values, "folder": real_path(path).parent})
    except ValidationError as problem:
        lines = [_explain(dict(error)) for error in problem.errors()]
        raise UsageError("\n".join(f"{path}: {line}" for line in dict.fromkeys(lines))) from None
    if "folder" in values:
        raise UsageError(f"{path}: unknown key 'folder'")
    return config


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _explain(error: dict[str, Any]) -> str:
    """Return one line for one of pydantic's errors, with the names that the file uses."""
    where = [str(part) for part in error["loc"]]
    key, section = where[-1] if where else "", ".".join(where[:-1])
    place = f"[{section}] {key}" if section else key
    if where and error["type"] == "value_error" and isinstance(error.get("input"), dict):
        place = f"[{'.'.join(where)}]"
    if error["type"] == "extra_forbidden":
        known = sorted(_keys(where[:-1]) - {"folder"})
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"unknown key {key!r}{f' in [{section}]' if section else ''}; {hint}"
    if error["type"] == "missing":
        return f"{place} is missing; it is required"
    message = EXPECTED.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if error["type"] == "is_instance_of" or "instance of Window" in message:
        message = "expected a number of days or weeks such as '90d' or '12w'"
    if not place:
        return message
    value = error.get("input")
    found = _shortened(repr(value)) if isinstance(value, str | int | float | bool) else ""
    suffix = f" (found {found})" if found and found not in message else ""
    return f"{place}: {message[:1].lower() + message[1:]}{suffix}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _refuse_zero_characters(values: Any, path: Path, place: str = "") -> None:
    """Refuse text with a zero character, which no path, no database and no other program takes."""
    items = values.items() if isinstance(values, dict) else enumerate(values, 1) if isinstance(values, list) else ()
    for key, value in items:
        where = f"{place}.{key}" if place else str(key)
        if "\0" in str(key) or (isinstance(value, str) and "\0" in value):
            raise UsageError(f"{path}: {where!r} has a zero character (\\u0000); remove it")
        _refuse_zero_characters(value, path, where)


def _keys(where: list[str]) -> set[str]:
    """Return the keys of a section; for an empty path, the sections and keys of the file."""
    models: list[type[BaseModel]] = [Config]
    for part in where:
        annotations = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        kinds = [kind for annotation in annotations for kind in (annotation, *get_args(annotation))]
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)] or models
    return {key for model in models for key in model.model_fields}
