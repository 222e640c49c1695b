"""All targets by name."""

from __future__ import annotations

from tests.fuzz import command_lines, configs, dates, ids, intake, models, output_folders
from tests.fuzz.target import Target

MODULES = (configs, intake, dates, ids, command_lines, output_folders, models)
TARGETS: dict[str, Target] = {module.TARGET.name: module.TARGET for module in MODULES}
