"""Who gets which action within a budget, and who is held out."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "action_effects": ["ASSUMED"],
        "cutoff_holdout": ["draw_of"],
        "inputs": ["MONEY"],
        "plan": ["Plan", "make_plan", "read_plan"],
        "rules": ["find_plan_manifest", "plan_reference", "plan_rules", "refuse_measured"],
        "text": ["plan_text"],
        "uplift_scores": ["uplift_scores_text", "write_uplift_scores"],
    },
)
