"""How good predictions are: metrics with intervals, baselines, fairness, plots."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "baselines": ["EVERYBODY_ALIKE", "btyd_fitted_on"],
        "evaluate": [
            "CONFIDENCE",
            "Evaluation",
            "HIGHER_IS_BETTER",
            "NOT_COMPARED",
            "OURS",
            "RECENTRED",
            "bootstrap_weights",
            "calibration_groups",
            "concat_evaluations",
            "evaluate_coverage",
            "evaluate_predictions",
            "evaluation_segments",
            "percentile_interval",
            "weighted_metrics",
        ],
        "fairness": ["evaluate_fairness", "read_fairness_groups"],
        "grade": ["Grade", "evaluation_figures", "grade_evaluation", "grade_lines", "grade_text", "read_grade"],
        "leavers": ["EXPECTED", "evaluate_leavers", "leaver_lines"],
        "longer_horizons": ["evaluate_longer_horizons", "longer_horizon_figures"],
        "metrics": ["BEST", "Figures", "TITLES", "distance_from_best"],
        "plots": [
            "calibration_plot",
            "contributions_plot",
            "curve_plot",
            "cutoffs_plot",
            "decile_plot",
            "feature_contributions",
            "importance_plot",
            "lift_plot",
            "precision_recall_plot",
            "roc_plot",
        ],
        "return_times": ["curve_figures", "date_errors", "evaluate_return_times", "return_time_lines"],
        "skill": ["NO_BETTER", "Skill", "assess_skill"],
        "tenure_hazard": ["baselines_for"],
    },
)
