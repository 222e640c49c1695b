"""Fits models on snapshots, evaluates them on later cutoffs, and registers them in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from training.backtesting.backtest import backtest_models
    from training.data.prediction import Prediction
    from training.data.time_split import time_splits
    from training.evaluation.evaluate import evaluate_predictions
    from training.models.churn import ChurnClassifier
    from training.models.spend import SpendRegressor
    from training.registry.models import load_champion
    from training.train import train_models
    from training.tune import tune_models

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "backtesting.backtest": ["backtest_models"],
        "data.prediction": ["Prediction"],
        "data.time_split": ["time_splits"],
        "evaluation.evaluate": ["evaluate_predictions"],
        "models.churn": ["ChurnClassifier"],
        "models.spend": ["SpendRegressor"],
        "registry.models": ["load_champion"],
        "train": ["train_models"],
        "tune": ["tune_models"],
    },
)
