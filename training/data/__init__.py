"""What models are fitted on: splits in time, category levels, predictions."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "category_levels": ["FEWEST_CUSTOMERS", "encode_sample", "learn_levels", "text_columns"],
        "heavy_values": ["heavy_value_note", "value_limits"],
        "prediction": ["OutOfTimePredictions", "Prediction", "PredictionInterval"],
        "time_split": [
            "Fold",
            "MIN_PER_OUTCOME",
            "NEAR",
            "ReturnTimes",
            "Sample",
            "TimeSplit",
            "YEAR",
            "customer_halves",
            "fold_at",
            "out_of_time_folds",
            "outcomes_at",
            "recency_weights",
            "sample_at",
            "time_splits",
            "training_sample",
            "why_too_few",
        ],
    },
)
