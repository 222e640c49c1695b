"""How often simulated models get each grade: without skill, with a wrong level, weak, and good.

python -m benchmarks.grade --repeats 200
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import date

import numpy as np
import pyarrow as pa

from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.baselines import EVERYBODY_ALIKE
from training.evaluation.evaluate import OURS, Evaluation, concat_evaluations, evaluate_predictions
from training.evaluation.grade import Grade, grade_evaluation

SHARE = 0.25  # of leavers
CASES = {  # the spread of the log-odds of churn, and by how much predicted probabilities are too high
    "no skill": (0.0, 0.0),
    "weak order (AUC 0.62)": (0.45, 0.0),
    "good order, level 35% too high": (2.0, 0.35),
    "good order (AUC 0.87), right level": (2.0, 0.0),
}


def evaluated(signal: float, off: float, customers: int, seed: int, cutoffs: int = 3) -> Evaluation:
    """Cutoffs of customers whose log-odds of churn vary by `signal`, predicted too high by `off`; noise without it."""
    rng, parts = np.random.default_rng(seed), []
    for month in range(1, cutoffs + 1):
        risk, middle = rng.normal(0, 1, customers), np.log(SHARE / (1 - SHARE))
        chance = 1 / (1 + np.exp(-(middle + signal * risk)))
        churned = (rng.random(customers) < chance).astype(float)
        ids = pa.chunked_array([pa.array([str(i) for i in range(customers)])])
        truth = Sample(ids, np.zeros(customers, int), pa.table({"x": risk}), churned, np.zeros(customers))
        ours = np.clip(chance * (1 + off), 0.001, 0.999) if signal else SHARE + 0.05 * np.tanh(risk)
        predictions = {OURS: Prediction(ours, None), EVERYBODY_ALIKE: Prediction(np.full(customers, SHARE), None)}
        parts.append(evaluate_predictions(predictions, truth, date(2024, month, 1), seed=seed, resamples=100))
    return concat_evaluations(parts)


def simulated_grade(signal: float, off: float, customers: int, seed: int, cutoffs: int = 3) -> Grade:
    """The grade of a simulated model."""
    grade = grade_evaluation(evaluated(signal, off, customers, seed, cutoffs))
    if grade is None:
        raise ValueError("the simulation has no leavers")
    return grade


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--customers", type=int, nargs="+", default=[300, 1000, 3000])
    asked = parser.parse_args()
    print(f"{'model':<38}{'customers':>10}" + "".join(f"{letter:>7}" for letter in "ABCD"))
    for name, (signal, off) in CASES.items():
        for customers in asked.customers:
            seeds = range(asked.repeats)
            counts = Counter(simulated_grade(signal, off, customers, seed).letter for seed in seeds)
            shares = "".join(f"{counts[letter] / asked.repeats:>7.1%}" for letter in "ABCD")
            print(f"{name:<38}{customers:>10,}{shares}")


if __name__ == "__main__":
    main()
