"""Features of your own: the file that `[features] own` names declares families of features, as the catalog does.

Such a file imports all it needs from `features.own`, and has a function `families(task)` that returns `Family` objects:

    from features.own import Family, Feature, Measure, add_up

docs/own_features.md is the guide. Every error in such a file becomes one message that names the file and the feature.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal

import ibis

from features.catalog.custom_checks import (
    CustomFeatureError,
    check_column,
    check_feature,
    check_measure,
    check_measures_table,
)
from features.catalog.families import Family, catalog_features
from features.config.data_contract import DataContract
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.feature import Feature
from features.money import GREATEST_FLOAT
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import Measure, by_window, window_spans
from features.task import Task

GUIDE = "docs/own_features.md"
MODULE_NAME = "regulars_own_features"


@dataclass(frozen=True)
class CustomFeatures:
    """What a user's file declares.

    Attributes:
        file: The file's name in the config; empty if there is none.
        digest: Digest of the file's bytes.
        families: The checked families; an error inside one raises UsageError, which names the file and the feature.
    """

    file: str = ""
    digest: str = ""
    families: tuple[Family, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        """All features of the file."""
        return tuple(feature for family in self.families for feature in family.features)


NO_CUSTOM_FEATURES = CustomFeatures()


def add_up(
    *measures: Measure, of: Literal["orders", "days"] = "orders"
) -> Callable[[Past], ibis.Table]:  # fmt: skip
    """Measures on orders, or on days with a purchase, over every window of the task and over the whole past.

    The features of the family read them as `<name>_<window>` and `<name>_ever`. Only rows that were known at a cutoff
    are added up, so such a measure cannot look ahead.

    Args:
        measures: The measures, each with its own name.
        of: The rows that a measure's `aggregate` is given: 'orders' (`Past.visible_orders`) or 'days' (`Past.days`).

    Returns:
        A function for `Family.measures`.
    """
    return partial(_add_up_over_windows, measures=measures, of=of)


def read_custom_features(config: Config, task: Task, contract: DataContract) -> CustomFeatures:
    """Runs the file that the config names, and checks what it declares.

    Args:
        config: The config.
        task: The task, which the file's function `families` is given.
        contract: The columns of the log, which decide the names that the catalog takes.

    Returns:
        The features of the file, or NO_CUSTOM_FEATURES if the config names no file.

    Raises:
        UsageError: The file cannot be read, does not run, declares no features, or uses a name that is taken.
    """
    name = config.features.own
    if not name:
        return NO_CUSTOM_FEATURES
    path = config.path(name)
    try:
        source = path.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"[features] own: {name!r} cannot be read: {problem.strerror} ({path}); give a Python file"
        ) from None
    with _user_errors(name):
        families = _declared_families(_run_source(source, path), task)
        _refuse_taken_names(families, catalog_features(task, contract))
    return CustomFeatures(
        name, hashlib.sha256(source).hexdigest()[:16], tuple(_guarded_family(family, name) for family in families)
    )


def refuse_taken_measures(own: CustomFeatures, columns: Mapping[str, Sequence[str]]) -> None:
    """Checks that no measure of the user's has the name of a measure of another family.

    Args:
        own: The user's features.
        columns: The columns of every family's measures, by the family's name.

    Raises:
        UsageError: A name is used twice; the message has the measure and both families.
    """
    mine = {family.name for family in own.families}
    holder: dict[str, str] = {}
    for family, names in columns.items():
        for name in (name.lower() for name in names if name not in KEYS):
            if family in mine and name in holder:
                raise UsageError(
                    f"{own.file}: family {_declared_name(family)}: its measure {name!r} has a name that family "
                    f"{_declared_name(holder[name])} uses; give it another"
                )
            holder[name] = family


def refuse_unusable_features(own: CustomFeatures, cohort: ibis.Table, engine: Engine) -> None:
    """Checks the values of each of the user's features for the cohort, one by one, so that an error names the feature.

    Args:
        own: The user's features.
        cohort: The joined measures of the cohort.
        engine: Where it runs.

    Raises:
        UsageError: A feature cannot be computed, is infinite or not a number, or is null without a text for null; the
            message has the engine's error, or the number of customers and a few of their ids.
    """
    for feature in own.features:
        with engine.temporary_stages():
            _refuse_unusable_feature(own.file, feature, cohort, engine)


def _refuse_unusable_feature(file: str, feature: Feature, cohort: ibis.Table, engine: Engine) -> None:
    """As `refuse_unusable_features`, for one feature."""
    column = feature.compute(cohort).cast(feature.dtype)
    try:
        values = engine.store("own_feature", cohort.select("customer_id", value=column))
    except DataError as problem:
        raise UsageError(f"{file}: feature {feature.name}: {problem}") from None
    if feature.dtype == "float64":
        known = values.filter(values.value.notnull())
        wrong = known.filter(known.value.isnan() | (known.value.abs() > GREATEST_FLOAT))
        remedy = "use null for a missing value: divide by `x.nullif(0)`"
        _refuse_if_any(wrong, f"{file}: feature {feature.name}: infinite or not a number", remedy, engine)
    if not feature.unread:
        remedy = "say in `unread` what that means, or replace it by a value: `.fill_null(0)`"
        _refuse_if_any(values.filter(values.value.isnull()), f"{file}: feature {feature.name}: null", remedy, engine)


def _refuse_if_any(rows: ibis.Table, problem: str, remedy: str, engine: Engine) -> None:
    """Raises UsageError if a table has customers, with the problem, the customers and the remedy."""
    customers = rows.select("customer_id").distinct()
    if count := engine.count_rows(customers):
        few = engine.to_arrow(customers.order_by("customer_id").limit(5))["customer_id"].to_pylist()
        raise UsageError(f"{problem} for {count:,} customers ({sample(few)}); {remedy}")


def _run_source(source: bytes, path: Path) -> ModuleType:
    """Runs the source as a module that cannot be imported, so that exactly the digested bytes run."""
    module = ModuleType(MODULE_NAME)
    module.__file__ = str(path)
    sys.modules[MODULE_NAME] = module  # dataclasses look their module up while it runs
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (the user's own code)
    finally:
        del sys.modules[MODULE_NAME]
    return module


def _declared_families(module: ModuleType, task: Task) -> list[Family]:
    """The families of a file, with tuples of features."""
    declare = getattr(module, "families", None)
    if not callable(declare):
        raise CustomFeatureError(
            f"declares nothing: expected a function `families(task)` that returns Family objects ({GUIDE})"
        )
    declared = declare(task)
    if not isinstance(declared, Iterable):
        raise CustomFeatureError(
            f"families(task) returns {type(declared).__name__}; expected a list of Family ({GUIDE})"
        )
    families = []
    for family in declared:
        if not isinstance(family, Family):
            raise CustomFeatureError(
                f"families(task) returns {type(family).__name__} where a Family is expected ({GUIDE})"
            )
        families.append(_checked_family(family))
    if not any(family.features for family in families):
        raise CustomFeatureError(f"declares nothing: families(task) returns no feature ({GUIDE})")
    return families


def _checked_family(family: Family) -> Family:
    if not isinstance(family.name, str) or not family.name:
        raise CustomFeatureError(f"a family's name is text, found {family.name!r}")
    if family.measures is not None and not callable(family.measures):
        raise CustomFeatureError(
            f"family {family.name}: measures is {type(family.measures).__name__}; expected `add_up(...)` or a function "
            "of the past"
        )
    if not isinstance(family.features, Iterable) or isinstance(family.features, str):
        raise CustomFeatureError(
            f"family {family.name}: features is {type(family.features).__name__}; expected a list of Feature"
        )
    features = tuple(family.features)
    for feature in features:
        if not isinstance(feature, Feature):
            raise CustomFeatureError(
                f"family {family.name}: holds {type(feature).__name__} where a Feature is expected"
            )
    return replace(family, features=features)


def _refuse_taken_names(families: Sequence[Family], built_in: Sequence[Feature]) -> None:
    """Raises CustomFeatureError for a name that is taken, or a feature whose declaration is wrong."""
    seen: set[str] = set()
    for family in families:
        if family.name in seen:
            raise CustomFeatureError(f"family {family.name} is declared twice; give each its own name")
        seen.add(family.name)
    taken = {feature.name: f"the built-in feature {feature.name!r} ({feature.phrase})" for feature in built_in}
    mine = [(family.name, feature) for family in families for feature in family.features]
    known = {*taken, *(feature.name for _, feature in mine)}
    for family_name, feature in mine:
        check_feature(feature, known)
        if feature.name in taken:
            raise CustomFeatureError(
                f"feature {feature.name} (family {family_name}): its name is that of {taken[feature.name]}"
            )
        taken[feature.name] = f"another feature of the file, in family {family_name}"


def _guarded_family(family: Family, file: str) -> Family:
    """The family, with errors that name the file and the feature, and with its own names of stages."""
    features = tuple(replace(f, compute=partial(_compute_checked, feature=f, file=file)) for f in family.features)
    measures = family.measures and partial(_measure_checked, measures=family.measures, name=family.name, file=file)
    return Family(f"own_{family.name}", features, measures)


def _compute_checked(m: ibis.Table, feature: Feature, file: str) -> ibis.Value:
    with _user_errors(file, f"feature {feature.name}"):
        value = feature.compute(m)
        check_column(feature, value)
        m.select(value=value)
    return value


def _measure_checked(past: Past, measures: Callable[[Past], ibis.Table], name: str, file: str) -> ibis.Table:
    """The measures of a family, stored and checked: one row for each customer and cutoff."""
    contract_only = replace(past, tables=replace(past.tables, source=past.tables.events))
    with _user_errors(file, f"family {name}"):
        rows = measures(contract_only)
        check_measures_table(rows)
        try:
            stored = past.engine.store(f"own_rows_{name}", rows)
        except DataError as problem:
            raise CustomFeatureError(str(problem)) from None
        _refuse_other_keys(stored, past)
    return stored


def _refuse_other_keys(rows: ibis.Table, past: Past) -> None:
    keys = rows.group_by(KEYS).aggregate(n=rows.count())
    repeated = keys.filter(keys.n > 1)
    if count := past.engine.count_rows(repeated):
        ids = past.engine.to_arrow(repeated.select("customer_id").distinct().order_by("customer_id").limit(5))
        raise CustomFeatureError(
            f"measures returns more than one row for {count:,} pairs of customer and cutoff (customers "
            f"{sample(ids['customer_id'].to_pylist())}); end with `.group_by(KEYS).aggregate(...)`"
        )
    unexpected = rows.anti_join(past.moments, "cutoff").select("cutoff").distinct().order_by("cutoff").limit(1)
    for cutoff in past.engine.to_arrow(unexpected)["cutoff"].to_pylist():
        raise CustomFeatureError(
            f"measures returns rows of cutoff {cutoff}, which was not requested; use only the cutoffs of the past"
        )


def _add_up_over_windows(past: Past, measures: Sequence[Measure], of: str) -> ibis.Table:
    tables = {"orders": past.visible_orders, "days": past.days}
    if of not in tables:
        raise CustomFeatureError(f"add_up: of={of!r} is not known; expected 'orders' or 'days'")
    if not measures:
        raise CustomFeatureError("add_up is given no Measure; give it at least one")
    for measure in measures:
        check_measure(measure, tables[of])
    return by_window(tables[of], measures, window_spans(past.task.windows))


@contextmanager
def _user_errors(file: str, *places: str) -> Iterator[None]:
    """Turns every error of the user's code into a UsageError with the file, the place and the line."""
    try:
        yield
    except CustomFeatureError as problem:
        raise UsageError(": ".join((file, *places, str(problem)))) from None
    except (Exception, SystemExit) as problem:
        text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
        line, first_line = _line_in_file(problem, file), text.strip().splitlines()[:1]
        words = ": ".join((file, *places, type(problem).__name__, *first_line))
        raise UsageError(f"{words} (line {line})" if line else words) from None


def _line_in_file(problem: BaseException, file: str) -> int:
    """The last line of the user's file in the traceback of a problem; 0 if the file is not in it."""
    if isinstance(problem, SyntaxError):
        return problem.lineno or 0
    name = Path(file).name
    lines = [f.lineno or 0 for f in traceback.extract_tb(problem.__traceback__) if Path(f.filename).name == name]
    return lines[-1] if lines else 0


def _declared_name(family: str) -> str:
    return family.removeprefix("own_")
