"""The nightly chain: night after night on a grown log, twice the same, killed and gone on with, and what stops what."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.config import Config, load
from serving import nightly
from serving.journal import checksum
from serving.night import DONE, FAILED, SKIPPED, UNCHANGED
from tests.shop import DAYS, START
from training.train import Trained

SECTIONS = """
[plan]
margin = 0.5
budget = 40
[plan.actions.mail]
cost = 0.5
save_rate = 0.1
[run]
plan_every = "2d"
"""
FIRST = DAYS - 4  # the first night: days of the log that came by then
KILLED = """
import os, signal
from features.config import load
from serving import nightly, report
report.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
nightly.run(load("regulars.toml"))
"""


@dataclass(frozen=True)
class Nights:
    """A shop with champions whose log comes night by night."""

    config: Config
    whole: pa.Table

    def deliver(self, days: int) -> date:
        """Leaves so many days of the log and one that may not be whole; returns the cutoff that the log tells."""
        until = START + timedelta(days=days + 1)
        pq.write_table(self.whole.filter(pc.less(self.whole["time"], until)), self.config.folder / "log.parquet")
        return (START + timedelta(days=days)).date()

    def left(self) -> dict[str, str]:
        """The checksums of all that is left, but for built features, whose names hold theirs."""
        files = sorted(path for path in self.config.output.rglob("*") if path.is_file())
        return {path.relative_to(self.config.output).as_posix(): checksum(path) for path in files}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, shop: Config, trained: Trained) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    shutil.copy(shop.folder / "mlflow.db", folder)
    text = (shop.folder / "regulars.toml").read_text(encoding="utf-8")
    (folder / "regulars.toml").write_text(text + SECTIONS, encoding="utf-8")
    return Nights(load(folder / "regulars.toml"), pq.read_table(shop.folder / "log.parquet"))


def states(summary: nightly.Summary) -> dict[str, str]:
    return {one["name"]: one["state"] for one in summary.told["steps"]}


@pytest.fixture(scope="module")
def three(nights: Nights) -> list[Any]:
    """Three nights: the first twice, the second killed before its report and gone on with; what each left."""
    found: list[Any] = []
    for days in (FIRST, FIRST):
        cutoff = nights.deliver(days)
        found.append((nightly.run(nights.config), nights.left(), cutoff))
    cutoff = nights.deliver(FIRST + 1)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=nights.config.folder,
        env={**os.environ, "PYTHONPATH": str(Path(nightly.__file__).parent.parent)},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not json.loads((nights.config.output / "runs" / f"{cutoff}.json").read_text())["finished"]
    found.append((nightly.run(nights.config), nights.left(), cutoff))
    cutoff = nights.deliver(FIRST + 2)
    found.append((nightly.run(nights.config), nights.left(), cutoff))
    return found


def test_a_night_leaves_everything_of_its_cutoff(three: list[Any]) -> None:
    summary, left, cutoff = three[0]
    assert summary.code == 0, summary.told
    expected = dict.fromkeys(("check", "score", "segments", "monitor", "plan", "report"), DONE)
    assert states(summary) == {**dict.fromkeys(("train", "uplift", "retrain", "measure"), SKIPPED), **expected}
    assert {f"scores/cutoff={cutoff}/_manifest.json", f"reports/cutoff={cutoff}.html", f"runs/{cutoff}.json"} <= set(
        left
    )
    assert f"plans/cutoff={cutoff}/retention-{cutoff}/plan.csv" in left
    assert summary.told["log"]["complete_until"] == str(cutoff)


def test_the_same_night_again_does_nothing_and_leaves_every_byte(three: list[Any]) -> None:
    (_, before, _), (again, after, _) = three[:2]
    assert set(states(again).values()) == {UNCHANGED, SKIPPED}
    assert not again.new and "nothing is new" in nightly.describe(again)
    assert after == before


def test_a_killed_night_is_gone_on_with(three: list[Any]) -> None:
    summary, left, cutoff = three[2]
    found = states(summary)
    assert [found[name] for name in ("check", "score", "segments", "report")] == [UNCHANGED, UNCHANGED, UNCHANGED, DONE]
    assert summary.told["finished"] and f"reports/cutoff={cutoff}.html" in left
    assert not [name for name in left if ".scoring" in name or name.endswith(".lock")]


def test_plans_are_due_every_so_often_each_with_a_holdout_of_its_own(three: list[Any], nights: Nights) -> None:
    (first, _, one), (_, _, _), (second, _, two), (third, _, three_) = three
    assert [states(night)["plan"] for night in (first, second, third)] == [DONE, SKIPPED, DONE]
    held = []
    for cutoff in (one, three_):
        folder = nights.config.output / "plans" / f"cutoff={cutoff}" / f"retention-{cutoff}"
        table = pq.read_table(folder / "plan.parquet")
        held.append(set(table.filter(table["holdout"])["customer_id"].to_pylist()))
    assert held[0] and held[1] and held[0] != held[1]
    assert f"not due before {one + timedelta(days=2)}" in json.dumps(second.told["steps"])


def test_contributions_are_those_of_the_newest_night_only(three: list[Any]) -> None:
    _, left, cutoff = three[-1]
    assert {name.split("/")[2] for name in left if name.startswith("contributions/")} == {f"cutoff={cutoff}"}


def test_no_summary_names_a_customer(three: list[Any], nights: Nights) -> None:
    for path in (nights.config.output / "runs").glob("*.json"):
        assert "customer-" not in path.read_text(encoding="utf-8")


def test_a_log_that_was_cut_off_leaves_all_as_it_was(three: list[Any], nights: Nights) -> None:
    _, before, cutoff = three[-1]
    nights.deliver(FIRST - 30)
    summary = nightly.run(nights.config)
    nights.deliver(FIRST + 2)
    found, after = states(summary), nights.left()
    assert summary.code == 3 and summary.told["cutoff"] == str(cutoff)
    assert found["check"] == FAILED and found["score"] == found["report"] == SKIPPED
    assert "cut off" in summary.told["steps"][0]["note"]
    assert found["monitor"] == DONE and any("did not arrive" in one["title"] for one in summary.told["alerts"])
    for place in ("scores", "segments", "plans", "reports", "contributions"):
        assert {n: d for n, d in after.items() if n.startswith(place)} == {
            n: d for n, d in before.items() if n.startswith(place)
        }
    mended = nightly.run(nights.config)
    assert mended.code == 0 and states(mended)["segments"] == UNCHANGED
