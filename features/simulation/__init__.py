"""A simulated business together with the truth about it."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"simulate": ["simulate_business"]})
