"""The read-only web page over an output folder."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"app": ["serve"]})
