"""Phrases: English texts that keep their template and slots wherever they are sent."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import cloudpickle
import pyarrow as pa
import pytest

from features.templates import Phrase, phrase

TEXT = phrase("different <kinds> of the <activity> in the last <days> days", kind="category", activity="visits", days=9)


def test_a_phrase_is_its_english_text() -> None:
    assert TEXT == "different categories of the visits in the last 9 days"
    assert repr(TEXT) == repr(str(TEXT)) and hash(TEXT) == hash(str(TEXT)) and f"{TEXT}" == str(TEXT)
    assert json.loads(json.dumps({TEXT: TEXT})) == {str(TEXT): str(TEXT)}
    assert pa.array([TEXT], pa.string()).to_pylist() == [str(TEXT)]


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_spark_workers_get_template_and_slots(dumps: Callable[[object], bytes]) -> None:
    check_same(pickle.loads(dumps(TEXT)))  # noqa: S301 (our own bytes)


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy])
def test_copies_keep_template_and_slots(make_copy: Callable[[object], object]) -> None:
    check_same(make_copy(TEXT))


def check_same(sent: object) -> None:
    assert isinstance(sent, Phrase) and sent == TEXT
    assert sent.template == TEXT.template
    assert sent.slots == TEXT.slots == {"kind": "category", "activity": "visits", "days": "9"}


def test_a_phrase_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        TEXT.template = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        TEXT.slots["days"] = "8"  # type: ignore[index]


def test_fields_of_readings_stay_and_slots_inside_them_are_filled() -> None:
    text = phrase("{value:#different <kind>}, {spend_<days>d:money} so far", kind="shop", days=30)
    assert text == "{value:#different shop}, {spend_30d:money} so far"


@pytest.mark.parametrize("name", ["<days>", "<kind>", "{value}", "{", "100%", "%s", "工单", r"\1", "", "a <b> c"])
def test_names_are_filled_in_as_they_are(name: str) -> None:
    text = phrase("<activity>: no <activity> in the last <days> days", activity=name, days=7)
    assert text == f"{name}: no {name} in the last 7 days"


def test_a_missing_slot_is_an_error_and_one_too_many_is_ignored() -> None:
    with pytest.raises(KeyError, match="days"):
        phrase("orders in the last <days> days", kind="shop")
    assert dict(phrase("orders so far", days=7).slots) == {}
