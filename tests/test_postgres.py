"""The tests' own PostgreSQL: it starts from wherever the wheel lies, asks for its password, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from adbc_driver_manager import OperationalError
from adbc_driver_postgresql import dbapi

from tests.postgres import Postgres, find_programs, serve


def test_it_asks_for_the_password(postgres: Postgres) -> None:
    with pytest.raises(OperationalError, match="password authentication failed"):
        dbapi.connect(f"{postgres.url}?password=wrong")
    assert postgres.rows("SELECT 1 AS one", database=postgres.new()) == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
def test_it_starts_from_a_folder_closed_to_others() -> None:
    programs = find_programs()
    if programs is None or "site-packages" not in programs.parts:
        pytest.skip("the wheel of the `test` extra is not installed")
    package = programs.parent.parent
    with tempfile.TemporaryDirectory(prefix="regulars-closed-") as name:  # mode 0700
        shutil.copytree(programs.parent, Path(name) / package.name / programs.parent.name, symlinks=True)
        shutil.copytree(package.with_name(f"{package.name}.libs"), Path(name) / f"{package.name}.libs")
        with serve(Path(name) / package.name / programs.parent.name / "bin") as server:
            assert server.rows("SELECT 1 AS one") == [(1,)]
    with pytest.raises(OperationalError, match="Connection refused"):
        dbapi.connect(server.url)
