"""The whole loop over tables with canaries in every personal column and hashed ids: none is stored or printed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from features.config.load import Config, load_config
from features.intake.customer_ids import stored_id
from regulars import cli
from serving.planning import plan
from serving.scoring import score_tables
from tests.shop import make_shop

pytestmark = pytest.mark.slow
CUTOFF, KEY = date(2023, 10, 20), "a-key-of-32-characters-or-a-bit-more"
CANARY, WHO, STAFF = "canary", "customer-", "customer-0001"
SECTIONS = """
[customers]
source = "people.parquet"
customer = "id"
attributes = ["plan"]
constant = ["plan"]
personal = ["email", "born"]
[contacts]
source = "contacts.parquet"
customer = "id"
time = "at"
action = "what"
cost = "cost"
personal = ["to"]
[activities.visits]
source = "visits.parquet"
customer = "id"
time = "at"
personal = ["phone"]
[subscriptions]
source = "terms.parquet"
customer = "id"
start = "at"
personal = ["iban"]
[plan]
margin = 0.5
holdout = 0.3
curve = 2
[plan.actions.mail]
cost = 0.1
save_rate = 0.3
[[plan.exclude]]
why = "staff"
customers = ["customer-0001"]
[segments]
clusters = [0, 0]
history = 0
[serving]
csv = true
[privacy]
hash_ids = true
"""


@dataclass(frozen=True)
class FinishedLoop:
    """The results of the loop.

    Attributes:
        config: The business.
        before: Files that existed before.
        printed: Everything that was printed.
        draft: The config that `init` guessed.
    """

    config: Config
    before: frozenset[Path]
    printed: str
    draft: str


def prepare(folder: Path) -> Config:
    """A shop with a canary in each table, two in some, and a config that names them as personal."""
    make_shop(folder, customers=150)
    log = pq.read_table(folder / "log.parquet")
    mails = pa.array([f"{CANARY}-{i}@example.com" for i in range(log.num_rows)])
    pq.write_table(log.append_column("email", mails), folder / "log.parquet")
    ids, at = log["customer"].unique().to_pylist(), datetime(2023, 5, 1)
    secrets = {"people": ("email", "born"), "contacts": ("to",), "visits": ("phone",), "terms": ("iban",)}
    for name, columns in secrets.items():
        known = {"id": ids, "at": [at] * len(ids), "what": ["other"] * len(ids), "cost": [0.0] * len(ids)}
        known |= {column: [f"{CANARY}-{name}-{i}" for i in range(len(ids))] for column in columns}
        pq.write_table(
            pa.table({**known, "plan": ["gold", "basic"] * (len(ids) // 2) + ["gold"] * (len(ids) % 2)}),
            folder / f"{name}.parquet",
        )
    path = folder / "regulars.toml"
    text = (
        path.read_text()
        .replace("trials = 2", "trials = 0")
        .replace('kinds = ["channel"]', 'kinds = ["channel"]\npersonal = ["email"]')
    )
    path.write_text(text + SECTIONS)
    return load_config(path)


def contacted(config: Config) -> None:
    """Sends what the plan says."""
    known = {stored_id(config, who): who for who in pq.read_table(config.folder / "people.parquet")["id"].to_pylist()}
    meant = [row for row in plan.read_plan(config, CUTOFF).table().to_pylist() if row["action"]]
    at = datetime(2023, 10, 20) + timedelta(hours=3)
    sent = [{"id": known[row["customer_id"]], "at": at, "what": "mail", "cost": 0.1, "to": CANARY} for row in meant]
    pq.write_table(pa.Table.from_pylist(sent), config.folder / "contacts.parquet")


def scored(config: Config) -> str:
    """One of those who were scored, by the id of the user's tables."""
    known = set(score_tables.read_scores(config).table()["customer_id"].to_pylist())
    return next(who for who in (f"{WHO}{i:04d}" for i in range(150)) if stored_id(config, who) in known)


@pytest.fixture(scope="module")
def finished_loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedLoop]:
    """The loop, command by command, by a user whose files others may read unless we see to it."""
    mask = os.umask(0o022)
    folder = tmp_path_factory.mktemp("private")
    config = prepare(folder)
    (folder / "tmp").mkdir()
    before = frozenset(folder.rglob("*"))
    printed: list[str] = []

    def run(*words: str, code: int = 0, path: str = "regulars.toml") -> None:
        os.umask(0o022)
        done = CliRunner().invoke(cli, ["-c", str(folder / path), *words])
        assert done.exit_code == code, done.output
        printed.append(done.output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGULARS_ID_KEY", KEY)
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        run("init", str(folder / "log.parquet"), path="drafted.toml")
        run("check")
        run("train")
        run("score", "--cutoff", str(CUTOFF), "--contributions")
        run("segments")
        run("plan", "--cutoff", str(CUTOFF), "--budget", "5")
        contacted(config)
        run("measure", str(CUTOFF))
        run("report")
        who = scored(config)
        run("explain", who, "--cutoff", str(CUTOFF), "--no-what-if")
        text = printed.pop().replace(f"customer {who} at", "")  # what the user typed
        printed.append(text)
        yield FinishedLoop(config, before, "".join(printed), (folder / "drafted.toml").read_text())
    mlflow.end_run()
    os.umask(mask)


def left(finished_loop: FinishedLoop) -> list[Path]:
    """Files and folders that the loop made."""
    return sorted(set(finished_loop.config.folder.rglob("*")) - finished_loop.before)


def holds(file: Path, text: str) -> bool:
    """Whether a file has a text in its bytes, or in its rows."""
    rows = str(pq.read_table(file).to_pydict()) if file.suffix == ".parquet" else ""
    return text.encode() in file.read_bytes() or text in rows or text in file.name


def test_no_canary_no_id_and_no_key_is_left_on_disk(finished_loop: FinishedLoop) -> None:
    files = [path for path in left(finished_loop) if path.is_file()]
    kinds = {file.suffix for file in files}
    assert {".parquet", ".csv", ".json", ".html", ".db", ".md", ".txt", ".toml"} <= kinds
    assert [file for file in files for text in (CANARY, WHO, KEY) if holds(file, text)] == []
    assert holds(finished_loop.config.folder / "log.parquet", CANARY)


def test_no_canary_no_id_and_no_key_was_printed(finished_loop: FinishedLoop) -> None:
    assert "probability of" in finished_loop.printed and "usable of" in finished_loop.printed
    assert [text for text in (CANARY, WHO, KEY) if text in finished_loop.printed] == []


def test_the_draft_keeps_personal_columns_out(finished_loop: FinishedLoop) -> None:
    assert 'personal = ["email"]' in finished_loop.draft and '"email"' not in finished_loop.draft.split("personal")[
        0
    ].replace('left out as personal, free text or constant: "email"', "")


def test_everything_is_private_to_the_user_and_what_was_there_is_as_it_was(finished_loop: FinishedLoop) -> None:
    paths = left(finished_loop)
    assert {"mlflow.db", "scores", "mlartifacts", "plan.csv"} <= {path.name for path in paths}
    open_ones = [path for path in paths if path.stat().st_mode & 0o077]
    assert [path for path in open_ones if path.suffix != ".py"] == []  # MLflow copies our code with its mode
    assert {path.relative_to(finished_loop.config.folder).parts[0] for path in open_ones} <= {"mlartifacts"}
    assert (finished_loop.config.folder / "log.parquet").stat().st_mode & 0o044


def test_an_excluded_id_is_hashed_too_and_only_counted(finished_loop: FinishedLoop) -> None:
    opened_plan = plan.read_plan(finished_loop.config, CUTOFF)
    row = next(
        row for row in opened_plan.table().to_pylist() if row["customer_id"] == stored_id(finished_loop.config, STAFF)
    )
    assert row["assignment"] == "left out: staff"
    assert opened_plan.manifest.rules["exclude"][0]["customers"] == 1


def test_features_and_manifests_know_no_personal_column(finished_loop: FinishedLoop) -> None:
    scores = score_tables.read_scores(finished_loop.config)
    assert set(scores.manifest.ids) == {"method", "key_check"}
    built = sorted((finished_loop.config.output / "snapshots").glob("*.parquet"))
    columns = set(pq.read_schema(built[-1]).names)
    assert "plan" in columns
    assert [c for c in columns for word in ("email", "born", "phone", "iban") if word in c] == []


def test_a_customer_is_forgotten_by_the_id_that_the_user_knows(finished_loop: FinishedLoop) -> None:
    config = finished_loop.config
    who = scored(config)
    words = ["-c", str(config.folder / "regulars.toml"), "forget", who]
    looked = CliRunner().invoke(cli, words)
    assert looked.exit_code == 1 and "run it again with --yes" in looked.output
    customers = score_tables.read_scores(config).manifest.customers
    done = CliRunner().invoke(cli, [*words, "--yes"])
    assert done.exit_code == 0, done.output
    assert "shop-churn/1 (champion): trained on the customer: " in done.output
    assert "in visits" not in done.output and "1 in activities.visits" in done.output
    name = stored_id(config, who)
    assert [file for file in config.folder.rglob("*") if file.is_file() and holds(file, name)] == []
    assert (
        score_tables.read_scores(config).manifest.customers
        == score_tables.read_scores(config).table().num_rows
        == customers - 1
    )
    again = CliRunner().invoke(cli, ["-c", words[1], "score", "--cutoff", str(CUTOFF)])
    assert again.exit_code == 0, again.output
    assert name not in score_tables.read_scores(config).table()["customer_id"].to_pylist()
