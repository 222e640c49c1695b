"""Estimators, one a module: classifiers, regressors, their ensemble, calibration and intervals."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base_models": ["OutOfTimeFold", "has_money"],
        "churn": ["ChurnClassifier"],
        "ensemble": ["fit_ensemble"],
        "lightgbm_base": ["FIXED", "LightGBMEstimator"],
        "linear_prior": ["churn_loss", "spend_loss"],
        "longer_horizons": ["value_over", "with_longer_horizons"],
        "spend": ["GainRegressor", "SpendRegressor", "positive_spend"],
    },
)
