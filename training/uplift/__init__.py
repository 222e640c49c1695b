"""The effects of actions: learned from randomised contacts, evaluated, registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from training.uplift.effects import estimate_effects
    from training.uplift.experiment import experiment_from_columns
    from training.uplift.meta_learners import doubly_robust_scores
    from training.uplift.metrics import arm_outcomes, effect_calibration, qini_area, qini_curve
    from training.uplift.overlap import measure_overlap
    from training.uplift.registry import load_uplift_champion
    from training.uplift.train import train_uplift, uplift_outcome, uplift_refusal, uplift_text

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "effects": ["estimate_effects"],
        "experiment": ["experiment_from_columns"],
        "meta_learners": ["doubly_robust_scores"],
        "metrics": ["NORMAL_95", "arm_outcomes", "effect_calibration", "qini_area", "qini_curve"],
        "overlap": ["measure_overlap"],
        "registry": ["load_uplift_champion"],
        "train": ["train_uplift", "uplift_outcome", "uplift_refusal", "uplift_text"],
    },
)
