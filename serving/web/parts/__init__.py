"""What several pages share: the reader of the output folder."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "output_reader": [
            "MissingOutput",
            "ROWS",
            "ScoredCutoff",
            "Site",
            "has_value",
            "number_format",
            "open_site",
            "read_stored_manifest",
            "read_scored_cutoff",
            "scored_cutoffs",
            "unfinished_cutoffs",
        ],
        "slow_queries": ["QueueFullError", "SlowQueries", "Stop", "TooSlowError", "Work"],
    },
)
