"""Contacts, measured plans, and the data set from which the effects of actions are learned."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "action_reach": ["reach_by_action"],
        "contact_history": ["read_attributes", "read_earlier_contacts", "summarise_log"],
        "live_plans": ["live_plan", "newest_plans_first", "plans_of_cutoff"],
        "measured_plans": ["MANIFEST", "MEASURED", "TABLE"],
        "plan_outcomes": ["PlanOutcomes", "read_plan_outcomes"],
        "required_contacts": ["require_contacts", "require_uplift_contacts"],
        "uplift_dataset": ["UpliftDataset", "build_uplift_dataset"],
    },
)
