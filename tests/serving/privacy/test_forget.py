"""A forgotten customer is in no byte of the output, all else can still be read, and a crash loses nothing."""

from __future__ import annotations

import csv
import gzip
import html
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from urllib.parse import quote

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.config.table_sections import Identity
from features.errors import DataError, RefusedError
from features.intake.customer_ids import FORGOTTEN_FILE, IDS_FILE, DamagedFileError, read_forgotten
from features.intake.log import open_log
from features.storage.atomic_files import atomic_file
from features.storage.file_locks import exclusive_lock
from serving.measurement.measure import measure_plan
from serving.planning import plan
from serving.privacy import forget
from serving.privacy.erase import STAGING
from serving.privacy.file_contents import texts_in
from serving.privacy.forget import ForgottenCustomer, forget_customer
from serving.privacy.mentions import names_customer
from serving.privacy.text import forget_text, require_complete
from serving.scoring import score_tables
from tests.campaigns import make_executed_plan
from tests.scored import CUTOFF
from training.registry.lineage import ModelLineage

WHO, NEIGHBOUR = "c002", "c0020"
DAYS = (date(2023, 2, 1), date(2024, 2, 25))


def model(label: str = "shop-churn/1", days: tuple[date, ...] = DAYS, fingerprint: str = "") -> ModelLineage:
    """A registered model."""
    return ModelLineage(label, label.split("-")[1].split("/")[0], ("champion",), days, (), fingerprint)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A business with scores, a measured plan, and what other commands leave; the customer is named everywhere."""
    config = make_executed_plan(tmp_path_factory.mktemp("ended")).config
    measure_plan(config, str(CUTOFF))
    out = config.output
    texts = {
        "audit.json": json.dumps(
            {"set_aside": [{"customers": [WHO, "c018"]}], "breaches": [f"such as '{WHO}', 'c018'"]}
        ),
        "reports/cutoff=2024-03-01.html": f"<td>{WHO}</td>",
        "reports/cutoff=2024-02-01.html": f"<td>{NEIGHBOUR}</td>",
        "monitor/alerts.jsonl": json.dumps({"id": "a", "customers": [WHO]}) + "\n" + json.dumps({"id": "b"}) + "\n",
        "runs/2024-03-01.json": json.dumps({"steps": [{"name": "score", "note": f"customer {WHO} failed"}]}),
        ".scoring/cutoff=2024-03-01/journal.jsonl": "{}\n",
        "scores/.cutoff=2024-03-01-a1b2c3d4/part-00000.parquet": "cut off",
        "csv/cutoff=2024-03-01/scores.csv": f'customer_id,text\n{WHO},"a ""b""\n{NEIGHBOUR},c"\n{NEIGHBOUR},"d,\ne"\n',
    }
    for name, text in texts.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    pq.write_table(pa.table({"customer_id": [WHO, "c018"]}), out / "built.parquet")
    (out / "snapshots").mkdir()
    pq.write_table(pa.table({"customer_id": [WHO]}), out / "snapshots" / "part.parquet")
    levels = pa.table({"customer_id": pa.array([WHO, "c018", "c018"]).dictionary_encode(), "n": [1, 2, 3]})
    pq.write_table(levels, out / "levels.parquet", row_group_size=1)
    return config


@pytest.fixture
def business(ended: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A copy of it; which models there are is not asked of MLflow."""
    shutil.copytree(ended.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(forget, "read_model_lineage", lambda config: [model()])
    return ended.model_copy(update={"folder": tmp_path})


def traces(folder: Path, name: str) -> list[str]:
    """Every file that holds a name: in its bytes, its decoded rows, or its own name."""
    files = []
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        rows = str(pq.read_table(file).to_pydict()) if file.suffix == ".parquet" and "-a1b2" not in str(file) else ""
        text = file.read_text(encoding="utf-8", errors="replace") + rows + file.name
        text = re.sub(
            r"\b[0-9a-f]{64}\b", lambda m: m[0] if m[0] == name else "", text
        )  # digests hold "c002" by chance
        if name in text.replace(NEIGHBOUR, ""):
            files.append(file.relative_to(folder).as_posix())
    return files


def content(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but for the list, whose salt is random."""
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in folder.rglob("*")
        if f.is_file() and f.name != FORGOTTEN_FILE
    }


def test_no_trace_is_left_and_everything_reads(business: Config) -> None:
    planned = plan.read_plan(business, CUTOFF).table().num_rows
    other_scores = (
        score_tables.read_scores(business)
        .table()
        .filter(pc.not_equal(score_tables.read_scores(business).table()["customer_id"], WHO))
    )
    assert len(traces(business.output, WHO)) > 10
    forgot = forget_customer(business, WHO, confirmed=True)
    assert traces(business.output, WHO) == []
    assert not (business.output / STAGING).exists()
    assert score_tables.read_scores(business).table().equals(other_scores)
    assert score_tables.read_scores(business).manifest.customers == other_scores.num_rows
    left = plan.read_plan(business, CUTOFF)
    assert left.table().num_rows == planned - 1 == left.manifest.customers["scored"]
    assert left.manifest.scores["parts"] == score_tables.read_scores(business).manifest.parts
    table = left.table()
    assert left.manifest.customers["held_out"] == sum(table["holdout"].to_pylist())
    assert left.manifest.customers["with_action"] == table["action"].drop_null().length()
    for name, counts in left.manifest.segments.items():
        theirs = table.filter(pc.equal(table["segment"], name))
        assert (counts["scored"], counts["with_action"]) == (theirs.num_rows, theirs["action"].drop_null().length())
    assert forgot.models == (
        "shop-churn/1 (champion): trained on the customer: 1 of its 2 cutoffs had the customer, according to the "
        "current log, which has changed",
    )
    again = measure_plan(business, str(CUTOFF))  # the log of the plan is known again
    assert again.facts["customers"]["measured"] == 299
    assert pq.read_table(business.output / "levels.parquet")["n"].to_pylist() == [2, 3]
    rows = (business.output / "csv" / "cutoff=2024-03-01" / "scores.csv").read_text()
    assert rows == f'customer_id,text\n{NEIGHBOUR},"d,\ne"\n'
    assert json.loads((business.output / "audit.json").read_text())["set_aside"] == [{"customers": ["c018"]}]
    assert (business.output / "reports" / "cutoff=2024-02-01.html").exists()


def test_a_preview_changes_nothing(business: Config) -> None:
    before = content(business.folder)
    forgot = forget_customer(business, WHO, confirmed=False)
    assert content(business.folder) == before and not (business.output / FORGOTTEN_FILE).exists()
    text = forget_text(forgot)
    assert "scores/cutoff=2024-03-01/part-00000.parquet: 1 of 300 rows removed" in text
    assert "snapshots: 1 files removed: built again when needed" in text
    assert "2024-03-01.html: removed: the page names the customer" in text
    assert f"rows of the customer: {forgot.source['events']} in events" in text and "remove them there" in text


def dies(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], None]:
    """The process dies when so many files have taken their place; returns what brings it back."""
    real, done = Path.replace, []

    def replace(self: Path, target: Path | str) -> Path:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    return lambda: monkeypatch.setattr(Path, "replace", real)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_removal_is_finished(
    after: int, business: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = tmp_path / "uninterrupted"
    shutil.copytree(business.output, uninterrupted / "output")
    for name in ("log", "contacts"):
        shutil.copy(business.folder / f"{name}.parquet", uninterrupted)
    forget_customer(business.model_copy(update={"folder": uninterrupted}), WHO, confirmed=True)
    back = dies(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        forget_customer(business, WHO, confirmed=True)
    back()
    with pytest.raises(DataError):  # of whom nobody knows: the removal that died is finished all the same
        forget_customer(business, "nobody", confirmed=True)
    forget_customer(business, WHO, confirmed=True)
    assert content(business.output) == content(uninterrupted / "output")
    assert traces(business.output, WHO) == []


def test_one_interrupted_before_it_was_ready_changed_nothing(business: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(business.output)

    def ready(erasure: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(forget, "mark_ready", ready)
    with pytest.raises(KeyboardInterrupt):
        forget_customer(business, WHO, confirmed=True)
    left = {name: text for name, text in content(business.output).items() if not name.startswith(STAGING)}
    assert left == before and not (business.output / FORGOTTEN_FILE).exists()
    with pytest.raises(DataError):  # the next removal of anybody clears up
        forget_customer(business, "nobody", confirmed=True)
    assert content(business.output) == before


def test_an_unknown_customer_is_one_message(business: Config) -> None:
    (business.output / "reports" / "cutoff=2024-02-01.html").write_text("<p>nobody has left</p>")
    before = content(business.output)
    with pytest.raises(DataError, match="customer 'nobody' is in no file of .*output and in no table") as problem:
        forget_customer(business, "nobody", confirmed=True)
    assert problem.value.exit_code == 3 and content(business.output) == before


def test_once_forgotten_a_customer_stays_known_and_out(business: Config) -> None:
    forget_customer(business, WHO, confirmed=True)
    again = forget_customer(business, WHO, confirmed=True)
    places = [place for place, _ in again.places if Path(place).is_relative_to(business.folder)]  # others' scratch
    assert (places, dict(again.source)) == ([], {})
    assert again.models == (
        "shop-churn/1 (champion): may have been trained on the customer (the customer was already forgotten)",
    )


def test_a_model_whose_files_cannot_be_read_is_named(business: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = ModelLineage("shop-churn/2", "churn", ("challenger",), (), (), "", readable=False)
    monkeypatch.setattr(forget, "read_model_lineage", lambda config: [damaged])
    (line,) = forget_customer(business, WHO, confirmed=False).models
    assert line == (
        "shop-churn/2 (challenger): may have been trained on the customer (the files of the model cannot be read)"
    )


def test_a_scoring_run_at_work_is_not_disturbed(business: Config) -> None:
    before = content(business.output)
    with exclusive_lock(business.output / ".scoring" / "cutoff=2024-03-01.lock", "scoring"):
        with pytest.raises(RefusedError, match="scoring into .* is being done by another run"):
            forget_customer(business, WHO, confirmed=True)
    assert content(business.output) == before


def test_the_users_own_data_in_the_output_are_left_alone(business: Config) -> None:
    log = business.output / "log.parquet"
    table = pq.read_table(business.folder / "log.parquet").rename_columns(
        ["customer_id", "time", "amount", "order", "channel"]
    )
    pq.write_table(table, log)
    events = business.events.model_copy(update={"source": "output/log.parquet", "customer": "customer_id"})
    forget_customer(business.model_copy(update={"events": events}), WHO, confirmed=True)
    assert pq.read_table(log).equals(table)
    assert traces(business.output, WHO) == ["log.parquet"]


def test_a_number_is_an_id_only_where_it_stands_alone(business: Config) -> None:
    audit = business.output / "audit.json"
    audit.write_text(json.dumps({"rows": 12, "note": "12 rows", "set_aside": [{"customers": ["12"]}], "b": "as '12'"}))
    forgot: ForgottenCustomer = forget_customer(business, "12", confirmed=True)
    assert [Path(place).name for place, _ in forgot.places if "list of" not in _] == [
        "cutoff=2024-03-01",
        ".cutoff=2024-03-01-a1b2c3d4",
        "audit.json",
    ]
    document = json.loads(audit.read_text())
    assert document == {"rows": 12, "note": "12 rows", "set_aside": [{"customers": []}], "b": "as '(forgotten)'"}


def test_with_hashed_ids_a_customer_is_named_as_the_user_knows_them(
    business: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", "k" * 32)
    hashes = business.model_copy(update={"privacy": business.privacy.model_copy(update={"hash_ids": True})})
    shutil.rmtree(business.output)
    name = forget.stored_id(hashes, WHO)
    pq.write_table(
        pa.table({"customer_id": [name, forget.stored_id(hashes, "c018")]}), business.output / "built.parquet"
    )
    assert (
        forget_customer(hashes, name, confirmed=False).source["events"] > 0
    )  # or as it is kept, which is all a page has
    forgot = forget_customer(hashes, WHO, confirmed=True)
    assert forgot.source["events"] > 0
    assert pq.read_table(business.output / "built.parquet")["customer_id"].to_pylist() == [
        forget.stored_id(hashes, "c018")
    ]
    assert traces(business.output, name) == []


def test_a_person_is_forgotten_under_every_id_and_stays_out(business: Config) -> None:
    joins = [{"id": WHO, "person": "c018"}, {"id": "c018", "person": "P-1"}]
    pq.write_table(pa.Table.from_pylist(joins), business.folder / "who.parquet")
    identity = Identity(source="who.parquet", customer="id", person="person")
    joined = business.model_copy(update={"identity": identity})
    scored = score_tables.read_scores(business).manifest.customers
    forgot = forget_customer(joined, f" {WHO} ", confirmed=True)
    assert traces(business.output, WHO) == traces(business.output, "c018") == []
    assert score_tables.read_scores(business).manifest.customers == scored - 2
    assert "by [identity] the person has 2 more ids, which are forgotten too" in forgot.notes
    assert forgot.source["identity"] == 2
    with open_log(business) as log:  # also without the joins
        customers = log.engine.to_arrow(log.tables.events.select("customer_id").distinct())["customer_id"].to_pylist()
    assert not {WHO, "c018"} & set(customers)


def test_an_output_of_an_earlier_rule_loses_the_customer_in_every_spelling(business: Config) -> None:
    rows = pq.read_table(business.folder / "log.parquet")
    column = business.events.customer
    spelled = [f"{text}\u00a0" if text == WHO else text for text in rows[column].to_pylist()]
    place = rows.column_names.index(column)
    pq.write_table(rows.set_column(place, column, pa.array(spelled)), business.folder / "log.parquet")
    (business.output / "ids.json").unlink(missing_ok=True)
    pq.write_table(pa.table({"customer_id": [f"{WHO}\u00a0", "c018"]}), business.output / "old.parquet")
    forget_customer(business, WHO, confirmed=True)
    assert traces(business.output, WHO) == []
    assert pq.read_table(business.output / "old.parquet")["customer_id"].to_pylist() == ["c018"]


HOSTILE = 'O\'Hara & "Sons" <7>, Jose\u0301 客'


def _name_everywhere(output: Path, name: str) -> None:
    """Files of every kind that name a customer in the way of their kind."""
    out = output / "more"
    out.mkdir()
    table = pa.table({"customer_id": [name, "c018"], "n": [1, 2]})
    pq.write_table(table, out / "built.parquet")
    with (out / "list.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["customer_id", "n"], [name, 1], ["c018", 2]])
    page = f'<a href="/customer?id={quote(name)}">{html.escape(name)}</a>'
    texts = {
        "page.html": page,
        "linked.html": f'<a href="/customer?id={quote(name, safe="")}">see</a>',
        "ascii.json": json.dumps({"note": f"about {name}", "by": {name: 1}}),
        "unicode.json": json.dumps({"links": [page], "customers": [name, "c018"]}, ensure_ascii=False),
        "lines.jsonl": json.dumps({"customer": name}) + "\n" + json.dumps({"id": "b\u2028"}, ensure_ascii=False) + "\n",
        "half.json": json.dumps({"customer": name})[:-1],
    }
    for file, text in texts.items():
        (out / file).write_text(text, encoding="utf-8")


def test_a_hostile_id_is_removed_in_every_form(business: Config) -> None:
    shutil.rmtree(business.output)
    business.output.mkdir()
    _name_everywhere(business.output, unicodedata.normalize("NFC", HOSTILE))
    (business.output / "audit.json").write_text("{}")
    forgot = forget_customer(business, unicodedata.normalize("NFD", HOSTILE), confirmed=True)
    names = frozenset({HOSTILE})
    files = [file for file in business.output.rglob("*") if file.is_file()]
    left = [file.name for file in files if any(names_customer(text, names) for text in texts_in(file))]
    assert left == [] and forgot.unopened == ()
    assert read_forgotten(business).has(unicodedata.normalize("NFC", HOSTILE)), "as the log writes it"
    more = business.output / "more"
    assert pq.read_table(more / "built.parquet")["customer_id"].to_pylist() == ["c018"]
    assert (more / "list.csv").read_bytes() == b"customer_id,n\r\nc018,2\r\n"
    assert not list(more.glob("*.html")) and not (more / "half.json").exists()
    assert json.loads((more / "unicode.json").read_text(encoding="utf-8"))["customers"] == ["c018"]
    assert (more / "lines.jsonl").read_text(encoding="utf-8").count("\n") == 2


def test_what_cannot_be_opened_is_listed_and_the_rest_is_done(business: Config, tmp_path: Path) -> None:
    out = business.output
    (out / "scores" / "cutoff=2024-03-01" / "part-00000.parquet").write_bytes(b"PAR1 cut off")
    (out / "notes.pdf").write_bytes(b"%PDF-1.7 ...")
    (out / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(out / "pipe")
    (out / "backup.zip").write_bytes(b"PK\x05\x06" + b"\x00" * 18)
    forgot = forget_customer(business, WHO, confirmed=True)
    listed = {Path(place).name: why for place, why in forgot.unopened}
    assert set(listed) == {"part-00000.parquet", "notes.pdf", "elsewhere", "pipe"}
    assert "not a complete Parquet file" in listed["part-00000.parquet"] and "a link" in listed["elsewhere"]
    assert f"NOT SEARCHED: {out / 'notes.pdf'}: is a PDF" in forget_text(forgot)
    with pytest.raises(RefusedError, match=r"4 place\(s\) could not be searched"):
        require_complete(forgot)
    assert pq.read_table(out / "built.parquet")["customer_id"].to_pylist() == ["c018"]
    with pytest.raises(DataError, match=r"customer 'nobody' is in no file.*; not searched: .*is a PDF"):
        forget_customer(business, "nobody", confirmed=True)


def test_damaged_files_about_ids_block_nothing_and_nobody_returns(business: Config) -> None:
    forget_customer(business, "c018", confirmed=True)
    lists = business.output / FORGOTTEN_FILE
    before = lists.read_text()
    lists.write_text(before[:30])
    (business.output / IDS_FILE).write_text("{")
    forgot = forget_customer(business, WHO, confirmed=True)
    unopened = dict(forgot.unopened)
    assert "so no command reads the log" in unopened[str(lists)] and "is not as regulars wrote it" in unopened[IDS_FILE]
    assert "the log" in unopened and lists.read_text() == before[:30]
    assert not traces(business.output, WHO)
    only_in_log = "c021"
    for file in sorted(business.output.rglob("*"), reverse=True):  # no output names anybody any more
        if file.is_file() and not file.name.startswith("forgotten") and file.name != IDS_FILE:
            file.unlink()
    kept = forget_customer(business, only_in_log, confirmed=True)
    assert any("put on the list of the forgotten all the same" in note for note in kept.notes) and kept.unopened
    (business.output / IDS_FILE).unlink()
    with pytest.raises(DamagedFileError), open_log(business) as log:
        assert log.tables
    lists.write_text(before)
    with open_log(business) as log:
        ids = set(log.engine.to_arrow(log.tables.events)["customer_id"].to_pylist())
    assert ids and not ids & {WHO, "c018", only_in_log}


def test_other_peoples_files_that_name_the_customer_are_listed(business: Config) -> None:
    out = business.output / "theirs"
    out.mkdir()
    book = openpyxl.Workbook()
    book.active.append(["customer", WHO])
    book.save(out / "list.xlsx")
    (out / "mail.txt.gz").write_bytes(gzip.compress(f"about {WHO}".encode()))
    (out / f"{WHO}.txt").write_text("nothing")
    pq.write_table(pa.table({"who": [[{"name": WHO}]], "customer": ["x"]}), out / "nested.parquet")
    (out / "people.csv").write_text(f"client,n\n{WHO},1\n")
    (out / "fine.txt").write_text(f"about {NEIGHBOUR}")
    forgot = forget_customer(business, WHO, confirmed=True)
    names = {path.name for path in forgot.foreign_files}
    assert names == {"list.xlsx", "mail.txt.gz", f"{WHO}.txt", "nested.parquet", "people.csv"}


def test_models_database_reports_of_errors_and_scratch_are_searched(
    business: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = tmp_path / "state" / "regulars" / "errors" / "regulars-error-1.txt"
    scratch = tmp_path / "regulars-scratch-a1b2c3d4"
    run = business.folder / "mlartifacts" / "1" / "run" / "artifacts"
    bundle = business.folder / "mlartifacts" / "models" / "m-1" / "artifacts" / "bundle"
    for file, text in (
        (report, f"KeyError: '{WHO}'"),
        (scratch / "spill.tmp", WHO),
        (run / "config.json", json.dumps({"plan": {"customers": [WHO, "c018"]}})),
        (run / "model_card.md", f"a level is {WHO}\n"),
        (bundle / "bundle.json", json.dumps({"levels": [WHO]})),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    database = business.folder / "mlflow.db"
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE tags (key TEXT, value TEXT)")
        made.execute("INSERT INTO tags VALUES ('note', ?), ('other', ?)", (f"failed at {WHO}", NEIGHBOUR))
    preview = forget_customer(business, WHO, confirmed=False)
    assert report.exists() and WHO.encode() in database.read_bytes()
    forgot = forget_customer(business, WHO, confirmed=True)
    assert dict(preview.places) == {place: what for place, what in forgot.places if "list of" not in what}
    assert not report.exists() and not scratch.exists()
    assert json.loads((run / "config.json").read_text())["plan"]["customers"] == ["c018"]
    assert (run / "model_card.md").read_text() == "a level is (forgotten)\n"
    rest = database.read_bytes().replace(NEIGHBOUR.encode(), b"")
    assert WHO.encode() not in rest and b"failed at (forgotten)" in rest
    ((place, why),) = forgot.unopened
    assert place == str(bundle / "bundle.json") and "is part of a model" in why


def test_a_command_that_is_writing_is_not_disturbed(business: Config) -> None:
    with atomic_file(business.output / "audit.json"), pytest.raises(RefusedError, match="a command is writing"):
        forget_customer(business, WHO, confirmed=True)
    forget_customer(business, WHO, confirmed=True)
    assert traces(business.output, WHO) == []


TAMPERED = b'[["/etc/passwd", "", ""], ["../log.parquet", "", ""]]'


@pytest.mark.parametrize("ready", [b"", b"garbage", b"[[]]", TAMPERED])
def test_a_list_of_changes_that_something_else_wrote_changes_nothing(business: Config, ready: bytes) -> None:
    staging = business.output / STAGING
    staging.mkdir()
    (staging / "ready.json").write_bytes(ready)
    forget_customer(business, WHO, confirmed=True)
    assert Path("/etc/passwd").exists() and (business.folder / "log.parquet").exists()
    assert traces(business.output, WHO) == []


def test_a_removal_is_finished_where_the_project_was_moved_meanwhile(
    business: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = dies(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        forget_customer(business, WHO, confirmed=True)
    back()
    moved = business.model_copy(update={"folder": tmp_path / "moved"})
    shutil.copytree(business.folder, tmp_path / "moved", ignore=shutil.ignore_patterns("moved"))
    forget_customer(moved, WHO, confirmed=True)
    assert traces(moved.output, WHO) == [] and traces(business.output, WHO) != []


@pytest.mark.parametrize("place", range(5))
def test_it_can_be_killed_anywhere_and_run_again(business: Config, place: int) -> None:
    """A death at one of the changes that it makes to files; the same bytes are left after the next run."""
    pid = os.fork()
    if pid == 0:
        left = [place * 14]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("os.rename", "os.remove", "os.mkdir", "open", "os.rmdir") and "output" in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        forget_customer(business, WHO, confirmed=True)
        os._exit(0)
    os.waitpid(pid, 0)
    forget_customer(business, WHO, confirmed=True)
    assert traces(business.output, WHO) == [] and not (business.output / STAGING).exists()
    assert score_tables.read_scores(business).manifest.customers == 299
    assert plan.read_plan(business, CUTOFF).manifest.customers["scored"] == 299
    assert read_forgotten(business).has(WHO)
