"""Who gets which action within a budget, and who is held out."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "cutoff_holdout": ["draw_of"],
        "inputs": ["MONEY"],
        "money": ["money_left"],
        "plan": ["Plan", "make_plan", "read_plan"],
        "promise": ["evidence_sentences", "gain_sentences", "pilot_sentence"],
        "rules": [
            "find_plan_manifest",
            "plan_reference",
            "plan_rules",
            "refuse_measured",
            "require_detectable",
            "experiment_campaign",
        ],
        "text": ["plan_text"],
    },
)
