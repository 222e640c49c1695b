"""Files and folders appear complete or not at all, and nothing temporary stays behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from features.errors import UsageError
from features.storage import atomic_files
from features.storage.atomic_files import (
    atomic_file,
    atomic_folder,
    replace_folder,
    write_new_text,
    write_text_atomically,
)


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "scores.txt"
    write_text_atomically(target, "old")
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old" and temporary.parent.parent == target.parent
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "scores.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_the_name_may_follow_from_the_content(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x", name=lambda file: f"{file.stat().st_size}.bin") as temporary:
        temporary.write_bytes(b"abc")
    assert [path.name for path in tmp_path.iterdir()] == ["3.bin"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    if not can_exchange:
        monkeypatch.setattr(atomic_files, "_exchange", lambda one, other: False)
    target = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_folder(target) as temporary:
            (temporary / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["second"]
    assert not (target / "first").exists()
    new = tmp_path / "new"
    new.mkdir()
    replace_folder(new, target)
    assert list(target.iterdir()) == [] and not new.exists()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written: .*; give another path or free some space"):
        write_text_atomically(tmp_path / "file" / "below.txt", "x")


def test_a_new_file_is_never_written_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "in" / "new.toml"
    write_new_text(target, "first")
    with pytest.raises(FileExistsError):
        write_new_text(target, "second")
    (tmp_path / "link.toml").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        write_new_text(tmp_path / "link.toml", "third")
    assert target.read_text() == "first" and sorted(path.name for path in tmp_path.iterdir()) == ["in", "link.toml"]
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(95, "not supported")))
    write_new_text(target.with_name("other.toml"), "on a file system without links")
    assert sorted(path.name for path in target.parent.iterdir()) == ["new.toml", "other.toml"]


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "built.parquet"
    other = tmp_path / ".other.regulars-a1b2c3d4"
    other.mkdir()
    pid = os.fork()
    if pid == 0:
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not target.exists() and len(list(tmp_path.iterdir())) == 2
    with atomic_file(target) as temporary, atomic_file(target) as second:
        temporary.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first" and sorted(tmp_path.iterdir()) == [other, target]


def test_a_link_a_device_and_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "folder", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(UsageError, match="expected a file or nothing yet, found a (folder|link|device)"):
            write_text_atomically(target, "x")
    for target in (tmp_path / "file", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(UsageError, match="expected a folder or nothing yet, found a (file|link|device)"):
            with atomic_folder(target):
                raise AssertionError
    assert Path("/dev/null").is_char_device()
