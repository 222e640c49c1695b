"""What the champions say of customers: their numbers, tier and segment, in the columns of the score table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.config import Config
from features.errors import DataError, UsageError
from features.feature import Feature
from features.snapshots import Snapshots, from_config
from serving import segments
from serving.wording import task_words
from training.bundle import BundleError
from training.registry import Champion, champion

REASON = pa.struct(
    [("feature", pa.string()), ("phrase", pa.string()), ("reading", pa.string()), ("contribution", pa.float64())]
)
COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("cutoff", pa.timestamp("us")),
        ("churn_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_at_risk", pa.float64()),
        ("lifecycle", pa.string()),
        ("tier", pa.string()),
        ("segment", pa.string()),
        ("churn_reasons", pa.list_(REASON)),
        ("value_reasons", pa.list_(REASON)),
        ("churn_model", pa.string()),
        ("value_model", pa.string()),
    ]
)
FURTHER = COLUMNS.names.index("value_at_risk") + 1  # where other numbers that a model says have their place


@dataclass(frozen=True)
class Champions:
    """The models that score together; without money there is no value model."""

    churn: Champion
    value: Champion | None

    @property
    def fullest(self) -> Champion:
        """The one that says most: value says churn too, by the same gate."""
        return self.value or self.churn

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is explained: 'churn', and with money 'value' and the value over each longer horizon."""
        longer = tuple(step.column for step in self.value.bundle.longer) if self.value else ()
        return ("churn", "value", *longer) if self.value else ("churn",)

    @property
    def by_kind(self) -> dict[str, Champion]:
        """Those that there are, by 'churn' and 'value'."""
        return {kind: m for kind, m in (("churn", self.churn), ("value", self.value)) if m is not None}


def champions(config: Config) -> Champions:
    """The champions of a business, which must share one gate.

    Raises:
        UsageError: There is none, or they were not trained together.
    """
    churn, value = champion(config, "churn"), champion(config, "value") if config.has_value else None
    if churn is None:
        raise UsageError(
            f"no model {config.name}-churn is registered with the alias champion; run `regulars train` first"
        )
    if config.has_value and value is None:
        raise UsageError(
            f"no model {config.name}-value is registered with the alias champion; run `regulars train value`"
        )
    if value is not None and value.bundle.gate_digest != churn.bundle.gate_digest:
        raise UsageError(
            f"{churn.version.label} and {value.version.label} do not share one gate, so their numbers would contradict "
            "each other; run `regulars train` to make both"
        )
    return Champions(churn, value)


def cohort(config: Config, cutoff: date) -> Snapshots:
    """Features of a cutoff's cohort.

    Raises:
        DataError: The log breaks its contract, or nobody is in the cohort.
        UsageError: The cutoff lies outside the log.
    """
    snapshots = from_config(config, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise nobody(config, cutoff)
    return snapshots


def nobody(config: Config, cutoff: date) -> DataError:
    """The error of an empty cohort."""
    return DataError(f"cutoff {cutoff}: nobody {task_words(config.task).outsiders}: no one to score")


def figures(models: Champions, snapshots: Snapshots) -> dict[str, Any]:
    """The numbers and segments (n,) of a whole cohort, by score column.

    Raises:
        UsageError: The models need other features than the config makes.
    """
    refuse_others(models, snapshots.features, snapshots.own)
    rows = snapshots.rows
    said = models.fullest.bundle.predict(rows)
    return in_columns(models, rows, said, segments.tier(worth(models, rows, said)))


def worth(models: Champions, rows: pa.Table, said: Mapping[str, np.ndarray]) -> np.ndarray:
    """What ranks customers (n,) for their tier, from their features and what the models said of them."""
    return said["value"] + said["value_at_risk"] if models.value else segments.worth(rows)


def in_columns(models: Champions, rows: pa.Table, said: Mapping[str, np.ndarray], tiers: np.ndarray) -> dict[str, Any]:
    """The score columns (n,) but for the reasons, from features, numbers said and tiers of n customers."""
    return {
        "customer_id": rows["customer_id"],
        "cutoff": rows["cutoff"],
        **said,
        "lifecycle": rows["lifecycle"],
        "tier": tiers,
        "segment": segments.segment(tiers, said["churn_probability"]),
        "churn_model": [models.churn.version.label] * rows.num_rows,
        "value_model": [models.value.version.label if models.value else None] * rows.num_rows,
    }


def score_table(columns: Mapping[str, Any], why: Mapping[str, list[Any]], n: int) -> pa.Table:
    """The figures and reasons of `n` customers in the contract's columns; what a log cannot say is null.

    Further numbers that a model says stand after `value_at_risk`, in its order.
    """
    full = {**columns, "churn_reasons": why["churn"], "value_reasons": why.get("value", [[]] * n)}
    further = [pa.field(name, pa.float64()) for name in columns if name not in COLUMNS.names]
    schema = pa.schema([*list(COLUMNS)[:FURTHER], *further, *list(COLUMNS)[FURTHER:]])
    return pa.table({f.name: full.get(f.name, pa.nulls(n, f.type)) for f in schema}, schema=schema)


def refuse_others(models: Champions, features: Sequence[Feature], own: str) -> None:
    """Refuses a config that makes other features than the models learned from.

    Args:
        models: The champions.
        features: That the config makes.
        own: The digest of the file of the user's own features; it must be the same to the byte.

    Raises:
        UsageError: A feature is missing or of another type, or the user's own are others.
    """
    _refuse_other_own(models, own)
    kinds = [(f.name, pa.string() if f.dtype == "string" else pa.float64()) for f in features]
    try:
        for model in models.by_kind.values():
            model.bundle.columns(pa.schema(kinds).empty_table())
    except BundleError as problem:
        raise UsageError(f"{problem}; the config changed since training, run `regulars train` again") from None


def _refuse_other_own(models: Champions, now: str) -> None:
    learned = str(models.churn.bundle.facts.get("own_features", ""))
    if learned == now:
        return
    label = models.churn.version.label
    if not now:
        told = f"{label} learned from features of your own, and [features] own names no file now; name it again"
    elif not learned:
        told = f"{label} learned without features of your own, and [features] own names a file now; take it out"
    else:
        told = f"the file that [features] own names is not the one that {label} learned from; put that one back"
    raise UsageError(f"{told}, or run `regulars train` again")
