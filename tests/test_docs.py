"""The documentation builds without a warning, calls nobody, is searchable from a disk, and its first hour runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from features.config.load import parse_config
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.money import TICKS
from regulars import cli
from serving.effects import uplift_scores
from serving.measurement import measure
from serving.planning import campaign_file
from serving.planning import table as plan_table
from serving.scoring import columns as score_columns
from serving.segmentation import affinity, history, product_lifecycle, transitions
from serving.segmentation import run as segmentation
from tests.browser import chromium, needs_chromium

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "use": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a link or an anchor that leads nowhere, or a page that is not in the contents, is an error."""
    return build(ROOT, tmp_path_factory.mktemp("docs") / "site")


def build(root: Path, target: Path) -> Path:
    """Builds the site of a checkout."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # --quiet would hide warnings from --strict, too
    return target


class _Loads(HTMLParser):
    """What a page loads by itself: scripts, styles, pictures; links to follow are not loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        key = "href" if tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate") else ""
        if address := given.get(LOADS.get(tag, key)):
            self.found.append(address)


def loaded(page: str) -> list[str]:
    """Addresses that a page loads from elsewhere.

    >>> loaded('<a href="https://a.example"><link rel="stylesheet" href="//b.example/x.css"><script src="c.js">')
    ['//b.example/x.css']
    """
    parser = _Loads()
    parser.feed(page)
    return [address for address in parser.found if re.match(r"(https?:)?//", address)]


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    assert {page.name: loaded(page.read_text(encoding="utf-8")) for page in pages} == {p.name: [] for p in pages}
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "questions.md").open("a", encoding="utf-8") as page:
        page.write("\n[nowhere](config.md#no-such-section)\n")
    with pytest.raises(AssertionError, match="no-such-section"):
        build(tmp_path, tmp_path / "site")


@needs_chromium
def test_it_is_searched_from_a_disk_in_both_languages_without_a_call(site: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        page = browser.new_page()
        calls: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: calls.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        for start, word, expected in (("index.html", "propensity", "/config.html"), ("zh/index.html", "流失", "/zh/")):
            page.goto((site / start).as_uri())
            page.locator("input[name=query]").wait_for(state="attached")
            page.keyboard.press("/")
            page.keyboard.insert_text(word)
            page.keyboard.press("Shift")  # the search listens to keys
            page.locator(".md-search-result__item a").first.wait_for(state="attached")
            found = page.locator(".md-search-result__item a")
            assert any(expected in (found.nth(k).get_attribute("href") or "") for k in range(found.count())), word
        assert [call for call in calls if not call.startswith(("file:", "data:", "blob:"))] == []
        assert problems == []


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The (language, text) of each fenced block of a page, in order."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def bare(line: str) -> str:
    """A line with its numbers, dates and spacing left out: those differ between versions of libraries."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d[\d,.-]*", "#", line)).strip()


def said(line: str, output: list[str]) -> bool:
    """Whether a shown line is one of the output, or the beginning of one where it ends with dots."""
    if line.endswith(" ..."):
        return any(bare(other).startswith(bare(line.removesuffix(" ..."))) for other in output)
    return line in ("", "...") or bare(line) in map(bare, output)


@pytest.mark.long
@pytest.mark.slow
def test_every_command_of_the_first_hour_runs_and_says_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    output: list[str] = []
    ran = 0
    for language, text in list(blocks(DOCS / "first_hour.md"))[1:]:  # the first one installs
        if language == "toml":
            with Path("regulars.toml").open("a", encoding="utf-8") as config:
                config.write(text)
        elif language == "text":
            assert [line for line in text.splitlines() if not said(line, output)] == []
        else:
            output = [line for command in text.splitlines() for line in run(command)]
            ran += text.count("regulars ")
    assert ran == 9
    assert Path("output/reports/cutoff=2024-04-24.html").exists()
    assert Path("output/plans/cutoff=2024-04-24/retention/plan.csv").exists()


def run(command: str) -> list[str]:
    """The lines that a command of a page prints; `regulars` runs in this process, which has read the libraries."""
    program, *words = shlex.split(command)
    if program == "regulars":
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        return done.output.splitlines()
    assert program == "python"
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_chinese_first_hour_has_the_same_commands_and_outputs() -> None:
    assert list(blocks(DOCS / "first_hour.zh.md")) == list(blocks(DOCS / "first_hour.md"))


def columns(page: str, heading: str) -> list[str]:
    """The names in the first column of the table below a heading, in order."""
    below = page.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None, heading
    cells = [line.split("|")[1] for line in table[0].splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "written"),
    [
        ("## Scores", score_columns.SCORE_SCHEMA.names),
        ("### `segments.parquet`", segmentation.SEGMENTS_SCHEMA.names),
        ("### `transitions.parquet`", transitions.TRANSITIONS_SCHEMA.names),
        ("### `kinds.parquet`", product_lifecycle.KINDS_SCHEMA.names),
        ("### `pairs.parquet`", affinity.PAIRS_SCHEMA.names),
        ("### `next_kind.parquet`", history.NEXT_KIND_SCHEMA.names),
        ("### `channels.parquet`", segmentation.CHANNELS_SCHEMA.names),
        ("## Effects", uplift_scores.UPLIFT_SCHEMA.names),
        ("### `plan.parquet`", plan_table.PLAN_SCHEMA.names),
        ("### `plan.csv`", list(campaign_file.CSV_COLUMNS)),
        ("### `measured.parquet`", measure.EFFECT_SCHEMA.names),
    ],
)
def test_the_columns_told_are_those_written(heading: str, written: list[str]) -> None:
    assert columns((DOCS / "outputs.md").read_text(encoding="utf-8"), heading) == written


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_configs_shown_are_toml_and_fences_are_closed(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text.count("```") % 2 == 0
    for language, block in blocks(DOCS / page):
        if language == "toml":
            tomllib.loads(block)


def test_every_command_is_told_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"regulars {name}" not in readme] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([\w./]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_queries_on_the_page_run(tmp_path: Path) -> None:
    """Three files joined, and JSON lines: the configs are read from the page."""
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "queries.md").read_text(encoding="utf-8"), re.DOTALL)
    joined, lines = (tomllib.loads(block) for block in blocks if "JOIN" in block)
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "jan.csv").write_text("order_no;article;units\n1;A-7;2\n2;12;1\n")
    (tmp_path / "lines" / "feb.csv").write_text("order_no,article,units\n3,12,4\n")
    (tmp_path / "orders.csv").write_text(
        "Orders\n\norder_no,customer_no,ordered_at\n1,C1,05.01.2024\n2,C2,20.01.2024\n3,C1,03.02.2024\n"
    )
    pq.write_table(pa.table({"sku": [12], "price": [2.5], "category": ["tea"]}), tmp_path / "prices.parquet")
    (tmp_path / "sessions.csv").write_text("session,customer_no\n9001,C1\n9002,C2\n")
    visit = (
        '{{"session": {}, "started_at": "2024-01-0{}T10:00:00+02:00", "minutes": {}, "device": {{"kind": "phone"}}}}\n'
    )
    (tmp_path / "visits.jsonl").write_text(visit.format(9001, 5, 1.5) + visit.format(9002, 6, 3))
    config = parse_config({"config_version": 1, "name": "shop", **joined, **lines}, tmp_path / "regulars.toml")
    with open_engine(config.engine, tmp_path) as engine:
        tables = read_tables(config, engine)
        orders = tables.events.select("customer_id", "amount", "kind_article").to_pyarrow().to_pylist()
        visits = tables.sides["activities.visits"].rows.select("customer_id", "time", "measure", "kind_device")
        assert sorted(tuple(row.values()) for row in orders) == [("C1", 10 * TICKS, "12"), ("C2", 5 * TICKS // 2, "12")]
        assert sorted(tuple(row.values()) for row in visits.to_pyarrow().to_pylist()) == [
            ("C1", datetime(2024, 1, 5, 8), 3 * TICKS // 2, "phone"),
            ("C2", datetime(2024, 1, 6, 8), 3 * TICKS, "phone"),
        ]
