"""What a training will need in time and memory, estimated before it starts.

The constants are seconds of one core and bytes, measured by `benchmarks/training_cost.py`; machines differ.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from features.config.load import Config
from features.snapshots.build import RowChoice
from features.snapshots.training_rows import BYTES_PER_VALUE, FIXED_BYTES
from training.tune import MAX_ROWS

FIXED_SECONDS = 16.0
BUILD, FIT, BASELINE = 0.35, 0.65, 0.2  # seconds for a million values (rows x features); FIT: of all folds together
TRIAL = 0.7  # seconds of a trial of both models on MAX_ROWS rows x 127 features; a search may end earlier
RESAMPLE = 1.5e-6  # seconds for a customer and resample
MANY = 90  # seconds; longer times are given in minutes
PARALLEL = 0.7  # what each further core adds


@dataclass(frozen=True)
class TrainingNeeds:
    """What a training will need.

    Attributes:
        rows: About how many rows (a customer at a cutoff) it uses.
        columns: How many features.
        trials: Tuning trials of each model.
        cores: Of this machine.
        seconds: About how long it takes on these cores.
        gigabytes: Of memory at its peak.
    """

    rows: int
    columns: int
    trials: int
    cores: int
    seconds: float
    gigabytes: float

    @property
    def text(self) -> str:
        """One plain line.

        >>> print(TrainingNeeds(333_377, 127, 25, 2, 71.0, 1.9).text)
        training will take about 70 seconds on 2 cores and 1.9 GB of memory: 333,377 rows x 127 features, 25 trials
        """
        time = f"{max(10, round(self.seconds, -1)):.0f} seconds"
        if self.seconds > MANY:
            time = f"{self.seconds / 60:.0f} minutes"
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return (
            f"training will take about {time} on {cores} and {self.gigabytes:.1f} GB of memory: {self.rows:,} rows x "
            f"{self.columns} features, {self.trials} trials"
        )


def estimate_training(choice: RowChoice, config: Config) -> TrainingNeeds:
    """Estimates what a training on some rows will need.

    Args:
        choice: The rows.
        config: Trials and resamples.

    Returns:
        The needs.
    """
    settings, values = config.training, choice.rows * choice.columns / 1e6
    share = min(1.0, choice.rows / MAX_ROWS) * choice.columns / 127
    resamples = settings.bootstrap * choice.rows / max(len(choice.cutoffs), 1)
    seconds = FIXED_SECONDS + (BUILD + FIT + BASELINE) * values + TRIAL * settings.trials * share + RESAMPLE * resamples
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = FIXED_BYTES + BYTES_PER_VALUE * values * 1e6
    faster = 1 + PARALLEL * (min(cores, 4) - 1)
    return TrainingNeeds(choice.rows, choice.columns, settings.trials, cores, seconds / faster, size / 1e9)
