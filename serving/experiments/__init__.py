"""Experiments between actions: their arms and contrasts, their sizes by power, and their random assignment."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "arms": ["NOTHING", "ExperimentArms", "parse_arms"],
        "contrasts": ["FAMILIES", "INTERACTION", "MAIN_EFFECT", "PAIR", "Contrast", "list_contrasts"],
        "design": [
            "ArmLimits",
            "ExperimentDesign",
            "ScoredCustomers",
            "assign_arms",
            "design_experiment",
            "refuse_small_arms",
        ],
        "power": ["ALPHA", "POWER", "holdout_power"],
        "wording": ["contrast_sentences", "experiment_sentences"],
    },
)
