"""Lapsed customers of a scored cutoff: the table of who may come back, and what it says of one of them."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "table": [
            "WINBACK_SCHEMA",
            "WinbackManifest",
            "WinbackScores",
            "last_tries",
            "read_winback",
            "winback_rows_table",
        ],
        "text": ["lapsed_customer_text"],
    },
)
