"""The champions, and their predictions for a cohort with tier and segment, in the columns of the score table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa

from features.config.load import Config
from features.config.sections import TaskConfig
from features.errors import DataError, UsageError
from features.feature import Feature
from features.intake.log import Log
from features.snapshots.build import Snapshots, build_snapshots
from serving.language.feature_phrases import translate_features
from serving.language.formats import task_terms
from serving.language.messages import get_language
from serving.scoring import value_tiers
from serving.scoring.columns import score_columns, worth_if_retained
from training.artifact.model_files import BundleError
from training.registry.compatibility import refuse_outdated
from training.registry.models import Champion, load_champion
from training.registry.tracking_store import no_champion_error


@dataclass(frozen=True)
class Champions:
    """The champion models that score together; a business without amounts has no value model."""

    churn: Champion
    value: Champion | None

    @property
    def richest(self) -> Champion:
        """The richest model: the value model also predicts churn, with the same classifier."""
        return self.value or self.churn

    @property
    def targets(self) -> tuple[str, ...]:
        """The predicted outcomes: 'churn', and with money 'value' and the value over each longer horizon."""
        longer = tuple(step.column for step in self.value.bundle.longer) if self.value else ()
        return ("churn", "value", *longer) if self.value else ("churn",)

    @property
    def by_target(self) -> dict[str, Champion]:
        """The models by 'churn' and, with money, 'value'."""
        return {kind: m for kind, m in (("churn", self.churn), ("value", self.value)) if m is not None}

    @property
    def labels(self) -> dict[str, str]:
        """Name and version of each model as in the score table, by 'churn' and 'value'."""
        return {kind: m.version.label for kind, m in self.by_target.items()}


def load_champions(config: Config) -> Champions:
    """Load the champions of a business; both must share one classifier of returning.

    Raises:
        UsageError: A champion is missing or outdated, or they were not trained together.
    """
    churn, value = load_champion(config, "churn"), load_champion(config, "value") if config.has_value else None
    if churn is None:
        raise no_champion_error(config, "churn")
    if config.has_value and value is None:
        raise no_champion_error(config, "value")
    refuse_outdated(churn.version.label, churn.bundle, config.task.timezone, "regulars train")
    if value is not None and value.bundle.classifier_digest != churn.bundle.classifier_digest:
        raise UsageError(
            f"{churn.version.label} and {value.version.label} do not share one classifier of returning, so their "
            "predictions would contradict each other; run `regulars train` to train both"
        )
    return Champions(churn, value)


def build_cohort(log: Log, cutoff: date) -> Snapshots:
    """Build the features of a cutoff's cohort, with phrases in the config's language.

    Raises:
        DataError: The log breaks its contract, or the cohort is empty.
        UsageError: The cutoff lies outside the log.
    """
    config, snapshots = log.config, build_snapshots(log, [cutoff], with_labels=False)
    if not snapshots.rows.num_rows:
        raise empty_cohort_error(config.task, cutoff)
    return replace(snapshots, features=translate_features(snapshots.features, get_language(config.language)))


def empty_cohort_error(task: TaskConfig, cutoff: date) -> DataError:
    """Return the error for an empty cohort."""
    return DataError(f"cutoff {cutoff}: nobody {task_terms(task).outsiders}: no one to score")


def predict_cohort(models: Champions, snapshots: Snapshots) -> dict[str, Any]:
    """Predict for a whole cohort; returns the score columns (n,) by name, without reasons.

    Raises:
        UsageError: The models need other features than the config builds.
    """
    model_features(models, snapshots.features, snapshots.own)
    rows = snapshots.rows
    bundle = models.richest.bundle
    predicted = bundle.predict(rows)
    groups = value_tiers.assign_groups(predicted["churn_probability"], worth_if_retained(rows, predicted), bundle.skill)
    return score_columns(models.labels, rows, predicted, groups)


def model_features(models: Champions, features: Sequence[Feature], own_digest: str) -> tuple[Feature, ...]:
    """Check that the config builds the features that the models were trained on, and return these.

    Args:
        models: The champions.
        features: The features that the config builds; those that came after the training are left out.
        own_digest: The digest of the file of custom features, '' without one; it must be that of training.

    Returns:
        The features in the order of the models' columns.

    Raises:
        UsageError: A feature is missing or has another type, or the custom features changed.
    """
    _check_own_features(models, own_digest)
    fields = [(f.name, pa.string() if f.dtype == "string" else pa.float64()) for f in features]
    try:
        for model in models.by_target.values():
            model.bundle.model_inputs(pa.schema(fields).empty_table())
    except BundleError as problem:
        raise UsageError(f"{problem}; the config changed since training, run `regulars train` again") from None
    by_name = {feature.name: feature for feature in features}
    return tuple(by_name[name] for name in models.richest.bundle.features)


def _check_own_features(models: Champions, own_digest: str) -> None:
    learned = str(models.churn.bundle.facts.get("own_features", ""))
    if learned == own_digest:
        return
    label = models.churn.version.label
    if not own_digest:
        problem = f"{label} was trained with features of your own, and [features] own names no file now; name it again"
    elif not learned:
        problem = f"{label} was trained without features of your own, and [features] own names a file now; take it out"
    else:
        problem = f"the file that [features] own names is not the one that {label} was trained with; put that one back"
    raise UsageError(f"{problem}, or run `regulars train` again")
