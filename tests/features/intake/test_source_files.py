"""The files that a config reads, and where a new file would be read too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.config.load import Config
from features.intake.source_files import files_of_sources, is_read_by


def test_the_files_of_every_section_are_listed(make_config: Callable[..., Config], tmp_path: Path) -> None:
    for name in ("data/a.csv", "data/b.csv", "people.parquet", "staff.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    plan = {"actions": {"mail": {"cost": 1}}, "exclude": [{"why": "staff", "ids": "staff.csv"}]}
    people = {"source": "people.parquet", "customer": "id"}
    config = make_config({"customers": people, "plan": plan}, source="data/*.csv")
    names = {path.relative_to(tmp_path.resolve()).as_posix() for path in files_of_sources(config)}
    assert names == {"data/a.csv", "data/b.csv", "people.parquet", "staff.csv"}
    assert files_of_sources(make_config(source="gone.parquet")) == frozenset()


def test_a_new_file_in_a_folder_or_glob_would_be_read(make_config: Callable[..., Config], tmp_path: Path) -> None:
    place = tmp_path.resolve() / "data"
    place.mkdir()
    assert is_read_by(make_config(source="data"), place / "built.parquet")
    assert is_read_by(make_config(source="data/*.parquet"), place / "built.parquet")
    assert not is_read_by(make_config(source="data/*.csv"), place / "built.parquet")
    assert not is_read_by(make_config(source="postgresql://me@host/db", table="t"), place / "built.parquet")
