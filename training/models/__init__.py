"""Estimators, one a module: classifiers, regressors, their ensemble, calibration and intervals."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base_models": ["FittedBefore", "OutOfTimeFold", "fit_at_all_cutoffs", "has_money"],
        "calibration": ["LaterCutoffs"],
        "churn": ["ChurnClassifier"],
        "ensemble": ["FittedEnsemble", "fit_ensemble", "sets_to_fit"],
        "everybody_alike": ["AlikeModels", "fit_everybody_alike"],
        "level_forecast": ["churn_levels", "forecast_level", "money_levels", "unknown_level"],
        "lifetime": ["build_training_rows", "with_lifetime"],
        "lightgbm_base": ["FIXED", "LightGBMEstimator", "bin_features"],
        "linear_prior": ["churn_loss", "spend_loss"],
        "longer_horizons": ["value_over", "with_longer_horizons"],
        "return_hazard": ["fit_return_hazard", "period_bounds", "person_periods"],
        "spend": ["GainRegressor", "SpendRegressor", "positive_spend"],
    },
)
