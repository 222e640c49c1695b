"""Whether it helps to choose how fast training forgets: the half-life of the weights of rows, in horizons.

Simulated shops and contracts (`benchmarks/totals.py`) are evaluated at rolling cutoffs with several half-lives for all
models of a business. The table shows means over the cutoffs divided by those of the default, and what the best
half-life of each business, picked with hindsight, would bring: no rule of choice can bring more.

    python benchmarks/forgetting.py [--shops N] [--contracts N] [--first SEED]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import rolling, totals  # noqa: E402
from training.models import base_models  # noqa: E402

DEFAULT = base_models.HALF_LIFE
HALF_LIVES = (1.0, DEFAULT, np.inf)
METRICS = ("brier", "deviance", "total_error")


def main(arguments: Sequence[str]) -> int:
    """Prints a row for each business, then the means."""
    options = _options(arguments)
    print(
        "| business | half-life | " + " | ".join(rolling.METRICS[m] for m in METRICS) + " |\n|:---|---:|---:|---:|---:|"
    )
    all_ratios = []
    for name in ("shops", "contracts"):
        for number in range(options.first, options.first + getattr(options, name)):
            ratios = ratios_to_default(totals.KINDS[name], number)
            all_ratios.append(list(ratios.values()))
            for half_life, row in ratios.items():
                print(_row(f"{name} {number}", half_life, row), flush=True)
    means = np.mean(all_ratios, axis=0)
    for half_life, row in zip(HALF_LIVES, means, strict=True):
        print(_row("mean", half_life, row))
    print(_row("mean of the best of each business", "any", np.min(all_ratios, axis=1).mean(axis=0)))
    return 0


def ratios_to_default(kind: totals.Kind, number: int) -> dict[float, np.ndarray]:
    """Mean metrics of a business by half-life, divided by those of the default half-life.

    Args:
        kind: Of the business.
        number: Of the business.

    Returns:
        Ratios (metrics,) by half-life.
    """
    means = {}
    for half_life in HALF_LIVES:
        base_models.HALF_LIFE = half_life
        with tempfile.TemporaryDirectory() as folder:
            cutoffs = totals.evaluate_business(kind, Path(folder), number)
        means[half_life] = np.mean([rolling.figures_of(cutoff, METRICS) for cutoff in cutoffs], axis=0)
    base_models.HALF_LIFE = DEFAULT
    return {half_life: mean / means[DEFAULT] for half_life, mean in means.items()}


def _row(business: str, half_life: float | str, ratios: np.ndarray) -> str:
    return f"| {business} | {half_life} | " + " | ".join(f"{ratio:.4f}" for ratio in ratios) + " |"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--shops", type=int, default=6, help="simulated shops (6)")
    parser.add_argument("--contracts", type=int, default=6, help="businesses with contracts (6)")
    parser.add_argument("--first", type=int, default=300, help="number of the first business of each kind (300)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
