"""Data quality, drift, performance and alerts for a scored cutoff."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__, {"alerts": ["Finding"], "monitor": ["monitor_scores"], "text": ["monitoring_text", "monitoring_verdict"]}
)
