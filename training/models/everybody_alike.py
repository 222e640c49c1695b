"""Everybody alike as a model of its own kind: the share of leavers and the mean value of the newest cutoff, for all.

It scores where no model tells customers apart. Its margins are constants, so that everything that reads a model works:
each prediction is the base of its explanation, and no feature contributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from features.snapshots.build import Snapshots
from training.artifact.bundle import LongerHorizon, ModelBundle
from training.artifact.lifetime import Lifetime
from training.artifact.margin import SURE, Margin
from training.artifact.spread import Spread
from training.data.time_split import Sample, out_of_time_folds, sample_at, training_sample
from training.models.calibration import LaterCutoffs, fit_level
from training.models.intervals import fit_spread
from training.models.longer_horizons import nonnegative_gains, value_over
from training.models.return_hazard import alike_hazard

LEAST_MONEY = 1e-6  # whose logarithm stands for no money
NOT_OURS = ("members", "parameters", "heard")  # facts of a model that says more


@dataclass(frozen=True)
class AlikeModels:
    """Everybody alike as models.

    Attributes:
        models: To score with, of the same kinds as the models that they stand in for.
        evaluated: From what was known at the last cutoff.
    """

    models: tuple[ModelBundle, ...]
    evaluated: ModelBundle


def fit_everybody_alike(bundle: ModelBundle, snapshots: Snapshots, inside: float) -> ModelBundle:
    """Makes the model that treats everybody alike, in the place of another one.

    Args:
        bundle: The other model: it gives the kind, the columns, the cutoffs and the longer horizons.
        snapshots: With labels at its cutoffs, as known when it was fitted.
        inside: The wanted coverage of the prediction intervals, in (0, 1).

    Returns:
        The model; `skill` is false.
    """
    cutoffs = sorted(date.fromisoformat(day) for day in bundle.facts["cutoffs"])
    rows = sample_at(snapshots, [cutoffs[-1]])
    share = float(np.clip(rows.churned.mean(), SURE, 1 - SURE))
    facts = {**{key: fact for key, fact in bundle.facts.items() if key not in NOT_OURS}, "skill": False}
    gate, returns = _constant(np.log(share / (1 - share))), alike_hazard(bundle.returns, rows)
    alike = replace(bundle, gate=gate, slope=1.0, intercept=0.0, facts=facts, returns=returns)
    if bundle.spend is None:
        return alike
    spend = max(float(rows.spend.mean()), LEAST_MONEY) / (1 - share)
    everybody = np.ones(len(rows))
    spread = fit_spread(
        [everybody * (1 - share)], [everybody * spend], [rows.spend], inside, _level_error(snapshots, cutoffs, inside)
    )
    longer = tuple(_fit_longer(bundle, place, snapshots, cutoffs, spread) for place in range(len(bundle.longer)))
    spending = replace(alike, spend=_constant(np.log(spend)), log_level=0.0, spread=spread, longer=longer)
    return replace(spending, lifetime=_alike_lifetime(bundle, rows))


def _alike_lifetime(bundle: ModelBundle, rows: Sample) -> Lifetime | None:
    """The lifetime of the other model with the mean growth of all customers."""
    lifetime = bundle.lifetime
    if lifetime is None:
        return None
    X = bundle.model_inputs(rows.features)
    value = bundle.predict(rows.features)["value"]
    growth = np.cumsum(lifetime.gains(X, {lifetime.horizon: value}).sum(axis=0)) / value.sum()
    table = ((tuple(float(x) for x in growth),),)
    return replace(lifetime, purchases=(0.0,), ages=(1.0,), growth=table, anchor=1.0)


def _constant(margin: float) -> Margin:
    return Margin(intercept=float(margin))


def _level_error(snapshots: Snapshots, cutoffs: Sequence[date], inside: float) -> float:
    """How far the total of a cutoff lies from the mean value of the newest cutoff known at it, as for other models."""
    horizon = snapshots.task.horizon
    folds = out_of_time_folds(cutoffs, horizon)
    actual = [sample_at(snapshots, [fold.test]).spend for fold in folds]
    means = [training_sample(snapshots, replace(fold, train=(max(fold.train),))).spend.mean() for fold in folds]
    predicted = [np.full(len(a), max(mean, LEAST_MONEY)) for a, mean in zip(actual, means, strict=True)]
    later = LaterCutoffs(tuple(fold.test for fold in folds), max(cutoffs) + horizon.delta, horizon, inside)
    return fit_level(predicted, actual, later).error


def _fit_longer(
    bundle: ModelBundle, place: int, snapshots: Snapshots, cutoffs: Sequence[date], spread: Spread
) -> LongerHorizon:
    """The mean gain of one longer horizon, at the newest cutoff whose label over it is known."""
    columns = ("value", *(step.column for step in bundle.longer))
    before, column = columns[place], columns[place + 1]
    horizon, known_by = snapshots.task.longer[column], snapshots.known_by or snapshots.labels_end
    rows = sample_at(snapshots, [max(c for c in cutoffs if c + horizon.delta <= known_by)])
    actual = value_over(rows, column)
    gain = max(float(nonnegative_gains(value_over(rows, before), actual).mean()), LEAST_MONEY)
    everybody = np.ones(len(rows))
    total = max(float(actual.mean()), LEAST_MONEY)
    own_spread = fit_spread([everybody], [everybody * total], [actual], spread.inside, spread.level_error)
    return LongerHorizon(column, _constant(np.log(gain)), 0.0, own_spread)
