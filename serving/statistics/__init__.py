"""Statistics as pure functions: shares, drift, treatment effects, expected performance."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "expected_performance": ["expected_metrics", "realised_metrics"],
        "population_drift": ["Drift", "DriftSamples", "drifted_driver_share", "measure_drift"],
        "proportions": ["Estimate", "wilson_interval"],
        "treatment_effect": [
            "LEVEL",
            "TreatmentEffect",
            "difference_in_means",
            "pool_effects",
            "regression_adjusted_effect",
            "sample_ratio_p_value",
            "simultaneous_effects",
        ],
    },
)
