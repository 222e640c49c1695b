"""The data audit: what `regulars check` reports."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "audit": ["Audit", "audit_text", "check_log", "mature_cutoffs", "require_no_breach", "with_too_long_windows"],
        "behaviour_profile": ["BehaviourProfile", "PeriodRates", "away_rates", "profile_behaviour", "ratio_rates"],
        "delivery": [
            "DeliveryRecord",
            "delivery_faults",
            "delivery_record",
            "longest_silence",
            "parse_delivery_record",
        ],
        "exclusion_lists": ["ListMatch", "match_list", "read_excluded"],
        "id_notes": ["id_facts", "odd_ids", "order_number_notes"],
        "second_orders": ["EVERYBODY", "SecondOrders", "count_second_orders"],
        "log_profile": ["LogProfile", "WEEK", "WeeklyCounts", "profile_log"],
    },
)
