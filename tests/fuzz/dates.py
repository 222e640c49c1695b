"""Target `dates`: days, clocks, offsets and zones, through `check` and `build`.

A day without a clock stays that day under every zone that the config may name; an offset in the data names one instant,
whatever the config says.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from features.config.sections import TaskConfig
from tests.fuzz import odd_values
from tests.fuzz.command import Failure, run_command
from tests.fuzz.target import Case, Target
from tests.fuzz.toml import toml_text
from tests.fuzz.workspace import Workspace

GOOD_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu")
DAY_STYLES = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
STORED = ("text", "date32", "midnight", "midnight text", "number")  # how days without a clock may be stored
FORMATS = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%y",
    "%Y-%m-%d %H:%M",
    "%d %b %Y %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%H",
    "%Q",
    "%",
    "x",
    "",
)
WRITTEN = ("2024-05-01", "2024-05-01 10:00", "2024-05-01T10:00:00Z", "2024-05-01 10:00:00 -0400",
"2024-05-01T10:00:00+0545",
           "01/05/2024", "05/01/24", "1.5.2024", "20240501", "202405011030", "1714557600", "1714557600000", "45413",
           "45413.5",
           "May 1, 2024", "2024-W18-3", "2024-05-01T24:00:00", "2024-05-01 10:00:00.123456789", "1969-12-31",
           "0024-05-01",
           "9999-12-31", "2024-02-30", "", "null", "yesterday", "2024-05-01 25:61", "2024-05-01 10:00 PM",
           "２０２４-05-01")  # fmt: skip
HAS_TASK_ZONE = "timezone" in TaskConfig.model_fields


def cases(workspace: Workspace) -> st.SearchStrategy[Case]:
    """Days whose zone must not matter, instants with offsets, or anything."""
    return st.one_of(_day_cases(), _offset_cases(), _odd_cases())


def _zones(draw: st.DrawFn, zones: tuple[str, ...]) -> dict[str, str]:
    keys = {"events": draw(st.sampled_from(("", *zones)))}
    return keys | ({"task": draw(st.sampled_from(("", *zones)))} if HAS_TASK_ZONE else {})


@st.composite
def _day_cases(draw: st.DrawFn) -> Case:
    days = draw(st.lists(st.dates(date(2023, 12, 1), date(2024, 12, 1)).map(str), min_size=2, max_size=8, unique=True))
    stored = draw(st.sampled_from(STORED))
    return {
        "sort": "days",
        "days": days,
        "stored": stored,
        "style": draw(st.sampled_from(DAY_STYLES)),
        "zones": _zones(draw, GOOD_ZONES),
    }


@st.composite
def _offset_cases(draw: st.DrawFn) -> Case:
    moments = draw(st.lists(st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 1)).map(str), min_size=2, max_size=6))
    hours = draw(st.lists(st.sampled_from((-11, -4, 0, 2, 5.75, 13)), min_size=len(moments), max_size=len(moments)))
    spaced, zones = draw(st.booleans()), _zones(draw, GOOD_ZONES)
    return {
        "sort": "offsets",
        "moments": [moment[:19] for moment in moments],
        "hours": hours,
        "spaced": spaced,
        "zones": zones,
    }


@st.composite
def _odd_cases(draw: st.DrawFn) -> Case:
    usual = draw(st.sampled_from(WRITTEN))
    some = st.one_of(st.just(usual), st.just(usual), st.sampled_from(WRITTEN), odd_values.days())
    keys = {
        "time_format": st.sampled_from(FORMATS),
        "until": odd_values.days(),
        "known_at": st.just("known"),
        "timezone": st.sampled_from(odd_values.ZONES),
        "max_unreadable": st.sampled_from((0.0, 0.5, 1.0)),
    }
    chosen = draw(st.lists(st.sampled_from(tuple(keys)), max_size=2, unique=True))
    return {
        "sort": "odd",
        "times": draw(st.lists(some, min_size=1, max_size=30)),
        "known": draw(st.lists(some, min_size=1, max_size=3)),
        "keys": {key: draw(keys[key]) for key in chosen},
        "zones": _zones(draw, odd_values.ZONES),
        "build": draw(st.one_of(st.none(), odd_values.days())),
    }


def run(workspace: Workspace, case: Case) -> str:
    """Writes the log, checks it, and compares the first and last day with those given."""
    with workspace.folder() as folder:
        expected = _write(folder, case)
        outcome = run_command(folder, "check")
        if expected:
            if outcome.code not in (0, 1):
                raise Failure("days that are clear are refused", outcome.text, case["sort"])
            audit = json.loads((folder / "output" / "audit.json").read_text(encoding="utf-8"))
            if (audit["first"], audit["last"]) != expected:
                found = f"expected {expected}, found {audit['first']} and {audit['last']}"
                raise Failure("a day became another day", found, f"{case['sort']} {case.get('stored', '')}")
        if case.get("build") and outcome.code == 0:
            arguments = ("build", f"--cutoff={case['build']}", "--out", "features.parquet")
            built = run_command(folder, *arguments)
            if built.code and (folder / "features.parquet").exists():
                raise Failure("a build that was refused wrote its file", built.text)
        return outcome.kind


def _write(folder: Path, case: Case) -> tuple[str, str] | None:
    """Writes the log and its config; returns its first and last day, where they are certain."""
    keys: dict[str, Any] = {"source": "log.parquet", "customer": "customer", "time": "time", **case.get("keys", {})}
    zones = case["zones"]
    if zones.get("events"):
        keys["timezone"] = keys.get("timezone", zones["events"])
    task = {"horizon": "7d", "every": "7d", "windows": ["7d"]} | (
        {"timezone": zones["task"]} if zones.get("task") else {}
    )
    config = {"config_version": 1, "name": "shop", "events": keys, "task": task, "engine": {"threads": 1}}
    (folder / "regulars.toml").write_text(toml_text(config), encoding="utf-8")
    times, expected = _times(case)
    known = case.get("known", ["2024-05-01"])
    columns = {
        "customer": pa.array([f"c{n % 3}" for n in range(len(times))]),
        "time": times,
        "known": pa.array([known[n % len(known)] for n in range(len(times))]),
    }
    pq.write_table(pa.table(columns), folder / "log.parquet")
    return expected


def _times(case: Case) -> tuple[pa.Array, tuple[str, str] | None]:
    if case["sort"] == "odd":
        return pa.array(case["times"], pa.string()), None
    if case["sort"] == "offsets":
        return _offset_times(case)
    days = [date.fromisoformat(day) for day in case["days"]]
    midnights = [datetime(day.year, day.month, day.day) for day in days]
    stored = {
        "text": lambda: pa.array([day.strftime(case["style"]) for day in days]),
        "date32": lambda: pa.array(days, pa.date32()),
        "midnight": lambda: pa.array(midnights, pa.timestamp("us")),
        "midnight text": lambda: pa.array([f"{day} 00:00:00" for day in days]),
        "number": lambda: pa.array([int(day.strftime("%Y%m%d")) for day in days], pa.int64()),
    }[case["stored"]]()
    return stored, (str(min(days)), str(max(days)))


def _offset_times(case: Case) -> tuple[pa.Array, tuple[str, str] | None]:
    """Times with offsets; their days are those of UTC, unless a business's zone is given."""
    zones = [timezone(timedelta(hours=hours)) for hours in case["hours"]]
    moments = [
        datetime.fromisoformat(text).replace(tzinfo=zone) for text, zone in zip(case["moments"], zones, strict=True)
    ]
    texts = [moment.strftime("%Y-%m-%d %H:%M:%S %z" if case["spaced"] else "%Y-%m-%dT%H:%M:%S%z") for moment in moments]
    days = sorted(str(moment.astimezone(UTC).date()) for moment in moments)
    return pa.array(texts), None if case["zones"].get("task") else (days[0], days[-1])


TARGET = Target("dates", cases, run, short=2)
