"""The names that a file with your own features imports: `from features.own import Family, Feature, Measure, add_up`.

docs/own_features.md is the guide; `features.catalog.custom` reads such files.
"""

from __future__ import annotations

from features.catalog.custom import add_up
from features.catalog.families import Family
from features.feature import Feature, money, spread
from features.money import TICKS
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import Measure
from features.task import Task, Window

__all__ = ["KEYS", "TICKS", "Family", "Feature", "Measure", "Past", "Task", "Window", "add_up", "money", "spread"]
