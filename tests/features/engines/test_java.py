"""Finding a Java of version 17 or later, and the error if there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from features.engines import java
from features.errors import UsageError


def fake_java(folder: Path, version: str) -> Path:
    """A `java` that tells a version, or else its arguments."""
    script = folder / "bin" / "java"
    script.parent.mkdir(parents=True)
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "{version}"\' >&2 && exit\nprintf "%s|" "$@"\n'
    )
    script.chmod(0o700)
    return script


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `home` is JAVA_HOME and whose `path/bin` is the PATH beside the shell's."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    (tmp_path / "path" / "bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path' / 'bin'}")
    monkeypatch.setattr(java, "_packaged", lambda: [])
    return tmp_path


def on_path(places: Path, version: str) -> Path:
    java = fake_java(places / "other", version)
    return java.rename(places / "path" / "bin" / "java")


def test_java_home_goes_before_the_path(places: Path) -> None:
    first, second = fake_java(places / "home", "21.0.1"), on_path(places, "17.0.2")
    assert java.find_java() == first
    first.unlink()
    assert java.find_java() == second


def test_a_java_that_is_too_old_is_skipped(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(places / "home", "1.8.0_391")
    packaged = fake_java(places / "packaged", "25.0.2")
    monkeypatch.setattr(java, "_packaged", lambda: [packaged])
    assert java.find_java() == packaged


def test_without_a_java_the_error_says_what_was_found_and_what_to_install(places: Path) -> None:
    with pytest.raises(UsageError, match="found .*home.*unknown.*install one .*openjdk-17.*regulars"):
        java.find_java()
    old = on_path(places, "11.0.20")
    with pytest.raises(UsageError, match=rf"{old} \(version 11\)"):
        java.find_java()


def test_spark_starts_java_without_the_missing_module(places: Path, tmp_path: Path) -> None:
    fake_java(places / "home", "17.0.2")
    with java.temporary_java_home(tmp_path / "scratch"):
        script = Path(os.environ["JAVA_HOME"]) / "bin" / "java"
        output = subprocess.run(
            ["/bin/sh", str(script), "-cp", "a b", "--add-modules=jdk.incubator.vector", "Main", ""],
            capture_output=True,
            text=True,
            check=True,
        )
    assert output.stdout == "-cp|a b|Main||"
    assert os.environ["JAVA_HOME"] == str(places / "home")
