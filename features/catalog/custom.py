"""Features of your own: the file that `[features] own` names declares families of features, as the catalog does.

Such a file imports all it needs from here, and has a function `families(task)` that gives Family's:

    from features.catalog.custom import Family, Feature, Measure, add_up

docs/own_features.md is the guide. What is wrong with a file is said in one message that names the file and the feature.
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
from features.feature import Feature, money, spread
from features.money import GREATEST_FLOAT, TICKS
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import Measure, by_window, window_spans
from features.task import Task, Window

__all__ = ["KEYS", "TICKS", "Family", "Feature", "Measure", "Past", "Task", "Window", "add_up", "money", "spread"]

GUIDE = "docs/own_features.md"
MODULE_NAME = "regulars_own_features"


@dataclass(frozen=True)
class CustomFeatures:
    """What a user's file declares.

    Attributes:
        file: As the config names it; empty where it names none.
        digest: Of the file's bytes.
        families: Checked; what goes wrong inside them later is a UsageError that names the file and the feature.
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
    are added up, so nothing that is made in this way can look ahead.

    Args:
        measures: Each with a name of its own.
        of: What a measure's `aggregate` is given: `Past.visible_orders` or `Past.days`.
    """
    return partial(_added_up, measures=measures, of=of)


def read_custom_features(config: Config, task: Task, contract: DataContract) -> CustomFeatures:
    """Runs the file that the config names, and checks what it declares.

    Raises:
        UsageError: The file is not there, does not run, or declares nothing, something else, or a name that is taken.
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
    with _blaming(name):
        families = _declared(_run(source, path), task)
        _refuse_taken_names(families, catalog_features(task, contract))
    return CustomFeatures(
        name, hashlib.sha256(source).hexdigest()[:16], tuple(_guarded(family, name) for family in families)
    )


def refuse_taken_measures(own: CustomFeatures, columns: Mapping[str, Sequence[str]]) -> None:
    """Refuses a measure of the user's that another family has, by the columns of every family's measures.

    Raises:
        UsageError: With the measure and both families.
    """
    mine = {family.name for family in own.families}
    holder: dict[str, str] = {}
    for family, names in columns.items():
        for name in (name.lower() for name in names if name not in KEYS):
            if family in mine and name in holder:
                raise UsageError(
                    f"{own.file}: family {_plain(family)}: its measure {name!r} has a name that family "
                    f"{_plain(holder[name])} uses; give it another"
                )
            holder[name] = family


def refuse_unusable_features(own: CustomFeatures, cohort: ibis.Table, engine: Engine) -> None:
    """Computes each of the user's features for the cohort, to name the one that fails, or gives what cannot be said.

    Raises:
        UsageError: With the feature, and what the engine said or how many customers it concerns and a few of them.
    """
    for feature in own.features:
        column = feature.compute(cohort).cast(feature.dtype)
        try:
            values = engine.store("own_feature", cohort.select("customer_id", value=column))
        except DataError as problem:
            raise UsageError(f"{own.file}: feature {feature.name}: {problem}") from None
        if feature.dtype == "float64":
            known = values.filter(values.value.notnull())
            wrong = known.filter(known.value.isnan() | (known.value.abs() > GREATEST_FLOAT))
            told = "infinite or not a number", "where there is nothing to say it must be null: divide by `x.nullif(0)`"
            _refuse_any(wrong, own, feature, told, engine)
        if not feature.unread:
            told = "null", "say in `unread` what that means, or give it a value: `.fill_null(0)`"
            _refuse_any(values.filter(values.value.isnull()), own, feature, told, engine)


def _refuse_any(
    wrong: ibis.Table, own: CustomFeatures, feature: Feature, told: tuple[str, str], engine: Engine
) -> None:
    """Refuses a feature for the customers in a table, if there are any: what it is of them, and what to do."""
    customers = wrong.select("customer_id").distinct()
    if count := engine.count_rows(customers):
        few = engine.to_arrow(customers.order_by("customer_id").limit(5))["customer_id"].to_pylist()
        found, cure = told
        raise UsageError(f"{own.file}: feature {feature.name}: {found} for {count:,} customers ({sample(few)}); {cure}")


def _run(source: bytes, path: Path) -> ModuleType:
    """The file as a module that nobody else can import: what is run is what was digested."""
    module = ModuleType(MODULE_NAME)
    module.__file__ = str(path)
    sys.modules[MODULE_NAME] = module  # dataclasses look their module up while it runs
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (the user's own code)
    finally:
        del sys.modules[MODULE_NAME]
    return module


def _declared(module: ModuleType, task: Task) -> list[Family]:
    """The families of a file, with tuples of features."""
    declare = getattr(module, "families", None)
    if not callable(declare):
        raise CustomFeatureError(
            f"declares nothing: expected a function `families(task)` that gives Family's ({GUIDE})"
        )
    given = declare(task)
    if not isinstance(given, Iterable):
        raise CustomFeatureError(f"families(task) gives {type(given).__name__}; expected a list of Family ({GUIDE})")
    found = []
    for family in given:
        if not isinstance(family, Family):
            raise CustomFeatureError(
                f"families(task) gives {type(family).__name__} where a Family is expected ({GUIDE})"
            )
        found.append(_checked(family))
    if not any(family.features for family in found):
        raise CustomFeatureError(f"declares nothing: families(task) gives no feature ({GUIDE})")
    return found


def _checked(family: Family) -> Family:
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
    """Refuses names that are taken, and features that cannot be said in words."""
    seen: set[str] = set()
    for family in families:
        if family.name in seen:
            raise CustomFeatureError(f"family {family.name} is declared twice; give each a name of its own")
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


def _guarded(family: Family, file: str) -> Family:
    """A family whose failures name the file and the feature, and whose stages have names of their own."""
    features = tuple(replace(f, compute=partial(_compute, feature=f, file=file)) for f in family.features)
    measures = family.measures and partial(_measured, measures=family.measures, name=family.name, file=file)
    return Family(f"own_{family.name}", features, measures)


def _compute(m: ibis.Table, feature: Feature, file: str) -> ibis.Value:
    with _blaming(file, f"feature {feature.name}"):
        value = feature.compute(m)
        check_column(feature, value)
        m.select(value=value)
    return value


def _measured(past: Past, measures: Callable[[Past], ibis.Table], name: str, file: str) -> ibis.Table:
    """The measures of a family, stored and checked: one row a customer and cutoff."""
    contract_only = replace(past, tables=replace(past.tables, source=past.tables.events))
    with _blaming(file, f"family {name}"):
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
    several = keys.filter(keys.n > 1)
    if count := past.engine.count_rows(several):
        ids = past.engine.to_arrow(several.select("customer_id").distinct().order_by("customer_id").limit(5))
        raise CustomFeatureError(
            f"measures gives more than one row for {count:,} pairs of customer and cutoff (customers "
            f"{sample(ids['customer_id'].to_pylist())}); end with `.group_by(KEYS).aggregate(...)`"
        )
    strange = rows.anti_join(past.moments, "cutoff").select("cutoff").distinct().order_by("cutoff").limit(1)
    for cutoff in past.engine.to_arrow(strange)["cutoff"].to_pylist():
        raise CustomFeatureError(
            f"measures gives rows of cutoff {cutoff}, which was not asked for; take cutoffs from the past only"
        )


def _added_up(past: Past, measures: Sequence[Measure], of: str) -> ibis.Table:
    tables = {"orders": past.visible_orders, "days": past.days}
    if of not in tables:
        raise CustomFeatureError(f"add_up: of={of!r} is not known; expected 'orders' or 'days'")
    if not measures:
        raise CustomFeatureError("add_up is given no Measure")
    for measure in measures:
        check_measure(measure, tables[of])
    return by_window(tables[of], measures, window_spans(past.task.windows))


@contextmanager
def _blaming(file: str, *places: str) -> Iterator[None]:
    """Turns whatever the user's code raises into a message with the file, the place and the line."""
    try:
        yield
    except CustomFeatureError as problem:
        raise UsageError(": ".join((file, *places, str(problem)))) from None
    except (Exception, SystemExit) as problem:
        text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
        line, told = _line(problem, file), text.strip().splitlines()[:1]
        words = ": ".join((file, *places, type(problem).__name__, *told))
        raise UsageError(f"{words} (line {line})" if line else words) from None


def _line(problem: BaseException, file: str) -> int:
    """The last line of the user's file on the way to a problem; 0 where it was not on the way."""
    if isinstance(problem, SyntaxError):
        return problem.lineno or 0
    name = Path(file).name
    lines = [f.lineno or 0 for f in traceback.extract_tb(problem.__traceback__) if Path(f.filename).name == name]
    return lines[-1] if lines else 0


def _plain(family: str) -> str:
    return family.removeprefix("own_")
