"""The files that travel inside a registered model; they import nothing of ours."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "bundle": ["Levels", "LongerHorizon", "ModelBundle", "encode_levels"],
        "effect_modifiers": ["Columns", "Modifier", "learn_modifiers", "modifier_matrix"],
        "hierarchical_effects": ["HierarchicalEffects", "SMALLEST", "effect_shape", "forecast_of"],
        "lifetime": ["Lifetime", "LifetimeHorizon", "NEVER", "anchored", "growth_at", "history", "profit_column"],
        "margin": ["Margin", "SMALLEST", "SURE", "Term"],
        "model_files": ["BundleError"],
        "reasons": [
            "REASON_TYPE",
            "Wording",
            "hand_on_contributions",
            "largest_reasons",
            "rank_families",
            "read_shares",
        ],
        "return_hazard": ["RETURNS_WITHIN", "RETURN_COLUMNS", "ReturnCurves", "ReturnHazard"],
        "score_parts": ["LinearForm", "ScorePart", "with_arm_columns"],
        "spread": ["Spread", "read_spread"],
        "uplift_bundle": [
            "DesignColumn",
            "EffectModel",
            "Formula",
            "LearnerVote",
            "OutcomeModel",
            "UpliftBundle",
            "design_matrix",
            "named_columns",
        ],
    },
)
