"""The machine's own Chromium, driven by Playwright; a test of a page skips, and says so, where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt install chromium)")
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
QUIET += ["--disable-component-update", "--no-sandbox"]  # as root there is no sandbox; it opens our own pages only


@contextmanager
def chromium(folder: Path, **settings: object) -> Iterator[BrowserContext]:
    """A fresh browser with an empty profile; downloads go to `folder`. Settings are those of a browser context."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET, downloads_path=str(folder))
        try:
            yield started.new_context(**settings)  # type: ignore[arg-type]
        finally:
            started.close()
