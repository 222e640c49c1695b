"""What a training needs grows with rows, features and trials, and is said in one line."""

from __future__ import annotations

from datetime import date

from features.config.load import Config
from features.snapshots.training_rows import RowChoice
from training.resources import estimate_training

CUTOFFS = tuple(date(2024, month, 1) for month in range(1, 7))


def test_more_rows_features_and_trials_need_more(shop: Config) -> None:
    small = estimate_training(RowChoice(CUTOFFS, rows=30_000, columns=100), shop)
    wide = estimate_training(RowChoice(CUTOFFS, rows=30_000, columns=200), shop)
    large = estimate_training(RowChoice(CUTOFFS, rows=300_000, columns=100), shop)
    tuned = shop.model_copy(update={"training": shop.training.model_copy(update={"trials": 100})})
    assert small.seconds < wide.seconds < large.seconds
    assert small.gigabytes < wide.gigabytes < large.gigabytes
    assert estimate_training(RowChoice(CUTOFFS, rows=30_000, columns=100), tuned).seconds > small.seconds
    assert "300,000 rows x 100 features" in large.text and "\n" not in large.text
