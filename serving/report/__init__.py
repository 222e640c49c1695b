"""The self-contained HTML report for analysts."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"page": ["write_report"]})
