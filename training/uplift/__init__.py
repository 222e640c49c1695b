"""The effects of actions: learned from randomised contacts, evaluated, registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from training.uplift.train import train_uplift

__getattr__, __all__ = lazy_exports(__name__, {"train": ["train_uplift"]})
