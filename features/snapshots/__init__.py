"""Features and labels at many cutoffs, with their cache and the proof that none of them leaks."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "build": [
            "KEYS",
            "MAX_CUTOFF_DELAY",
            "PreparedFeatures",
            "RowChoice",
            "Snapshots",
            "build_snapshots",
            "checked_log",
            "choose_training_rows",
            "prepare_features",
            "snapshot_query",
            "snapshots_from_tables",
            "write_snapshots",
        ],
        "built_file": ["require_build_target"],
        "cache": ["PART_NAME", "builder_digest", "open_cache"],
        "comparable": ["comparable_features", "sample_customers"],
        "counterfactual": [
            "CutoffLog",
            "EVENTS",
            "counterfactual_features",
            "known_customer_rows",
            "known_rows",
            "open_at_cutoff",
        ],
        "known_customers": ["require_known_customer"],
        "lapsed": ["MOST_ROWS", "build_lapsed_snapshots", "lapsed_cutoffs"],
        "leakage": ["check_leaks", "leaks_text"],
        "membership": ["Membership", "find_membership"],
        "one_customer": ["CustomerHistory", "read_customer_history"],
        "outcomes": ["add_outcomes"],
        "training_rows": ["BYTES_PER_VALUE", "FIXED_BYTES"],
    },
)
