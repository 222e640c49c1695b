"""The grade: what each letter rests on, and how often chance gives a letter that the model does not deserve."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.grade import evaluated, simulated_grade
from training.evaluation.evaluate import Evaluation
from training.evaluation.grade import Grade, evaluation_figures, grade_evaluation, grade_text, read_grade


def test_each_part_has_its_letter_and_the_weakest_decides() -> None:
    good = simulated_grade(2.0, 0.0, 4000, 1)
    assert (good.order, good.level, good.stability, good.letter) == ("A", "A", "A", "A")
    high = simulated_grade(2.0, 0.5, 4000, 1)
    assert (high.order, high.level, high.letter) == ("A", "C", "C")
    assert "totals may be off by more than 30%" in grade_text(high)
    weak = simulated_grade(0.7, 0.0, 4000, 1)
    assert (weak.order, weak.letter) == ("B", "B")


def test_the_figures_are_those_of_the_newest_cutoff() -> None:
    evaluation = evaluated(2.0, 0.0, 400, 1)
    figures = evaluation_figures(evaluation)
    assert figures["evaluated_at"] == "2024-03-01" and figures["grade"]["letter"] in "ABC"
    assert figures["metrics"]["auc"][0] == pytest.approx(evaluation.row("auc")["value"])


def test_one_cutoff_cannot_show_that_a_model_is_stable() -> None:
    alone = simulated_grade(2.0, 0.0, 4000, 1, cutoffs=1)
    assert (alone.stability, alone.letter) == ("B", "B")
    assert grade_text(alone).endswith("too few cutoffs were tested to know whether this lasts.")


def test_a_model_without_skill_is_d() -> None:
    noise = simulated_grade(0.0, 0.0, 800, 3)
    assert noise.letter == "D" and "do not choose customers by these scores" in grade_text(noise)


def test_a_grade_survives_its_manifest_and_nothing_else_does() -> None:
    found = Grade(True, 0.88, 0.86, 0.17, 4, 0.87, 0.10)
    assert read_grade(vars(found)) == found
    assert read_grade(None) is None and read_grade({"letter": "A"}) is None
    empty = Evaluation(pd.DataFrame(columns=["model", "metric", "cutoff", "segment"]), pd.DataFrame(), pd.DataFrame())
    assert grade_evaluation(empty) is None and grade_evaluation(None) is None


@pytest.mark.long
@pytest.mark.parametrize(("customers", "repeats"), [(300, 400), (1000, 300)])
def test_chance_rarely_gives_a_letter_that_is_not_deserved(customers: int, repeats: int) -> None:
    """Noise is D, and a model whose level is 35% off hardly ever gets better than C."""
    noise = [simulated_grade(0.0, 0.0, customers, seed, 1).letter for seed in range(repeats)]
    assert sum(letter != "D" for letter in noise) / repeats < 0.08
    off = [simulated_grade(2.0, 0.35, customers, seed, 1).level for seed in range(repeats)]
    assert sum(letter != "C" for letter in off) / repeats < 0.1
