"""A forgotten customer is in no byte of the output, all else can still be read, and a crash loses nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.config.table_sections import Identity
from features.errors import DataError, RefusedError
from features.file_locks import exclusive_lock
from features.intake.customer_ids import FORGOTTEN_FILE
from features.intake.log import open_log
from serving.measurement.measure import measure_plan
from serving.planning import plan
from serving.privacy import forget
from serving.privacy.erase import STAGING
from serving.privacy.forget import ForgottenCustomer, forget_customer, forget_text
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
    assert (again.places, dict(again.source)) == ((), {})
    assert again.models == (
        "shop-churn/1 (champion): may have been trained on the customer (the customer was already forgotten)",
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
