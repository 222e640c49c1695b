"""The effects of actions on customers: as estimated, as believed with a prior, and as assumed."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "action_beliefs": ["ActionBelief", "believe_actions"],
        "action_effects": ["ASSUMED", "INTERPOLATED", "UNKNOWN", "ActionEffects", "load_action_effects"],
        "believed_effects": ["EVIDENT"],
        "effect_table": ["RETURN", "VALUE", "as_floats"],
        "past_effects": ["effect_rows"],
        "uplift_scores": ["uplift_scores_text", "write_uplift_scores"],
    },
)
