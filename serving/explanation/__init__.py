"""Exact contributions of features, in probability and in money, and what-if changes."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "contributions": ["Contributions", "compute_contributions", "shap_explanation", "top_reasons"],
        "drivers": [
            "Levels",
            "MOST_DRIVERS",
            "drivers_from_tally",
            "merge_tallies",
            "sample_for_directions",
            "tally_contributions",
        ],
        "return_reasons": ["return_contributions"],
        "what_if": ["WhatIf", "find_what_if", "what_if_lines"],
    },
)
