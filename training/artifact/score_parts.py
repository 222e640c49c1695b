"""The parts of which learners' scores are sums: trees and linear forms, on a design with columns for the arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model_files import read_trees


def with_arm_columns(design: np.ndarray, arms: int, arm: int | np.ndarray) -> np.ndarray:
    """Append one indicator column for each treated arm to a design.

    Args:
        design: Numbers (n, p).
        arms: The number of treated arms; with 0 the design is returned unchanged.
        arm: The arm of all rows, or of each row (n,): 0 for the control, 1 to `arms` for the others.

    Returns:
        The design with the indicators (n, p + arms).

    >>> with_arm_columns(np.zeros((2, 1)), 2, np.array([0, 2])).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not arms:
        return design
    which = np.broadcast_to(np.asarray(arm), len(design))
    return np.hstack([design, (which[:, None] == np.arange(1, arms + 1)).astype(float)])


@dataclass(frozen=True)
class LinearForm:
    """A linear form of asinh(x / scale) - centre; a null x counts as the centre.

    Attributes:
        intercept: Its value at the centres.
        scales, centres, weights: One for each column of the design.
    """

    intercept: float
    scales: tuple[float, ...]
    centres: tuple[float, ...]
    weights: tuple[float, ...]

    def predict(self, design: np.ndarray) -> np.ndarray:
        """The form (n,) of a design (n, p).

        >>> form = LinearForm(1.0, (1.0,), (0.0,), (2.0,))
        >>> form.predict(np.array([[0.0], [np.nan], [np.sinh(1.0)]])).round(4).tolist()
        [1.0, 1.0, 3.0]
        """
        shaped = np.nan_to_num(np.arcsinh(design / np.array(self.scales)) - np.array(self.centres))
        return np.asarray(self.intercept + shaped @ np.array(self.weights))


@dataclass(frozen=True)
class ScorePart:
    """A part of a score: trees or a linear form.

    Attributes:
        trees: LightGBM's text; empty for a linear form.
        arms: Number of indicator columns of arms at the end of the trees' design.
        arm: The arm to predict for; 0 is the control, whose indicators are all 0.
        linear: The linear form; None for trees.
    """

    trees: str = ""
    arms: int = 0
    arm: int = 0
    linear: LinearForm | None = None

    def predict(self, design: np.ndarray) -> np.ndarray:
        """The part (n,) of a design (n, p).

        Raises:
            BundleError: The trees are not LightGBM's.
        """
        if self.linear is not None:
            return self.linear.predict(design)
        return np.asarray(read_trees(self.trees).predict(with_arm_columns(design, self.arms, self.arm)))
