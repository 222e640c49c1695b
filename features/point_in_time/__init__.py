"""History before a cutoff and labels after it: the only place that compares times with a cutoff."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "baskets": [
            "CoPurchases",
            "count_by_period",
            "count_co_purchases",
            "next_values",
            "preferred_values",
            "purchases_of_kind",
        ],
        "history": [
            "KEYS",
            "KNOWN_BY",
            "Past",
            "build_history",
            "cutoff_table",
            "days_before_contact",
            "days_since",
            "history_marks",
            "known_before",
            "known_later",
            "label_keys",
            "late_after_contact",
            "late_in_horizon",
            "late_terms",
            "newest_rows",
            "order_days",
            "owned_columns",
            "rows_after_contact",
            "rows_in_horizon",
            "terms_at_cutoffs",
            "visible_at_cutoffs",
            "with_age",
        ],
        "labels": ["churned_label", "cover_outcomes", "null_if_immature", "purchase_labels", "value_label"],
        "measures": [
            "DAY_MEASURES",
            "MONTH",
            "Measure",
            "WEEK",
            "YEAR",
            "by_window",
            "earlier_spans",
            "order_measures",
            "purchase_measures",
            "window_spans",
        ],
    },
)
