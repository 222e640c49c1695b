"""A config is loaded completely, or refused with one message that says what to write instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config, load_config, parse_config
from features.errors import DataError, RefusedError, RegularsError, UsageError
from features.task import Window

EVENTS = {"source": "log.csv", "customer": "customer", "time": "time"}


def parsed(**sections: Any) -> Config:
    return parse_config({"config_version": 1, "name": "shop", "events": EVENTS, **sections})


def refused(**sections: Any) -> str:
    with pytest.raises(UsageError) as problem:
        parsed(**sections)
    return str(problem.value)


def test_defaults_give_a_complete_task() -> None:
    task = parsed().task.to_task()
    assert (task.horizon, task.every, task.cohort.active_within) == (Window(90), Window(30), Window(365))
    assert [w.days for w in task.windows] == [30, 90, 180, 365]


def test_fairness_needs_a_customer_table() -> None:
    assert "no [customers]" in refused(training={"fairness": ["gender"]})


def test_only_kinds_can_be_offered() -> None:
    kinds = {**EVENTS, "kinds": ["category", "store"]}
    assert parsed(events=kinds).events.offers is None
    assert parsed(events={**kinds, "offers": ["category"]}).events.offers == ("category",)
    assert parsed(events={**kinds, "offers": []}).events.offers == ()
    assert "[events]: offers names 'brand', which is not one of kinds ('category', 'store'); add it there too" in (
        refused(events={**kinds, "offers": ["category", "brand"]})
    )
    assert "which is not one of kinds (none)" in refused(events={**EVENTS, "offers": ["brand"]})


def test_durations_are_read() -> None:
    config = parsed(task={"horizon": "4w", "windows": ["7d", "2w"]})
    assert config.task.horizon == Window(28)
    assert config.task.windows == (Window(7), Window(14))


def test_the_time_zone_of_the_business_is_one_that_there_is() -> None:
    assert parsed().task.to_task().timezone == "UTC"
    assert parsed(task={"timezone": "Asia/Kolkata"}).task.to_task().timezone == "Asia/Kolkata"
    assert "[task] timezone: there is no time zone 'Europe/Belrin'; did you mean 'Europe/Berlin'?" in refused(
        task={"timezone": "Europe/Belrin"}
    )
    assert "expected one such as 'Europe/London' or 'UTC'" in refused(task={"timezone": "+02:00"})
    assert parsed(task={"timezone": "europe/berlin"}).task.timezone == "Europe/Berlin"
    assert parsed(events={**EVENTS, "timezone": "JST"}).events.timezone == "JST"
    assert "[events] timezone: there is no time zone 'Europe/Londn'; did you mean 'Europe/London'?" in refused(
        events={**EVENTS, "timezone": "Europe/Londn"}
    )


@pytest.mark.parametrize(
    ("sections", "wrong", "right"),
    [
        ({"events": {**EVENTS, "custmer": "x"}}, "custmer", "customer"),
        ({"events": {**EVENTS, "time_fromat": "x"}}, "time_fromat", "time_format"),
        ({"task": {"horizen": "90d"}}, "horizen", "horizon"),
        ({"training": {"trails": 3}}, "trails", "trials"),
        ({"training": {"promote": {"champoin": "any"}}}, "champoin", "champion"),
        ({"evnts": {}}, "evnts", "events"),
        ({"servin": {}}, "servin", "serving"),
    ],
)
def test_a_misspelt_key_names_the_nearest(sections: dict[str, Any], wrong: str, right: str) -> None:
    message = refused(**sections)
    assert f"unknown key {wrong!r}" in message
    assert f"did you mean {right!r}?" in message


def test_a_key_like_no_other_lists_what_is_known() -> None:
    message = refused(task={"xyzzy": 1})
    assert "unknown key 'xyzzy' in [task]" in message
    assert (
        "active_within, churn, every, horizon, label_delay, lapsed_within, timezone, value_horizons, windows" in message
    )


@pytest.mark.parametrize("key", ["source", "customer", "time"])
def test_missing_required_keys_are_reported(key: str) -> None:
    without = {name: value for name, value in EVENTS.items() if name != key}
    assert f"[events] {key} is missing; it is required" in refused(events=without)
    assert f"{key} must not be empty" in refused(events={**EVENTS, key: ""})


def test_every_problem_is_listed_at_once() -> None:
    lines = refused(name="a b", task={"horizon": "soon"}, training={"trials": -1}).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("regulars.toml: ") for line in lines)


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"task": {"horizon": "ninety days"}}, "[task] horizon"),
        ({"task": {"horizon": 90}}, "[task] horizon"),
        ({"task": {"windows": ["90d", "30d"]}}, "windows must be distinct and ascending"),
        ({"task": {"churn": "cancelled"}}, "[task] churn"),
        ({"training": {"trials": "many"}}, "[training] trials"),
        ({"serving": {"interval": 1.5}}, "[serving] interval"),
        ({"events": {**EVENTS, "kinds": "country"}}, "[events] kinds"),
        ({"events": {**EVENTS, "kinds": ["a", "a"]}}, "kinds names a column twice: a"),
        ({"events": {**EVENTS, "max_unreadable": 2}}, "[events] max_unreadable"),
        ({"events": {**EVENTS, "duplicates": "delete"}}, "[events] duplicates"),
        ({"name": "my shop"}, "name"),
        ({"config_version": 2}, "config_version"),
        ({"engine": {"kind": "polars"}}, "[engine] kind"),
    ],
)
def test_a_wrong_value_names_its_place(sections: dict[str, Any], place: str) -> None:
    assert place in refused(**sections)


def test_the_folder_is_not_a_key() -> None:
    assert "unknown key 'folder'" in refused(folder="elsewhere")


def test_a_file_is_loaded_and_paths_start_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "regulars.toml"
    path.write_text('config_version = 1\nname = "shop"\n[events]\nsource = "a.csv"\ncustomer = "c"\ntime = "t"\n')
    config = load_config(path)
    assert config.folder == tmp_path.resolve()
    assert config.output == tmp_path.resolve() / "output"
    assert config.path("a.csv") == tmp_path.resolve() / "a.csv"


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="regulars init YOUR_DATA_FILE"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name = shop", "not valid TOML.*text stands in quotes"),
        (b'name = "caf\xe9"', "byte 11 is not UTF-8; save it as UTF-8"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
    ],
)
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "regulars.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        load_config(path)


def test_a_config_may_begin_with_the_mark_of_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "regulars.toml"
    path.write_text(
        'config_version = 1\nname = "shop"\n[events]\nsource = "a"\ncustomer = "c"\ntime = "t"\n', "utf-8-sig"
    )
    assert load_config(path).name == "shop"


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        (
            "events",
            "kinds",
            "channel",
            r"\[events\] kinds: expected a list in brackets, such as .* \(found 'channel'\)",
        ),
        ("events", "amount", 3, r"\[events\] amount: expected text in quotes \(found 3\)"),
        ("task", "horizon", 90, r"\[task\] horizon: expected a number of days or weeks such as '90d'"),
        ("training", "trials", "many", r"\[training\] trials: expected a whole number \(found 'many'\)"),
        ("training", "trials", "x" * 300, r"found 'x{79}\.\.\.\)"),
        ("serving", "csv", "maybe", r"\[serving\] csv: expected true or false"),
        ("serving", "output", "a\0b", r"'serving.output' has a zero character"),
        ("plan", "actions", {"mail\0": {}}, "has a zero character"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(section: str, key: str, value: object, says: str) -> None:
    events = {"source": "a", "customer": "c", "time": "t"}
    values: dict = {"config_version": 1, "name": "shop", "events": events}
    values[section] = {**values.get(section, {}), key: value}
    with pytest.raises(UsageError, match=says):
        parse_config(values)


def test_a_folder_is_not_a_config(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path)


def test_a_config_survives_its_own_text() -> None:
    config = parsed(task={"horizon": "28d", "windows": ["28d", "84d"]})
    assert parse_config(json.loads(config.model_dump_json())) == config


def test_errors_carry_the_exit_codes_of_the_contract() -> None:
    assert [kind.exit_code for kind in (RefusedError, UsageError, DataError)] == [1, 2, 3]
    assert all(issubclass(kind, RegularsError) for kind in (RefusedError, UsageError, DataError))
