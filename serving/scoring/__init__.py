"""A cutoff's customers as score tables, in bounded memory, with resume and sinks."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "columns": ["NEXT_PURCHASE", "NEXT_PURCHASE_COLUMNS", "SCORE_SCHEMA"],
        "lifetime_totals": ["is_lifetime", "lifetime_lines", "lifetime_name", "reach_text"],
        "predictions": ["build_cohort", "load_champions", "model_features", "predict_cohort"],
        "resumable_run": ["remove_folder"],
        "run": ["score_customers"],
        "score_changes": ["ScoreChanges", "ScoreSide", "change_sentences", "compare_files", "compare_scores"],
        "score_notes": ["notes_on_scores"],
        "score_tables": [
            "MANIFEST",
            "NEVER_NULL",
            "Scores",
            "read_scores",
            "refuse_other_zone",
            "total_value_interval",
        ],
        "sinks": ["REASON_FORMATS", "delete_customer_rows", "reasons_as_text", "spreadsheet_table"],
        "spreadsheet_text": ["escape_formulas"],
        "value_tiers": [
            "ALIKE_RULE",
            "AT_RISK",
            "HIGH_SHARE",
            "MIDDLE_SHARE",
            "NO_SKILL",
            "RULES_VERSION",
            "TIER_RULES",
            "group_rules",
            "segment_rules",
        ],
    },
)
