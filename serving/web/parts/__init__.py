"""What several pages share: the reader of the output folder, slow questions, and what a visit says of itself."""

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
        "visits": ["address_of", "cookie_of", "is_from_elsewhere", "led_on", "parameters_of"],
    },
)
