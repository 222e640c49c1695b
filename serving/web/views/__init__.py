"""One module for each page."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "customer": ["customer_page", "full_waterfalls"],
        "customers": [
            "CustomerFilter",
            "LIST_COLUMNS",
            "PAGE",
            "filter_choices",
            "filter_sql",
            "list_page",
            "list_totals",
            "order_sql",
            "parse_filter",
            "plan_file",
            "scored_name",
        ],
        "experiments": ["campaigns_page", "experiment_results"],
        "monitoring": ["models_page", "monitoring_page", "newest_alerts", "nightly_runs"],
        "over_time": ["history_charts"],
        "overview": ["changes_since", "grade_of", "overview_page"],
        "plan": [
            "CAMPAIGN_FILE",
            "LISTED",
            "ORDER",
            "PAGE",
            "PlanAtBudget",
            "StoredPlan",
            "at_budget",
            "gain_chart",
            "next_plan",
            "parse_budget",
            "plan_customers",
            "plan_names",
            "plan_sentences",
            "read_stored_plan",
            "superseded_plans",
        ],
        "segments": ["segments_page"],
    },
)
