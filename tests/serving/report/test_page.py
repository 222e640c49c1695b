"""The report as a page: self-contained, repeatable, in every language, and usable offline."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

from features.config.load import Config
from serving.report import page as report
from serving.scoring.score_tables import MANIFEST
from tests.browser import chromium, needs_chromium
from tests.report_samples import AUDIT, CUTOFF, MEASURED, Tags, read, write_plan, write_segments


def test_the_page_needs_nothing_from_elsewhere(scored: Callable[..., Config]) -> None:
    text = read(scored())
    for tag, attributes in Tags(text).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "image", "img")
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            to = attributes.get(name) or "#"
            assert to.startswith("#") or re.fullmatch(r"(\.\./)?[\w/=%-]+\.csv", to), (tag, attributes)
    assert "http://" not in text and "https://" not in text
    assert not re.search(r"url\((?!#)|@import", text)
    assert len(text.encode()) < 5_000_000


def test_only_our_own_script_may_run(scored: Callable[..., Config]) -> None:
    policy = next(a for a in Tags(read(scored())).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; base-uri 'none'; "
        r"form-action 'none'",
        policy["content"] or "",
    )


def test_every_chart_says_in_words_what_it_shows(scored: Callable[..., Config]) -> None:
    drawn = Tags(read(scored())).named("svg")
    assert len(drawn) == 10
    assert all(a["role"] == "group" and len(a["aria-label"] or "") > 40 for a in drawn)


def test_the_same_scores_make_the_same_bytes(scored: Callable[..., Config]) -> None:
    config = scored()
    first = report.write_report(config).read_bytes()
    assert first == report.write_report(config).read_bytes()


def test_the_templates_lie_beside_the_module() -> None:
    assert {"report.html.j2", "report.css", "report.js"} <= {path.name for path in Path(report.TEMPLATES).iterdir()}


def test_the_page_speaks_every_language(scored: Callable[..., Config]) -> None:
    config = scored()
    write_plan(config, measured=MEASURED)
    write_segments(config, ["new", "mature"])
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    for code in ("en", "zh"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            page = Tags(read(config.model_copy(update={"language": code})))
        assert page.named("html") == [{"lang": code}]
        ours = {"en": "Glossary", "zh": "术语表"}
        assert [text in page.text for text in ours.values()] == [known == code for known in ours]


def test_a_business_in_chinese_is_drawn_without_a_warning(scored: Callable[..., Config]) -> None:
    config = scored()
    path = config.output / "scores" / f"cutoff={CUTOFF}" / MANIFEST
    scores_manifest = json.loads(path.read_text())
    scores_manifest["drivers"]["churn"][0] |= {"phrase": "会员等级", "highest": "黄金会员 🏅", "lowest": "普通会员"}
    path.write_text(json.dumps(scores_manifest), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = read(config)
    assert text.count("会员等级") == 3, "in the drawing, its tooltip and its alternative text"
    assert "黄金会员 🏅" in text


SMALLEST_TEXT = """Math.min(...Array.from(document.querySelectorAll(".chart text"), text => {
  const box = text.ownerSVGElement;
  return parseFloat(getComputedStyle(text).fontSize) * box.clientWidth / box.viewBox.baseVal.width;
}))"""  # in pixels of the screen


@needs_chromium
def test_the_list_sorts_and_searches_offline_and_by_keyboard(scored: Callable[..., Config], tmp_path: Path) -> None:
    config = scored()
    write_plan(config, measured=MEASURED)
    write_segments(config, ["new", "mature"])
    path, problems, asked = report.write_report(config), [], []
    with chromium(tmp_path) as browser:
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        ids, head = page.locator("#customers tbody td.id"), page.locator("#customers th", has_text="Customer")
        first = ids.first.inner_text()
        head.locator("[role=button]").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending" and ids.first.inner_text() != first
        page.keyboard.press(" ")
        assert head.get_attribute("aria-sort") == "descending"
        page.fill("#search", "Ünïcode")
        assert page.locator("#customers tbody tr:visible").count() == 1
        assert page.inner_text("#found") == "1 of 50 shown"
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        page.locator("#trust .chart .mark").first.focus()
        page.keyboard.press("End")
        assert page.inner_text(".chart-tip").startswith("risk group 10: left ")
        page.set_viewport_size({"width": 390, "height": 800})
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert page.evaluate(SMALLEST_TEXT) >= 11
    assert not problems and asked == [path.as_uri()] and wide <= 0
