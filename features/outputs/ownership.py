"""Which folder may be written as the output folder: a new one, an empty one, or one that Regulars wrote.

Later commands replace and remove files in it, so it must not be a folder of somebody else.
"""

from __future__ import annotations

import os
from pathlib import Path

from features.errors import UsageError, sample

ALLOWED = ".regulars-output"  # a file by which a user says that a folder with other content is the output folder
OWN_PLACES = (  # patterns of what only Regulars writes there
    "*/cutoff=*",
    "contributions/*/cutoff=*",
    "audit.json",
    "leaks.json",
    "model_card.md",
    "winback_card.md",
    "activation.csv",
    "ids.json",
    "forgotten.json",
    "forgotten-*.json",
    "monitor/alerts.jsonl",
    "monitor/state.json",
    "monitor/.lock",
    "app/downloads.jsonl",
    "runs/*.json",
    "runs/.lock",
    "snapshots/*_*_*.parquet",
    "tuning/*.journal",
    "unlogged/*/facts.json",
    "uplift/learned",
    "backtest/*",
    ".scoring",
    ".forgetting*",
    ".*.regulars-*",
    "*/.*.regulars-*",
    "*/*/.*.regulars-*",
)
IGNORED = {".DS_Store", ".gitignore", ".gitkeep", "lost+found", "Thumbs.db", "desktop.ini"}


def require_output_folder(root: Path) -> None:
    """Refuse an output folder that is no folder, or holds only what others wrote.

    Args:
        root: `[serving] output`; it may be missing, empty, or hold empty folders only.

    Raises:
        UsageError: It is somebody else's, or no folder.
    """
    if not os.path.lexists(root):
        return
    if not root.is_dir():
        what = "a link to nothing" if root.is_symlink() else "no folder"
        raise UsageError(f"[serving] output: {root} is {what}; set another, new folder")
    try:
        names = sorted({entry.name for entry in os.scandir(root)} - IGNORED)
    except OSError as problem:
        raise UsageError(f"[serving] output: {root} cannot be read: {problem.strerror}; set another folder") from None
    if ALLOWED in names or any(next(root.glob(pattern), None) for pattern in OWN_PLACES):
        return
    if not any(_holds_files(root / name) for name in names):  # such as the folders of a first run that was killed
        return
    raise UsageError(
        f"[serving] output: {root} holds files that Regulars did not write ({sample(names, 3)}), and results are "
        f"replaced and removed there; set a new or empty folder (or, to use this one all the same, make an empty file "
        f"{ALLOWED} in it)"
    )


def _holds_files(path: Path) -> bool:
    """Whether a path is anything but a folder of empty folders."""
    return path.is_symlink() or not path.is_dir() or any(not inner.is_dir() for inner in path.rglob("*"))
