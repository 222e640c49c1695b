"""Which plan of a cutoff is live, and which were superseded by a newer one: every reader asks here.

A new plan takes the place of the other plans of its cutoff: each gets a small file beside its manifest that names the
new one. With `[plan] independent = true` the plans of a cutoff stand side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from features.config.load import Config
from features.errors import DataError
from features.outputs.layout import PLAN_MANIFEST, cutoff_of, plan_name
from features.outputs.manifests import SupersededPlan, manifest_text, read_manifest
from features.storage.atomic_files import write_text_atomically

LOG = logging.getLogger(__name__)
SUPERSEDED = "superseded.json"
UNKNOWN = "?"  # the newer plan, if the mark cannot be read


@dataclass(frozen=True)
class PlanOnDisk:
    """A plan on disk and whether it is live.

    Attributes:
        folder: Its folder.
        superseded_by: The campaign of the plan that took its place; empty: it is live.
    """

    folder: Path
    superseded_by: str

    @property
    def campaign(self) -> str:
        """The name of its campaign."""
        return self.folder.name

    @property
    def name(self) -> str:
        """The plan as commands name it: CUTOFF/CAMPAIGN."""
        return plan_name(self.folder)

    @property
    def live(self) -> bool:
        """Whether no newer plan took its place."""
        return not self.superseded_by


def plans_of_cutoff(config: Config, cutoff: date) -> list[PlanOnDisk]:
    """Lists the plans of a cutoff: live ones first, and of these the one that represents the cutoff.

    Several are live only if campaigns are independent, or if earlier versions made them, which had no marks. Then the
    config's campaign comes first, then the one of the nightly run, then the others by name.
    """
    folders = config.outputs.plans(cutoff)
    marks = {folder: superseded_by(folder) for folder in folders}
    if folders and all(marks.values()):  # the marks name each other, as after a death between two writes
        marks = dict.fromkeys(folders, "")
    own = config.plan.campaign if config.plan else ""
    order = [own, nightly_campaign(own, cutoff)]

    def rank(folder: Path) -> tuple[bool, int, str]:
        place = order.index(folder.name) if folder.name in order else len(order)
        return bool(marks[folder]), place, folder.name

    return [PlanOnDisk(folder, marks[folder]) for folder in sorted(folders, key=rank)]


def live_plan(config: Config, cutoff: date) -> PlanOnDisk | None:
    """Returns the live plan of a cutoff; None if there is no plan."""
    return next(iter(plans_of_cutoff(config, cutoff)), None)


def newest_plans_first(config: Config) -> list[PlanOnDisk]:
    """Lists all plans, the newest cutoff first, and within a cutoff as `plans_of_cutoff` does."""
    cutoffs = {day for folder in config.outputs.plans() if (day := cutoff_of(folder.parent))}
    return [plan for cutoff in sorted(cutoffs, reverse=True) for plan in plans_of_cutoff(config, cutoff)]


def nightly_campaign(campaign: str, cutoff: date) -> str:
    """The campaign of the plan that the nightly run makes."""
    return f"{campaign}-{cutoff}"


def alert_campaign(campaign: str, cutoff: date) -> str:
    """The campaign of the plan that an alert started in a nightly run."""
    return f"{campaign}-alert-{cutoff}"


def superseded_by(folder: Path) -> str:
    """Returns the campaign of the plan that took a plan's place; empty if none did, or if it was removed since."""
    path = folder / SUPERSEDED
    try:
        by = read_manifest(path, SupersededPlan).by
    except FileNotFoundError:
        return ""
    except (DataError, OSError) as problem:
        LOG.warning("%s", problem)
        return UNKNOWN
    return by if by != folder.name and (folder.parent / by / PLAN_MANIFEST).is_file() else ""


def plans_superseded_by(folder: Path) -> list[str]:
    """Lists the campaigns of the same cutoff whose place a plan took."""
    return sorted(other.name for other in _others(folder) if superseded_by(other) == folder.name)


def mark_superseded(config: Config, cutoff: date, campaign: str) -> None:
    """Marks all other plans of a cutoff as superseded by the plan of a campaign.

    Args:
        config: The business.
        cutoff: The cutoff.
        campaign: The campaign of the new plan.

    Raises:
        UsageError: A mark cannot be written.
    """
    mark = {"format": SupersededPlan.FORMAT, "name": config.name, "cutoff": str(cutoff), "by": campaign}
    for folder in config.outputs.plans(cutoff):
        if folder.name != campaign and superseded_by(folder) != campaign:
            write_text_atomically(folder / SUPERSEDED, manifest_text({**mark, "campaign": folder.name}))


def _others(folder: Path) -> Iterator[Path]:
    """The folders of the other plans of the same cutoff."""
    for path in folder.parent.glob(f"*/{PLAN_MANIFEST}"):
        if path.parent != folder and not path.parent.name.startswith("."):
            yield path.parent
