"""Output files that are truncated, garbage, changed, gone or of another version: one message in every command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns.measured_plans import plans_as_contacts
from features.config.load import Config
from features.errors import DataError, RegularsError, UsageError
from features.outputs.manifests import manifest_text
from features.storage.json_files import file_digest
from serving.measurement.measure import measure_plan
from serving.monitoring import delivery, inputs
from serving.monitoring.monitor import monitor_scores
from serving.nightly.state import read_summaries
from serving.planning.plan import make_plan
from serving.privacy import forget
from serving.report import inputs as report_inputs
from serving.report.page import write_report
from serving.segmentation.run import segment_customers
from tests.campaigns import make_executed_plan
from tests.scored import CUTOFF
from tests.webpages import DRIVERS, MODELS, app_of, fetch

EARLIER = date(2024, 2, 1)
PLAN = f"plans/cutoff={CUTOFF}/retention"
SCORES, BEFORE = f"scores/cutoff={CUTOFF}", f"scores/cutoff={EARLIER}"
SEGMENTS = f"segments/cutoff={CUTOFF}"


@pytest.fixture(scope="module", autouse=True)
def _without_mlflow() -> Iterator[None]:
    """No command asks MLflow, and no message is sent."""

    def no_store(*_: object) -> None:
        raise UsageError("no store")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inputs, "load_champion", lambda *_: None)
        patched.setattr(forget, "read_model_lineage", lambda config: [])
        patched.setattr(report_inputs, "load_evaluation", no_store)
        patched.setattr(delivery, "PAUSES", ())
        yield


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A small business with an output of every kind."""
    made = make_executed_plan(tmp_path_factory.mktemp("damaged"), customers=60).config
    monitor = made.monitor.model_copy(update={"webhook": "http://127.0.0.1:9/"})
    config = made.model_copy(update={"monitor": monitor})
    output = config.output
    path = output / SCORES / "_manifest.json"
    scored = json.loads(path.read_text())
    scored |= {"models": MODELS, "drivers": {"churn": DRIVERS}, "bases": {"churn": 0.5}, "format": 1}
    path.write_text(manifest_text(scored))
    measure_plan(config, str(CUTOFF))
    segment_customers(config, CUTOFF)
    shutil.copytree(output / SCORES, output / BEFORE)
    (output / BEFORE / "_manifest.json").write_text(manifest_text({**scored, "cutoff": str(EARLIER)}))
    monitor_scores(config, EARLIER)
    (output / "monitor" / "outbox").mkdir(exist_ok=True)
    message = {"channel": "webhook", "name": "shop", "cutoff": str(EARLIER), "alerts": []}
    (output / "monitor" / "outbox" / "2024-02-01-webhook-0123456789ab.json").write_text(json.dumps(message))
    (output / "monitor" / "alerts.jsonl").write_text('{"id": "a"}\n')
    _write_effects(output / "uplift" / f"cutoff={CUTOFF}")
    (output / "runs").mkdir()
    night = {"format": 1, "name": "shop", "cutoff": str(CUTOFF), "steps": [{"name": "score", "state": "done"}]}
    (output / "runs" / f"{CUTOFF}.json").write_text(manifest_text(night))
    (output / "audit.json").write_text(manifest_text({"rows": 1}))
    (output / "snapshots").mkdir(exist_ok=True)
    return config


def _write_effects(folder: Path) -> None:
    folder.mkdir(parents=True)
    row = {"customer_id": "c010", "action": "mail", "effect_return": 0.1, "effect_value": 1.0, "source": "measured"}
    pq.write_table(pa.Table.from_pylist([{**row, "effect_value_error": 0.1}]), folder / "effects.parquet")
    facts = {"format": 1, "name": "shop", "cutoff": str(CUTOFF), "customers": 1, "rows": 1, "model": "shop-uplift/1"}
    text = manifest_text({**facts, "source": "measured", "sha256": file_digest(folder / "effects.parquet")})
    (folder / "_manifest.json").write_text(text)


def _opened(page: str, config: Config) -> None:
    assert fetch(app_of(config), page).status in (200, 404, 503)


COMMANDS: dict[str, tuple[Callable[[Config], object], tuple[str, ...]]] = {
    "segments": (
        lambda config: segment_customers(config, CUTOFF),
        (f"{SCORES}/_manifest.json", f"{SCORES}/part-00000.parquet", f"{BEFORE}/_manifest.json"),
    ),
    "plan": (
        lambda config: make_plan(config, CUTOFF, 10.0, "other"),
        (
            f"{SCORES}/_manifest.json",
            f"{SCORES}/part-00000.parquet",
            f"uplift/cutoff={CUTOFF}/effects.parquet",
            f"uplift/cutoff={CUTOFF}/_manifest.json",
        ),
    ),
    "measure": (
        lambda config: measure_plan(config, str(CUTOFF)),
        (f"{PLAN}/manifest.json", f"{PLAN}/plan.parquet", f"{PLAN}/curve.json", f"{PLAN}/measured.json"),
    ),
    "train uplift": (plans_as_contacts, (f"{PLAN}/manifest.json", f"{PLAN}/plan.parquet", f"{PLAN}/measured.json")),
    "monitor": (
        lambda config: monitor_scores(config, CUTOFF),
        (
            f"{SCORES}/_manifest.json",
            f"{SCORES}/part-00000.parquet",
            f"{BEFORE}/_manifest.json",
            f"{BEFORE}/part-00000.parquet",
            f"monitor/cutoff={EARLIER}/monitor.json",
            "monitor/state.json",
            "monitor/alerts.jsonl",
            "monitor/outbox/2024-02-01-webhook-0123456789ab.json",
        ),
    ),
    "report": (
        lambda config: write_report(config, CUTOFF),
        (
            f"{SCORES}/_manifest.json",
            f"{SCORES}/part-00000.parquet",
            "audit.json",
            f"{SEGMENTS}/manifest.json",
            f"{SEGMENTS}/segments.parquet",
            f"{SEGMENTS}/transitions.parquet",
            f"{PLAN}/manifest.json",
            f"{PLAN}/plan.parquet",
            f"{PLAN}/curve.parquet",
            f"{PLAN}/measured.json",
            f"monitor/cutoff={EARLIER}/monitor.json",
        ),
    ),
    "run": (lambda config: read_summaries(config.output), (f"runs/{CUTOFF}.json",)),
    **{
        f"app {page}": (partial(_opened, page), files)
        for page, files in {
            "/": (f"{SCORES}/_manifest.json", f"{SCORES}/part-00000.parquet", f"monitor/cutoff={EARLIER}/monitor.json"),
            "/customers": (f"{SCORES}/part-00000.parquet",),
            "/customer?id=c010": (
                f"{BEFORE}/part-00000.parquet",
                f"{SEGMENTS}/customers.parquet",
                f"uplift/cutoff={CUTOFF}/effects.parquet",
                f"{PLAN}/plan.parquet",
            ),
            "/segments": (f"{SEGMENTS}/segments.parquet", f"{SEGMENTS}/transitions.parquet"),
            "/plan": (f"{PLAN}/manifest.json", f"{PLAN}/plan.parquet", f"{PLAN}/curve.json"),
            "/experiments": (f"{PLAN}/measured.json",),
            "/monitoring": (f"monitor/cutoff={EARLIER}/monitor.json", f"runs/{CUTOFF}.json"),
        }.items()
    },
}
DAMAGES = ("truncated", "zero bytes", "garbage", "removed", "other version", "changed")
PAIRS = [(command, file) for command, (_, files) in COMMANDS.items() for file in files]


def damage(path: Path, kind: str) -> None:
    """Damages a file in one of the ways."""
    content = path.read_bytes()
    if kind == "removed":
        path.unlink()
    elif kind == "other version" and path.suffix == ".parquet":
        pq.write_table(pa.table({"customer_id": ["c010"], "other": [1]}), path)
    elif kind == "changed" and path.suffix == ".parquet":
        path.write_bytes(content[: len(content) // 2] + b"\x00\xff\x00" + content[len(content) // 2 + 3 :])
    elif kind in ("other version", "changed") and path.suffix == ".json":
        value = json.loads(content)
        facts = value if isinstance(value, dict) else value[0]
        facts |= {"format": 99} if kind == "other version" else dict.fromkeys(facts, None)
        path.write_text(json.dumps(value))
    else:
        made = {"truncated": content[: len(content) * 2 // 3], "zero bytes": b""}
        path.write_bytes(made.get(kind, b"\xff\xfe\x00garbage\n{[\n" * 9))


def outcome(command: Callable[[Config], object], config: Config, path: Path, kind: str) -> str:
    """What a command says about a damaged file, which is put back; '' if it can do without the file."""
    saved = shutil.copy2(path, path.with_name("saved"))
    shutil.move(saved, config.folder / "saved")
    damage(path, kind)
    try:
        command(config)
    except RegularsError as problem:
        assert problem.exit_code in (2, 3) and 20 < len(str(problem)) < 700, str(problem)
        return str(problem)
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(config.folder / "saved", path)
    return ""


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=[f"{command}-{file}" for command, file in PAIRS])
def test_a_damaged_file_is_one_message(business: Config, place: int) -> None:
    """One kind of damage a pair of command and file, and another one for the next pair."""
    (command, file), kind = PAIRS[place], DAMAGES[place % len(DAMAGES)]
    text = outcome(COMMANDS[command][0], business, business.output / file, kind)
    if text and kind != "removed":
        assert Path(file).name in text or PLAN in text, text


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_never_block_forgetting(business: Config, kind: str) -> None:
    """All files at once: what can be read is still searched."""
    files = [path for path in business.output.rglob("*") if path.is_file() and path.name != "ids.json"]
    before = {path: path.read_bytes() for path in files}
    try:
        for path in before:
            damage(path, kind)
        with suppress(DataError):  # nothing is left that names the customer, and the message says what was not searched
            forget.forget_customer(business, "c010", confirmed=False)
    finally:
        for path, content in before.items():
            path.write_bytes(content)


@pytest.mark.parametrize("name", ["ids.json", "forgotten.json"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_list_is_one_message(business: Config, name: str, kind: str) -> None:
    """Without them nobody knows who is to stay out, or by which key ids were hashed: every command refuses."""
    path = business.output / name
    content = path.read_bytes() if path.exists() else None
    path.write_bytes(content or b'{"salt": "00", "customers": ["ab"], "rule": 2}')
    try:
        damage(path, kind)
        with suppress(RegularsError):
            forget.forget_customer(business, "c010", confirmed=False)
    finally:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)


def test_a_web_page_says_what_it_cannot_read(business: Config) -> None:
    path = business.output / PLAN / "manifest.json"
    content = path.read_bytes()
    try:
        damage(path, "changed")
        answer = fetch(app_of(business), "/plan")
    finally:
        path.write_bytes(content)
    assert answer.status == 503 and "is incomplete, or an older version wrote it" in answer.text
