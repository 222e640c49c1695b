"""Every feature, one module a family, each with the phrase that explains it."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "btyd_model": ["BGNBD", "expected_orders_if_alive", "fit_bgnbd", "fit_gamma_gamma"],
        "contacts": ["RESPONSE_WINDOW"],
        "custom": [
            "CustomFeatures",
            "NO_CUSTOM_FEATURES",
            "add_up",
            "read_custom_features",
            "refuse_taken_measures",
            "refuse_unusable_features",
        ],
        "customer_attributes": ["attribute_features", "attribute_measures"],
        "families": ["Family", "catalog_features", "feature_families"],
        "lifecycle": ["ACTIVE_UP_TO", "SLIPPING_UP_TO"],
        "subscriptions": ["subscription_measures"],
    },
)
