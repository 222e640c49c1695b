"""The nightly chain, step by step, with its state."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"chain": ["next_command", "night_text", "run_night"]})
