"""Groups of customers: RFM, lifecycle, clusters, transitions, products bought together."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "advice": ["config_advice", "group_advice"],
        "affinity": ["offered_kinds"],
        "group_rates": ["segment_rates"],
        "run": ["segment_customers"],
        "text": ["segments_text"],
        "transitions": ["GONE", "NOT_YET"],
    },
)
