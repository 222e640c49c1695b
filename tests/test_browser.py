"""The browser that pages are tested in."""

from __future__ import annotations

from pathlib import Path

from tests.browser import chromium, needs_chromium


@needs_chromium
def test_a_page_opens_without_a_word_on_the_console(tmp_path: Path) -> None:
    page_file = tmp_path / "page.html"
    page_file.write_text("<!doctype html><title>t</title><h1 id=h></h1><script>h.textContent = 6 * 7</script>")
    with chromium(tmp_path) as browser:
        page = browser.new_page()
        console: list[str] = []
        page.on("console", lambda message: console.append(message.text))
        page.goto(page_file.as_uri())
        assert page.inner_text("#h") == "42"
    assert console == []
