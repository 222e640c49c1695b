"""Contacts, measured plans, and the data set from which the effects of actions are learned."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "action_reach": ["reach_by_action"],
        "contact_history": [
            "count_contacts_by_evidence",
            "read_attributes",
            "read_days_since_actions",
            "read_earlier_contacts",
            "summarise_log",
        ],
        "live_plans": [
            "PlanOnDisk",
            "alert_campaign",
            "live_plan",
            "mark_superseded",
            "newest_plans_first",
            "nightly_campaign",
            "plans_of_cutoff",
            "plans_superseded_by",
            "superseded_by",
        ],
        "plan_outcomes": ["PlanOutcomes", "read_later_values", "read_plan_outcomes"],
        "required_contacts": ["require_contacts", "require_uplift_contacts"],
        "uplift_dataset": ["UpliftDataset", "build_uplift_dataset"],
    },
)
