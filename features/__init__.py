"""Reads the log of a business, checks it, and computes features and labels at cutoffs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from features.audit.audit import check_log
    from features.catalog.families import Family
    from features.config.load import Config, load_config
    from features.feature import Feature
    from features.intake.log import Log, open_log
    from features.point_in_time.measures import Measure
    from features.snapshots.build import Snapshots, build_snapshots
    from features.task import Task, Window

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "audit.audit": ["check_log"],
        "catalog.families": ["Family"],
        "config.load": ["Config", "load_config"],
        "feature": ["Feature"],
        "intake.log": ["Log", "open_log"],
        "point_in_time.measures": ["Measure"],
        "snapshots.build": ["Snapshots", "build_snapshots"],
        "task": ["Task", "Window"],
    },
)
