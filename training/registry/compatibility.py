"""Whether a model still fits the features of today, and which outcomes it has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from features.definitions import redefined_features
from features.errors import UsageError
from features.task import Window, other_zone

MAX_NAMED = 3


class TrainedModel(Protocol):
    """What a fitted model says about its training."""

    @property
    def features(self) -> Sequence[str]:
        """The feature columns that it needs."""

    @property
    def task(self) -> Mapping[str, Any]:
        """Horizon, cohort, windows and time zone, as text."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its origin: training cutoffs, definitions of features and so on."""


def is_outdated(model: TrainedModel, zone: str) -> bool:
    """Whether a model can score nobody: its days begin in another zone, or features have another definition now."""
    return bool(other_zone(model.task, zone) or _redefined(model))


def refuse_outdated(label: str, model: TrainedModel, zone: str, command: str) -> None:
    """Refuses a champion that would misread the features of today.

    Args:
        label: Its name and version.
        model: The champion.
        zone: [task] timezone.
        command: What trains a new one.

    Raises:
        UsageError: With the reason and what to do.
    """
    if problem := other_zone(model.task, zone):
        raise UsageError(f"{label} was trained {problem}; run `{command}` to train with such days, or set it back")
    if changed := _redefined(model):
        more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
        raise UsageError(
            f"{label} was trained with an earlier definition of {', '.join(changed[:MAX_NAMED])}{more}, so it would "
            f"misread these features; run `{command}` again (`regulars run` does so by itself)"
        )


def _redefined(model: TrainedModel) -> list[str]:
    return redefined_features(model.features, model.facts.get("definitions", {}))


def learned_until(model: TrainedModel) -> date:
    """The end of the newest outcomes that a model learned from: its last training cutoff plus the horizon."""
    newest = max(date.fromisoformat(str(cutoff)) for cutoff in model.facts["cutoffs"])
    return newest + Window.parse(str(model.task["horizon"])).delta
