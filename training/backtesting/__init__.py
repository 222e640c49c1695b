"""The whole procedure repeated at past cutoffs, and learning curves."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "backtest": ["backtest_models", "backtest_text"],
        "learning_curve": ["learning_curve_text", "measure_learning_curve"],
    },
)
