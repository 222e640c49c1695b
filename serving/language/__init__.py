"""What people read, in their language: messages, feature phrases, formats of numbers."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "feature_phrases": ["Driver", "config_features", "translate_drivers", "translate_features"],
        "formats": ["ChurnTerms", "NumberFormat", "churn_terms", "format_money", "format_share", "task_terms"],
        "messages": ["ENGLISH", "LOCALE", "Language", "N_", "PHRASES", "get_language"],
    },
)
