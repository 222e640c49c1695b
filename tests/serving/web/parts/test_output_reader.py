"""The page over folders that are empty, half-written, broken or of an older version: it says so, with a command."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, load_config
from serving.web.parts.output_reader import AnswerCache, open_site, read_scored_cutoff, scored_cutoffs
from tests.scored import CUTOFF
from tests.webpages import EARLIER, TOML, app_of, fetch

PAGES = (
    "/",
    "/segments",
    "/customers",
    "/customers.csv",
    "/customer?id=c010",
    "/plan",
    "/experiments",
    "/monitoring",
    "/models",
)


@pytest.fixture
def copy(webpages: Config, tmp_path: Path) -> Config:
    """The business in a folder that a test may break."""
    shutil.copytree(webpages.folder, tmp_path / "copy")
    return load_config(tmp_path / "copy" / "regulars.toml")


def place(config: Config) -> Path:
    return config.output / "scores" / f"cutoff={CUTOFF}"


@pytest.mark.parametrize("address", PAGES)
def test_an_empty_folder_names_the_command_that_fills_it(tmp_path: Path, address: str) -> None:
    (tmp_path / "regulars.toml").write_text(TOML.format(language="en"), encoding="utf-8")
    answer = fetch(app_of(load_config(tmp_path / "regulars.toml")), address)
    assert answer.status == 404
    assert "<code>regulars " in answer.text


def test_a_cutoff_that_a_run_has_not_ended_is_told_and_the_one_before_shown(copy: Config) -> None:
    (place(copy) / "_manifest.json").unlink()
    app = app_of(copy)
    assert f"Overview at {EARLIER}" in fetch(app, "/").text
    assert f"Scoring has not ended for: {CUTOFF}" in fetch(app, "/").text
    answer = fetch(app, f"/?cutoff={CUTOFF}")
    assert answer.status == 404 and f"regulars score --cutoff {CUTOFF}" in answer.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"parts": 3}', "null"])
def test_a_manifest_that_is_not_whole(copy: Config, text: str) -> None:
    (place(copy) / "_manifest.json").write_text(text)
    for address in PAGES[:5]:
        answer = fetch(app_of(copy), address)
        assert answer.status == 503 and f"regulars score --cutoff {CUTOFF}" in answer.text, address


def test_a_part_that_is_gone_or_broken(copy: Config) -> None:
    part = place(copy) / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    answer = fetch(app_of(copy), "/")
    assert answer.status == 503 and "cannot be read" in answer.text
    part.unlink()
    assert "parts are missing" in fetch(app_of(copy), "/").text


def test_scores_of_an_older_version(copy: Config) -> None:
    for part in place(copy).glob("*.parquet"):
        pq.write_table(pq.ParquetFile(part).read().drop_columns(["tier", "lifecycle"]), part)
    answer = fetch(app_of(copy), "/customers")
    assert answer.status == 503 and "lifecycle, tier" in answer.text


def test_scores_with_gaps_where_every_customer_has_a_value(copy: Config) -> None:
    for part in place(copy).glob("*.parquet"):
        rows = pq.ParquetFile(part).read()
        at = rows.column_names.index("tier")
        pq.write_table(rows.set_column(at, rows.schema.field(at), pa.nulls(rows.num_rows, pa.string())), part)
    answer = fetch(app_of(copy), "/customers")
    assert answer.status == 503 and "columns missing: tier" in answer.text


def test_a_manifest_without_the_keys_of_later_versions(copy: Config) -> None:
    path = place(copy) / "_manifest.json"
    cache = {name: json.loads(path.read_text())[name] for name in ("cutoff", "customers", "parts", "data_fingerprint")}
    path.write_text(json.dumps({**cache, "models": {}}))
    app = app_of(copy)
    for address in ("/", "/customers", "/customer?id=c010", "/models"):
        assert fetch(app, address).status == 200, address
    assert "have no starting point" in fetch(app, "/customer?id=c010").text


def test_what_lies_beside_the_scores_may_be_gone_or_broken(copy: Config) -> None:
    for name in ("segments", "uplift", "contributions", "plans"):
        shutil.rmtree(copy.output / name)
    (copy.output / "monitor" / f"cutoff={CUTOFF}" / "monitor.json").write_text("{")
    (copy.output / "runs" / f"{CUTOFF}.json").write_text("")
    app = app_of(copy)
    assert fetch(app, "/").status == 200
    assert fetch(app, "/customer?id=c010").status == 200
    assert f"regulars segments --cutoff {CUTOFF}" in fetch(app, "/segments").text
    assert "regulars plan --cutoff D --budget B" in fetch(app, "/plan").text
    assert fetch(app, "/monitoring").status == 503


def test_a_plan_that_is_not_whole(copy: Config) -> None:
    folder = copy.output / "plans" / f"cutoff={CUTOFF}" / "retention"
    (folder / "plan.parquet").unlink()
    assert fetch(app_of(copy), "/plan").status == 503
    (folder / "manifest.json").write_text("{}")
    assert "older version" in fetch(app_of(copy), "/plan").text


def test_scores_that_are_written_anew_are_counted_anew(copy: Config) -> None:
    app = app_of(copy)
    assert "300 customers" in fetch(app, "/customers").text
    path = place(copy) / "_manifest.json"
    manifest = json.loads(path.read_text())
    manifest["parts"], manifest["customers"] = manifest["parts"][:1], 150
    path.write_text(json.dumps(manifest))
    assert "150 customers" in fetch(app, "/customers").text


def test_a_folder_of_another_name_is_no_cutoff(copy: Config) -> None:
    shutil.copytree(place(copy), copy.output / "scores" / "cutoff=latest")
    assert scored_cutoffs(open_site(copy)) == [EARLIER, CUTOFF]


def test_a_folder_that_names_its_cutoff_adds_no_column(copy: Config) -> None:
    site = open_site(copy)
    at = read_scored_cutoff(site)
    rows = site.query("SELECT * FROM read_parquet(?, hive_partitioning = false)", [at.files])
    assert rows.schema.field("cutoff").type == pa.timestamp("us")


def test_an_answer_is_made_once_however_many_ask() -> None:
    cache, calls = AnswerCache(2), []
    gate = threading.Event()

    def make() -> int:
        gate.wait(5)
        calls.append(1)
        return 7

    asking = [threading.Thread(target=cache.get, args=("a", make)) for _ in range(4)]
    for one in asking:
        one.start()
    gate.set()
    for one in asking:
        one.join()
    assert cache.get("a", lambda: 8) == 7 and calls == [1]
    cache.get("b", lambda: 1), cache.get("c", lambda: 1)
    assert cache.get("a", lambda: 8) == 8  # the oldest went


def test_a_failure_is_not_kept() -> None:
    cache = AnswerCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert cache.get("a", lambda: 5) == 5
