"""The champions, and what they say of a cohort: numbers, tier and segment, in the columns of the score table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa

from features.config.load import Config
from features.errors import DataError, UsageError
from features.feature import Feature
from features.snapshots.build import Snapshots, build_snapshots
from serving.language.feature_phrases import phrased
from serving.language.formats import task_terms
from serving.language.messages import get_language
from serving.scoring import value_tiers
from serving.scoring.columns import score_columns, worth_if_retained
from training.artifact.model_files import BundleError
from training.registry.models import Champion, load_champion


@dataclass(frozen=True)
class Champions:
    """The models that score together; without money there is no value model."""

    churn: Champion
    value: Champion | None

    @property
    def richest(self) -> Champion:
        """The one that says most: value says churn too, by the same gate."""
        return self.value or self.churn

    @property
    def targets(self) -> tuple[str, ...]:
        """What is explained: 'churn', and with money 'value' and the value over each longer horizon."""
        longer = tuple(step.column for step in self.value.bundle.longer) if self.value else ()
        return ("churn", "value", *longer) if self.value else ("churn",)

    @property
    def by_target(self) -> dict[str, Champion]:
        """Those that there are, by 'churn' and 'value'."""
        return {kind: m for kind, m in (("churn", self.churn), ("value", self.value)) if m is not None}

    @property
    def labels(self) -> dict[str, str]:
        """As the score table names those that there are, by 'churn' and 'value'."""
        return {kind: m.version.label for kind, m in self.by_target.items()}


def load_champions(config: Config) -> Champions:
    """The champions of a business, which must share one gate.

    Raises:
        UsageError: There is none, or they were not trained together.
    """
    churn, value = load_champion(config, "churn"), load_champion(config, "value") if config.has_value else None
    if churn is None:
        raise UsageError(
            f"no model {config.name}-churn is registered with the alias champion; run `regulars train` first"
        )
    if config.has_value and value is None:
        raise UsageError(
            f"no model {config.name}-value is registered with the alias champion; run `regulars train value`"
        )
    if value is not None and value.bundle.classifier_digest != churn.bundle.classifier_digest:
        raise UsageError(
            f"{churn.version.label} and {value.version.label} do not share one gate, so their numbers would contradict "
            "each other; run `regulars train` to make both"
        )
    return Champions(churn, value)


def build_cohort(config: Config, cutoff: date) -> Snapshots:
    """Features of a cutoff's cohort, told in the config's language.

    Raises:
        DataError: The log breaks its contract, or nobody is in the cohort.
        UsageError: The cutoff lies outside the log.
    """
    snapshots = build_snapshots(config, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise empty_cohort_error(config, cutoff)
    return replace(snapshots, features=phrased(snapshots.features, get_language(config.language).phrase))


def empty_cohort_error(config: Config, cutoff: date) -> DataError:
    """The error of an empty cohort."""
    return DataError(f"cutoff {cutoff}: nobody {task_terms(config.task).outsiders}: no one to score")


def predict_cohort(models: Champions, snapshots: Snapshots) -> dict[str, Any]:
    """The numbers and segments (n,) of a whole cohort, by score column.

    Raises:
        UsageError: The models need other features than the config makes.
    """
    check_features(models, snapshots.features, snapshots.own)
    rows = snapshots.rows
    said = models.richest.bundle.predict(rows)
    return score_columns(models.labels, rows, said, value_tiers.assign_tiers(worth_if_retained(rows, said)))


def check_features(models: Champions, features: Sequence[Feature], own: str) -> None:
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
        for model in models.by_target.values():
            model.bundle.model_inputs(pa.schema(kinds).empty_table())
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
