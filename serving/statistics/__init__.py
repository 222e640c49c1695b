"""Statistics as pure functions: shares, drift, treatment effects, expected performance."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "expected_performance": ["expected_metrics", "realised_metrics"],
        "population_drift": ["Drift", "DriftSamples", "drifted_driver_share", "measure_drift"],
        "partial_pooling": ["pool_partially"],
        "pooled_rates": ["pool_shares"],
        "proportions": ["Estimate", "wilson_interval"],
        "randomisation": ["DRAWS", "pearson_quantile", "pearson_tail", "remove_covariates"],
        "treatment_effect": [
            "LEVEL",
            "TreatmentEffect",
            "count_up_to_cap",
            "difference_in_means",
            "regression_adjusted_effect",
            "sample_ratio_p_value",
            "simultaneous_effects",
            "smallest_detectable",
            "treatment_effects",
        ],
    },
)
