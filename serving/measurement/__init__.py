"""What an executed plan changed, with confidence intervals."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "effect_estimates": ["ADJUSTED", "ALL", "EACH_ACTION", "interval_columns"],
        "executed_plan": ["RETURN", "VALUE"],
        "later_wording": ["later_sentences"],
        "measure": ["measure_plan", "refuse_sample_ratio_mismatch"],
        "refusals": ["refusal_sentences"],
        "text": ["measurement_text"],
    },
)
