"""The nightly chain: nights on a growing log, repeated and killed nights, and which steps a failure stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from features.audit.delivery import DeliveryRecord
from features.config.load import Config, load_config, parse_config
from features.definitions import DEFINITIONS, feature_definitions
from features.errors import DataError, RefusedError, UsageError
from features.intake.log import Log
from features.storage.file_locks import exclusive_lock
from features.storage.json_files import file_digest
from features.task import Window
from regulars import cli
from serving.nightly import chain, steps
from serving.nightly.state import DONE, FAILED, SKIPPED, UNCHANGED, Night, StepOutcome
from serving.planning.plan import make_plan
from tests.campaigns import EARLIER, make_executed_plan, write_parquet
from tests.counted import count_engines
from tests.scored import CUTOFF
from tests.shop import DAYS, START
from training.registry.models import load_champion
from training.train import TrainingRun

SECTIONS = """
[segments]
history = 1
clusters = [0, 0]
[plan]
margin = 0.5
budget = 40
[plan.actions.mail]
cost = 0.5
save_rate = 0.1
[run]
plan_every = "2d"
"""
CUSTOMERS = 120
TOY = """
config_version = 1
name = "test"
[events]
source = "log.parquet"
customer = "customer"
time = "time"
[task]
horizon = "2d"
every = "2d"
windows = ["2d"]
"""
FIRST = DAYS - 4  # the first night: days in the log by then
KILLED = """
import os, signal
from features.config.load import load_config
from serving.nightly import chain
from serving.report import page
page.write_report = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
chain.run_night(load_config("regulars.toml"))
"""


@dataclass(frozen=True)
class Nights:
    """A shop with champions whose log comes night by night."""

    config: Config
    full_log: pa.Table

    def deliver(self, days: int) -> date:
        """Writes so many complete days of the log and one incomplete day; returns the cutoff that follows from it."""
        until = START + timedelta(days=days + 1)
        pq.write_table(self.full_log.filter(pc.less(self.full_log["time"], until)), self.config.folder / "log.parquet")
        return (START + timedelta(days=days)).date()

    def left(self) -> dict[str, str]:
        """The checksums of all that is left, but for built features, whose names hold theirs."""
        files = sorted(path for path in self.config.output.rglob("*") if path.is_file())
        return {path.relative_to(self.config.output).as_posix(): file_digest(path) for path in files}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, shop: Config, trained: TrainingRun) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    shutil.copy(shop.folder / "mlflow.db", folder)
    text = (shop.folder / "regulars.toml").read_text(encoding="utf-8")
    (folder / "regulars.toml").write_text(text + SECTIONS, encoding="utf-8")
    full_log = pq.read_table(shop.folder / "log.parquet")
    few = pc.less(
        full_log["customer"], f"customer-{CUSTOMERS:04d}"
    )  # nights are about their order, not about customers
    return Nights(load_config(folder / "regulars.toml"), full_log.filter(few))


def states(summary: chain.NightSummary) -> dict[str, str]:
    return {one["name"]: one["state"] for one in summary.content["steps"]}


@pytest.fixture(scope="module")
def three(nights: Nights) -> list[Any]:
    """Three nights: the first twice, the second killed before its report and continued; what each left."""
    nights_run: list[Any] = []
    for days in (FIRST, FIRST):
        cutoff = nights.deliver(days)
        with pytest.MonkeyPatch.context() as patched:
            engines = count_engines(patched)
            nights_run.append((chain.run_night(nights.config), nights.left(), cutoff))
        assert engines == ["duckdb"]  # one for all steps; a training with [training] fairness would open a second one
    cutoff = nights.deliver(FIRST + 1)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=nights.config.folder,
        env={**os.environ, "PYTHONPATH": str(Path(chain.__file__).parents[2])},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not json.loads((nights.config.output / "runs" / f"{cutoff}.json").read_text())["finished"]
    nights_run.append((chain.run_night(nights.config), nights.left(), cutoff))
    cutoff = nights.deliver(FIRST + 2)
    nights_run.append((chain.run_night(nights.config), nights.left(), cutoff))
    return nights_run


def test_a_night_leaves_everything_of_its_cutoff(three: list[Any]) -> None:
    summary, left, cutoff = three[0]
    assert summary.code == 0, summary.content
    expected = dict.fromkeys(("check", "score", "segments", "monitor", "plan", "report"), DONE)
    assert states(summary) == {**dict.fromkeys(("train", "uplift", "retrain", "measure"), SKIPPED), **expected}
    assert {f"scores/cutoff={cutoff}/_manifest.json", f"reports/cutoff={cutoff}.html", f"runs/{cutoff}.json"} <= set(
        left
    )
    assert f"plans/cutoff={cutoff}/retention-{cutoff}/plan.csv" in left
    assert summary.content["log"]["complete_until"] == str(cutoff)


def test_the_same_night_again_does_nothing_and_leaves_every_byte(three: list[Any]) -> None:
    (_, before, _), (again, after, _) = three[:2]
    assert set(states(again).values()) == {UNCHANGED, SKIPPED}
    assert not again.new and "nothing has changed" in chain.night_text(again)
    assert after == before


def test_a_killed_night_is_resumed(three: list[Any]) -> None:
    summary, left, cutoff = three[2]
    state = states(summary)
    assert [state[name] for name in ("check", "score", "segments", "report")] == [UNCHANGED, UNCHANGED, UNCHANGED, DONE]
    assert summary.content["finished"] and f"reports/cutoff={cutoff}.html" in left
    assert not [name for name in left if ".scoring" in name or name.endswith(".lock")]


def test_plans_are_due_every_so_often_each_with_a_holdout_of_its_own(three: list[Any], nights: Nights) -> None:
    (first, _, one), (_, _, _), (second, _, two), (third, _, third_cutoff) = three
    assert [states(night)["plan"] for night in (first, second, third)] == [DONE, SKIPPED, DONE]
    holdouts = []
    for cutoff in (one, third_cutoff):
        folder = nights.config.output / "plans" / f"cutoff={cutoff}" / f"retention-{cutoff}"
        table = pq.read_table(folder / "plan.parquet")
        holdouts.append(set(table.filter(table["holdout"])["customer_id"].to_pylist()))
    assert holdouts[0] and holdouts[1] and holdouts[0] != holdouts[1]
    assert f"not due before {one + timedelta(days=2)}" in json.dumps(second.content["steps"])


def test_contributions_are_those_of_the_newest_night_only(three: list[Any]) -> None:
    _, left, cutoff = three[-1]
    assert {name.split("/")[2] for name in left if name.startswith("contributions/")} == {f"cutoff={cutoff}"}


def test_no_summary_names_a_customer(three: list[Any], nights: Nights) -> None:
    for path in (nights.config.output / "runs").glob("*.json"):
        assert "customer-" not in path.read_text(encoding="utf-8")


def test_a_truncated_log_changes_no_results(three: list[Any], nights: Nights) -> None:
    _, before, cutoff = three[-1]
    nights.deliver(FIRST - 30)
    summary = chain.run_night(nights.config)
    nights.deliver(FIRST + 2)
    state, after = states(summary), nights.left()
    assert summary.code == 3 and summary.content["cutoff"] == str(cutoff)
    assert state["check"] == FAILED and state["score"] == state["report"] == SKIPPED
    assert "cut off" in summary.content["steps"][0]["note"]
    assert state["monitor"] == DONE and any("did not arrive" in one["title"] for one in summary.content["alerts"])
    for place in ("scores", "segments", "plans", "reports", "contributions"):
        assert {n: d for n, d in after.items() if n.startswith(place)} == {
            n: d for n, d in before.items() if n.startswith(place)
        }
    mended = chain.run_night(nights.config)
    assert mended.code == 0 and states(mended)["segments"] == UNCHANGED


DAY = date(2024, 3, 10)
STANDING = {"id": "a", "severity": "warning", "title": "4 features have drifted", "todo": "train", "action": "retrain"}


def night(config: Config, **given: Any) -> Night:
    """A night of which only what the step asks about is there."""
    delivered = DeliveryRecord(1_000, 0, date(2023, 1, 1), DAY - timedelta(days=1), DAY, "f")
    defaults = {"log": Log(config), "cutoff": DAY, "delivery": delivered, "earlier": {}, "other_nights": []}
    return Night(**{**defaults, **given})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trainings that were asked for; the next one's verdict of the gates is `trainings.verdict`."""

    class Trainings(list[Any]):
        verdict = True
        knew = date(2024, 1, 1)  # up to when the champion's training knew the log; None: there is no champion
        definitions = feature_definitions(DEFINITIONS)  # of the features that the champion learned

    requests = Trainings()

    def train(config: Config, which: str = "all", *, resume: bool = False) -> SimpleNamespace:
        requests.append((which, resume))
        reasons = () if requests.verdict else ("churn, Brier score: behind",)
        decision = SimpleNamespace(promoted=requests.verdict, reasons=reasons, note="")
        versions = [SimpleNamespace(label="shop-churn/2")]
        return SimpleNamespace(versions=versions, champions=versions if requests.verdict else [], decision=decision)

    def standing(config: Config, kind: str) -> Any:
        if requests.knew is None:
            return None
        cutoff = requests.knew - timedelta(days=30)
        facts = {"cutoffs": ["2023-06-01", str(cutoff)], "definitions": requests.definitions}
        bundle = SimpleNamespace(features=list(DEFINITIONS), facts=facts, task={"horizon": "30d"})
        return SimpleNamespace(bundle=bundle)

    monkeypatch.setattr(steps.training, "train_models", train)
    monkeypatch.setattr(steps.models, "load_champion", standing)
    return requests


def test_an_alert_has_models_trained_once_and_the_night_scored_anew(make_config: Any, trainings: Any) -> None:
    this = night(make_config(), alerts=[STANDING])
    first = steps.retrain_on_alert(this)
    assert (first.state, first.code, first.again) == (DONE, 0, steps.REDONE_AFTER_PROMOTION)
    assert trainings == [("all", True)] and "4 features have drifted" in first.note
    second = steps.retrain_on_alert(this)
    assert (second.state, second.code, second.again, len(trainings)) == (UNCHANGED, 0, (), 1)


def test_a_refusal_by_the_gates_is_told_and_scores_stay(make_config: Any, trainings: Any) -> None:
    trainings.verdict = False
    this = night(make_config(), alerts=[STANDING])
    refused = steps.retrain_on_alert(this)
    assert (refused.state, refused.code, refused.again) == (DONE, 1, ())
    assert "not promoted by the gates: churn, Brier score: behind" in refused.note
    assert steps.retrain_on_alert(this).code == 1


@pytest.mark.parametrize(
    ("rules", "given", "why"),
    [
        ({"retrain_on": []}, {}, "no alert asks"),
        ({}, {"alerts": [{**STANDING, "action": "data"}]}, "no alert asks"),
        ({"retrain_pause": "10w"}, {}, "retrain_pause"),
        ({}, {"cutoff": DAY - timedelta(days=1)}, "later days"),
        ({}, {"other_nights": [{"cutoff": "2024-03-07", "trained": {"cutoff": "2024-03-07"}}]}, "up to 2024-03-07"),
    ],
)
def test_no_training_is_asked_for_without_reason(
    make_config: Any, trainings: Any, rules: dict[str, Any], given: dict[str, Any], why: str
) -> None:
    outcome = steps.retrain_on_alert(night(make_config({"run": rules}), **{"alerts": [STANDING], **given}))
    assert outcome.state == SKIPPED and why in outcome.note and not trainings


def test_training_is_due_so_long_after_the_last_whatever_came_of_it(make_config: Any, trainings: Any) -> None:
    config = make_config({"run": {"retrain_every": "69d"}})  # the champion knew the log up to 69 days before
    assert steps.train_if_due(night(make_config())).state == SKIPPED
    assert steps.train_if_due(night(config, cutoff=DAY - timedelta(days=1))).state == SKIPPED
    tried = {"cutoff": "2024-03-01", "trained": {"cutoff": "2024-03-01", "promoted": False}}
    assert "not due before 2024-05-09" in steps.train_if_due(night(config, other_nights=[tried])).note
    assert not trainings
    assert steps.train_if_due(night(config)).state == DONE


def test_the_first_night_trains_unless_told_not_to(make_config: Any, trainings: Any) -> None:
    trainings.knew = None
    off = steps.train_if_due(night(make_config({"run": {"train_first": False}})))
    assert off.state == SKIPPED and "`regulars train`" in off.note and not trainings
    assert steps.train_if_due(night(make_config())).state == DONE


def test_a_champion_of_another_zone_is_replaced(make_config: Any, trainings: Any) -> None:
    assert steps.train_if_due(night(make_config({"task": {"timezone": "Asia/Tokyo"}}))).state == DONE
    assert trainings == [("all", True)]


def test_a_champion_of_earlier_definitions_of_features_is_replaced(make_config: Any, trainings: Any) -> None:
    assert steps.train_if_due(night(make_config())).state == SKIPPED
    trainings.definitions = {}
    assert steps.train_if_due(night(make_config())).state == DONE
    assert trainings == [("all", True)]


@pytest.fixture
def toy(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Callable[..., chain.NightSummary]:
    """Runs a chain of toy steps over a log of ten rows: a step is what it returns, or raises."""
    config = make_config({"task": {"horizon": "2d", "every": "2d", "windows": ["2d"]}})

    def deliver(days: int = 10, times: int = 1) -> None:
        rows = [{"customer": f"c{n % 3}", "time": date(2024, 3, 1) + timedelta(days=n)} for n in range(days)]
        pq.write_table(pa.Table.from_pylist(rows * times), config.folder / "log.parquet")

    def run(outcomes: dict[str, Any] | None = None, **given: Any) -> chain.NightSummary:
        def acting(name: str) -> Callable[[Night], StepOutcome]:
            def act(this: Night) -> StepOutcome:
                outcome = (outcomes or {}).get(name, StepOutcome(UNCHANGED))
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome(this) if callable(outcome) else outcome

            return act

        toys = tuple(replace(step, run_step=acting(step.name)) for step in chain.STEPS)
        monkeypatch.setattr(chain, "STEPS", toys)
        return chain.run_night(config, **given)

    run.config, run.deliver = config, deliver  # type: ignore[attr-defined]
    deliver()
    return run


def test_a_failure_stops_what_needs_it_and_nothing_else(toy: Any) -> None:
    summary = toy(
        {"score": UsageError("MLflow does not answer"), "measure": DataError("customer 'customer-1' is strange")}
    )
    state = states(summary)
    assert {name for name, how in state.items() if how == FAILED} == {"score", "measure"}
    assert {name for name, how in state.items() if how == SKIPPED} == {"segments", "plan", "report"}
    assert {name for name, how in state.items() if how == UNCHANGED} == {"train", "uplift", "monitor", "retrain"}
    assert summary.code == 3
    assert "customer-1" not in summary.file.read_text(encoding="utf-8")


def test_a_full_disk_is_a_message_and_so_is_an_error_that_nobody_foresaw(
    toy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    full = toy({"report": OSError(28, "No space left on device")})
    assert full.code == 2 and "the disk is full" in full.content["steps"][-1]["note"]
    unforeseen = toy({"measure": lambda this: StepOutcome({"customer c1": 1}["customer c2"])})
    notes = {step["name"]: step["note"] for step in unforeseen.content["steps"]}
    assert unforeseen.code == 4 and "nobody foresaw" in notes["measure"] and "KeyError" in notes["measure"]
    assert states(unforeseen)["report"] != SKIPPED
    (report,) = (tmp_path / "state" / "regulars" / "errors").iterdir()
    assert "customer c2" in report.read_text() and "customer c2" not in unforeseen.file.read_text(encoding="utf-8")


def test_an_interrupted_step_ends_the_night(toy: Any) -> None:
    def interrupted(this: Night) -> StepOutcome:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as problem:
            raise RuntimeError("Query interrupted") from problem

    with pytest.raises(KeyboardInterrupt):
        toy({"score": interrupted})


def test_steps_of_a_new_champion_are_done_again_and_told_once(toy: Any) -> None:
    done: list[str] = []

    def scored(this: Night) -> StepOutcome:
        done.append("score")
        return StepOutcome(DONE)

    summary = toy({"score": scored, "retrain": StepOutcome(DONE, again=("score", "monitor"))})
    assert done == ["score", "score"]
    assert [one["name"] for one in summary.content["steps"]].count("score") == 1


def test_the_log_says_which_night_it_is_and_a_given_day_must_be_reached(toy: Any) -> None:
    assert toy().content["cutoff"] == "2024-03-11"
    assert toy(cutoff=date(2024, 3, 9)).code == 0
    late = toy(cutoff=date(2024, 3, 13))
    assert late.code == 3 and "2 days before it are missing" in late.content["steps"][0]["note"]
    assert toy(cutoff=date(2024, 3, 13), accept=True).code == 0


def test_a_log_that_came_twice_or_empty_stops_the_chain_but_for_the_monitor(toy: Any) -> None:
    toy.deliver(30)
    assert toy().code == 0
    toy.deliver(30, times=2)
    twice = toy()
    assert twice.code == 3 and "came twice" in twice.content["steps"][0]["note"]
    assert states(twice)["monitor"] == UNCHANGED and states(twice)["score"] == SKIPPED
    toy.deliver(0)
    empty = toy()
    assert empty.code == 3 and empty.content["cutoff"] == twice.content["cutoff"] == "2024-03-31"
    assert empty.content["log"]["rows"] == 30  # of the last one that could be trusted
    toy.deliver(30)
    assert toy().code == 0


def test_a_shorter_log_is_taken_once_it_is_said_to_be_right(toy: Any) -> None:
    toy.deliver(30)
    assert toy().code == 0
    toy.deliver(12)
    assert toy().code == 3
    accepted = toy(accept=True)
    assert accepted.code == 0 and accepted.content["cutoff"] == "2024-03-13"
    assert toy().code == 0


def test_an_empty_log_on_the_first_night_is_the_error_of_the_check(toy: Any) -> None:
    toy.deliver(0)
    with pytest.raises(DataError):
        toy()


def test_two_runs_at_once_are_refused(toy: Any) -> None:
    with (
        exclusive_lock(toy.config.output / "runs" / ".lock", "another"),
        pytest.raises(RefusedError, match="another run"),
    ):
        toy()


def test_a_summary_that_cannot_be_read_is_made_anew(toy: Any) -> None:
    file = toy().file
    file.write_text("{", encoding="utf-8")
    again = toy()
    assert "cannot be read" in again.content["steps"][0]["note"]
    assert json.loads(file.read_text(encoding="utf-8"))["finished"]


def test_the_command_ends_with_the_worst_of_the_steps_and_is_quiet_where_all_is_well(toy: Any) -> None:
    path = toy.config.folder / "regulars.toml"
    path.write_text(TOY, encoding="utf-8")
    toy({})
    well = CliRunner().invoke(cli, ["-c", str(path), "run", "--quiet"])
    assert (well.exit_code, well.output) == (0, "")
    assert "10 unchanged: nothing has changed" in CliRunner().invoke(cli, ["-c", str(path), "run"]).output
    toy({"uplift": UsageError("no such thing"), "monitor": StepOutcome(UNCHANGED, "2 alerts", code=1)})
    bad = CliRunner().invoke(cli, ["-c", str(path), "run", "--quiet"])
    assert bad.exit_code == 2
    for words in ("no such thing", "exit 2", "runs/2024-03-11.json", "run --cutoff 2024-03-11"):
        assert words in bad.output


@pytest.mark.slow
def test_an_alert_has_models_trained_in_earnest_and_the_gates_decide(three: list[Any], nights: Nights) -> None:
    values = nights.config.model_dump(mode="json", exclude={"folder"})
    values["training"] |= {"trials": 0, "promote": {"champion": "better"}}
    config = parse_config(values, nights.config.folder / "regulars.toml")
    cutoff = nights.deliver(DAYS) + timedelta(days=7)
    before = {kind: load_champion(config, kind).version.label for kind in ("churn", "value")}  # type: ignore[union-attr]
    log = DeliveryRecord(1, 0, START.date(), cutoff, cutoff, "f")
    this = night(config, cutoff=cutoff, delivery=log, alerts=[STANDING], other_nights=[])
    outcome = steps.retrain_on_alert(this)
    assert (outcome.state, outcome.code, outcome.again) == (DONE, 1, ())
    assert "asked for 'better'" in outcome.note
    assert this.trained and set(this.trained["versions"]).isdisjoint(before.values())
    assert {kind: load_champion(config, kind).version.label for kind in before} == before  # type: ignore[union-attr]


def test_a_plan_that_somebody_made_is_kept_for_its_night_and_superseded_ones_are_not_measured(tmp_path: Path) -> None:
    ended = make_executed_plan(tmp_path, customers=150)
    run = ended.config.run.model_copy(update={"plan_every": Window(28)})
    rules = ended.config.plan.model_copy(update={"budget": 60.0})  # type: ignore[union-attr]
    config = ended.config.model_copy(update={"run": run, "plan": rules})
    same_day = steps.plan_on_schedule(night(config, cutoff=CUTOFF))
    assert same_day.state == UNCHANGED and "campaign retention is kept" in same_day.note
    assert [plan.name for plan in config.outputs.plans()] == ["retention"]
    assert steps.plan_on_schedule(night(config, cutoff=CUTOFF + timedelta(days=27))).state == SKIPPED
    make_plan(config, CUTOFF, campaign="autumn")
    assert "campaign autumn is kept" in steps.plan_on_schedule(night(config, cutoff=CUTOFF)).note
    complete = CUTOFF + timedelta(days=30)
    this = night(config, cutoff=complete, delivery=DeliveryRecord(1, 0, CUTOFF, complete, complete, "f"))
    assert steps.measure_ended_plans(this).note == f"{CUTOFF}/autumn is measured"
    apart = config.model_copy(update={"plan": rules.model_copy(update={"independent": True, "campaign": "spring"})})
    newest = DeliveryRecord(1, 0, CUTOFF, CUTOFF - timedelta(days=1), CUTOFF, "f")
    made = steps.plan_on_schedule(night(apart, cutoff=CUTOFF, delivery=newest))
    assert made.state == DONE and f"campaign spring-{CUTOFF}" in made.note


def test_plans_whose_outcomes_are_whole_are_measured_once(tmp_path: Path) -> None:
    ended = make_executed_plan(tmp_path, customers=150)
    complete = CUTOFF + timedelta(days=30)
    this = night(ended.config, cutoff=complete, delivery=DeliveryRecord(1, 0, CUTOFF, complete, complete, "f"))
    early = replace(this, delivery=DeliveryRecord(1, 0, CUTOFF, complete, complete - timedelta(days=1), "f"))
    assert steps.measure_ended_plans(early).state == SKIPPED
    first = steps.measure_ended_plans(this)
    assert first.state == DONE and f"{CUTOFF}/retention is measured" in first.note
    assert steps.measure_ended_plans(this).state == SKIPPED


def test_a_plan_that_was_never_carried_out_is_told_and_given_up_after_a_week(tmp_path: Path) -> None:
    ended = make_executed_plan(tmp_path, customers=150)
    write_parquet(tmp_path, "contacts", [EARLIER])
    complete = CUTOFF + timedelta(days=30)
    this = night(ended.config, cutoff=complete, delivery=DeliveryRecord(1, 0, CUTOFF, complete, complete, "f"))
    assert steps.measure_ended_plans(this).state == FAILED
    assert "not carried out" in this.unmeasured[f"{CUTOFF}/retention"]
    late = complete + timedelta(days=7)
    assert (
        steps.measure_ended_plans(replace(this, delivery=DeliveryRecord(1, 0, CUTOFF, late, late, "f"))).state
        == SKIPPED
    )
