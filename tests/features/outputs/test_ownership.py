"""The output folder is new, empty or ours; any other is refused before something is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import UsageError
from features.outputs.ownership import ALLOWED, require_output_folder


@pytest.mark.parametrize(
    "names",
    [
        (),
        (".DS_Store",),
        ("audit.json", "log.parquet"),
        ("scores/cutoff=2024-06-01/_manifest.json",),
        (".audit.json.regulars-a1b2c3d4/audit.json",),
        ("snapshots/.2024-06-01_a_b.parquet.regulars-a1b2c3d4/half",),
        ("holiday.jpg", ALLOWED),
    ],
)
def test_it_may_be_written(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    require_output_folder(tmp_path)
    require_output_folder(tmp_path / "new")
    (tmp_path.parent / f"{tmp_path.name}-linked").symlink_to(tmp_path)
    require_output_folder(tmp_path.parent / f"{tmp_path.name}-linked")


def test_folders_that_a_killed_first_run_left_empty_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "scores" / "parts").mkdir(parents=True)
    require_output_folder(tmp_path)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    for name in ("holiday.jpg", "scores/choir.pdf", "reports/2024.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="holds files that Regulars did not write .*'holiday.jpg'.*new or empty"):
        require_output_folder(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for place, words in ((tmp_path / "file", "no folder"), (tmp_path / "link", "a link to nothing")):
        with pytest.raises(UsageError, match=words):
            require_output_folder(place)
    with pytest.raises(UsageError, match="no folder"):
        require_output_folder(Path("/dev/null"))
