"""Forgetting a customer: finding every mention and removing it."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__, {"forget": ["forget_customer"], "text": ["forget_text", "require_complete"]}
)
