"""One TOML file as frozen, checked models, and the page that documents every key."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "data_contract": ["ActivityColumns", "CustomerAttribute", "DataContract", "build_contract", "feature_slug"],
        "load": ["Config", "EngineConfig", "load_config", "parse_config"],
        "monitor": ["ALL_CUSTOMERS", "LIFECYCLES", "MailConfig", "MonitorConfig", "check_webhook_url"],
        "names": ["check_name"],
        "plan": ["ATTRIBUTES", "Exclusion", "PlanAction", "PlanConfig", "without_customer_ids"],
        "quiet_times": ["first_open_day", "open_hours"],
        "rfm_rules": ["BEST_SCORE", "groups_by_scores"],
        "sections": ["LifetimeConfig", "TaskConfig", "TrainingConfig"],
        "segments": ["LIFECYCLE_STAGES", "SEGMENTS", "TIERS"],
        "table_sections": [
            "Activity",
            "COLUMN_LIST_KEYS",
            "Contacts",
            "Customers",
            "Events",
            "Identity",
            "MoneySection",
            "NUMBER_ROLES",
            "Subscriptions",
            "TableSection",
            "number_columns",
        ],
    },
)
