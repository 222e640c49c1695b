"""The reference page of the config agrees with the models, also for new sections."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field

from features.config.load import Config
from features.config.reference import TOP_LEVEL, find_sections, render_page
from features.config.sections import Section

PAGE = Path(__file__).resolve().parents[3] / "docs" / "config.md"


def test_the_page_is_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_page(), "run `python -m features.config.reference docs/config.md`"


def test_every_key_of_the_file_is_on_it() -> None:
    page = render_page()
    for section in find_sections():
        assert section.name in page or section.name == TOP_LEVEL
        for key in section.schema["properties"]:
            assert key == "folder" or f"| `{key}` |" in page or f".{key}" in page or f"[{key}" in page, key


def test_every_key_says_what_it_means() -> None:
    rows = [line for line in render_page().splitlines() if line.startswith("| `")]
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


def test_a_new_section_comes_in_by_itself() -> None:
    class Alerts(Section):
        """[sky.alerts]: who is told."""

        to: tuple[str, ...] = Field((), description="addresses, such as 'a@b.example'")

    class Sky(Section):
        """[sky]: what is looked at."""

        blue: float = Field(0.2, gt=0, lt=1, description="share of 'blue' | or not")
        alerts: Alerts = Alerts()

    class Larger(Config):
        """A config with a section more."""

        sky: Sky | None = None

    page = render_page(Larger)
    assert "## `[sky]`\n\nWhat is looked at." in page
    assert '| `blue` | number | `0.2` | above 0, below 1 | share of `"blue"` \\| or not |' in page
    assert "## `[sky.alerts]`\n\nWho is told." in page
    assert '| `to` | list of text |  |  | addresses, such as `"a@b.example"` |' in page
