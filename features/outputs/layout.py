"""Where each result lies under the output folder: one folder a cutoff, named `cutoff=YYYY-MM-DD`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from features.errors import UsageError

PREFIX = "cutoff="
SCORE_MANIFEST, UPLIFT_MANIFEST = "_manifest.json", "_manifest.json"  # with an underscore, so that Spark skips it
PLAN_MANIFEST, PLAN_TABLE = "manifest.json", "plan.parquet"
SEGMENTS = "segments.parquet"
MEASUREMENT, MONITORING = "measured.json", "monitor.json"


def cutoff_name(cutoff: date) -> str:
    """The name of a cutoff's folder.

    >>> cutoff_name(date(2024, 6, 1))
    'cutoff=2024-06-01'
    """
    return f"{PREFIX}{cutoff}"


def cutoff_of(path: Path) -> date | None:
    """The cutoff in the name of a folder or file; None if the name holds none.

    >>> cutoff_of(Path("scores/cutoff=2024-06-01")), cutoff_of(Path("notes"))
    (datetime.date(2024, 6, 1), None)
    """
    try:
        return date.fromisoformat(path.name.removeprefix(PREFIX)[:10]) if path.name.startswith(PREFIX) else None
    except ValueError:
        return None


def plan_name(folder: Path) -> str:
    """A plan by cutoff and campaign, from its folder.

    >>> plan_name(Path("plans/cutoff=2024-06-01/spring"))
    '2024-06-01/spring'
    """
    return f"{folder.parent.name.removeprefix(PREFIX)}/{folder.name}"


@dataclass(frozen=True)
class OutputFolder:
    """The places in one business's output folder; nothing need exist.

    Attributes:
        root: `[serving] output`.
    """

    root: Path

    def scores(self, cutoff: date) -> Path:
        """The folder of a cutoff's score tables."""
        return self.root / "scores" / cutoff_name(cutoff)

    def scoring(self) -> Path:
        """The folder in which runs of `regulars score` work."""
        return self.root / ".scoring"

    def contributions(self, kind: str, cutoff: date) -> Path:
        """The folder of the contributions to one number: `kind` is 'churn', 'value' or 'value_180d'."""
        return self.root / "contributions" / kind / cutoff_name(cutoff)

    def all_contributions(self, cutoff: date) -> list[Path]:
        """The folders of a cutoff's contributions that exist, by kind."""
        return sorted((self.root / "contributions").glob(f"*/{cutoff_name(cutoff)}"))

    def csv(self, cutoff: date) -> Path:
        """The folder of a cutoff's scores as CSV."""
        return self.root / "csv" / cutoff_name(cutoff)

    def winback(self, cutoff: date) -> Path:
        """The folder of a cutoff's lapsed customers."""
        return self.root / "winback" / cutoff_name(cutoff)

    def segments(self, cutoff: date) -> Path:
        """The folder of a cutoff's segments."""
        return self.root / "segments" / cutoff_name(cutoff)

    def uplift(self, cutoff: date) -> Path:
        """The folder of the estimated effects of actions at a cutoff."""
        return self.root / "uplift" / cutoff_name(cutoff)

    def campaigns(self, cutoff: date) -> Path:
        """The folder that holds a cutoff's plans, one folder a campaign."""
        return self.root / "plans" / cutoff_name(cutoff)

    def plan(self, cutoff: date, campaign: str) -> Path:
        """The folder of one plan."""
        return self.campaigns(cutoff) / campaign

    def monitoring(self, cutoff: date) -> Path:
        """The folder of what `regulars monitor` wrote of a cutoff."""
        return self.root / "monitor" / cutoff_name(cutoff)

    def report(self, cutoff: date) -> Path:
        """The report of a cutoff."""
        return self.root / "reports" / f"{cutoff_name(cutoff)}.html"

    def runs(self) -> Path:
        """The folder of summaries of `regulars run`."""
        return self.root / "runs"

    def scored_cutoffs(self) -> list[date]:
        """The cutoffs that were scored completely, ascending."""
        return _cutoffs((self.root / "scores").glob(f"{PREFIX}*/{SCORE_MANIFEST}"))

    def require_scored(self, cutoff: date | None = None) -> date:
        """A scored cutoff: the given one, or the newest.

        Raises:
            UsageError: The cutoff, or none at all, was scored.
        """
        scored = self.scored_cutoffs()
        wanted = [day for day in scored if cutoff in (None, day)]
        if not wanted:
            under = f"under {self.root} (scored: {', '.join(map(str, scored)) or 'none'})"
            missing = f"cutoff {cutoff} is not scored {under}" if cutoff else f"no scores found {under}"
            raise UsageError(f"{missing}; run `regulars score --cutoff D`")
        return wanted[-1]

    def segmented_cutoffs(self) -> list[date]:
        """The cutoffs whose customers were segmented, ascending."""
        return _cutoffs((self.root / "segments").glob(f"{PREFIX}*/{SEGMENTS}"))

    def monitored_cutoffs(self) -> list[date]:
        """The cutoffs that were monitored, ascending."""
        return _cutoffs((self.root / "monitor").glob(f"{PREFIX}*/{MONITORING}"))

    def scored_folders(self) -> list[Path]:
        """The folders of cutoffs that were scored, or are being scored, by cutoff; a manifest may be missing."""
        return sorted(folder for folder in (self.root / "scores").glob(f"{PREFIX}*") if cutoff_of(folder))

    def uplift_cutoffs(self) -> list[date]:
        """The cutoffs at which effects of actions were estimated, ascending."""
        return _cutoffs((self.root / "uplift").glob(f"{PREFIX}*/{UPLIFT_MANIFEST}"))

    def unfinished_cutoffs(self) -> list[date]:
        """The cutoffs whose scoring was not finished, ascending."""
        folders = [*self.scored_folders(), *self.scoring().glob(f"{PREFIX}*")]
        open_folders = (f for f in folders if f.is_dir() and not (f / SCORE_MANIFEST).exists())
        return sorted({cutoff for folder in open_folders if (cutoff := cutoff_of(folder))})

    def plans(self, cutoff: date | None = None, file: str = PLAN_MANIFEST) -> list[Path]:
        """The folders of plans that hold a file, by cutoff and campaign.

        Args:
            cutoff: Of this cutoff only.
            file: MEASUREMENT finds the plans that were measured.
        """
        name = f"{PREFIX}*" if cutoff is None else cutoff_name(cutoff)
        folders = (path.parent for path in (self.root / "plans").glob(f"{name}/*/{file}"))
        named = (folder for folder in folders if not folder.name.startswith("."))  # others are being written
        return sorted(folder for folder in named if cutoff_of(folder.parent))


def _cutoffs(files: Iterable[Path]) -> list[date]:
    """The cutoffs of the folders that hold these files, ascending; folders with other names are skipped."""
    return sorted(cutoff for file in files if (cutoff := cutoff_of(file.parent)))
