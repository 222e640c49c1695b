"""Every message of serving has a translation with the same slots in every language, and no translation is unused."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from features.config.rfm_rules import RULES
from features.config.segments import LIFECYCLE_STAGES, SEGMENTS, TIERS
from serving.language.messages import LOCALE, get_language

ROOM = LOCALE.parents[1]
GUESS = ROOM.parent / "features" / "config_guess"  # whose comments are translated too
GRADE = ROOM.parent / "training" / "evaluation" / "grade.py"
KEYWORDS = {"tr": None, "N_": None, "many": (1, 2)}
OTHERS = sorted(place.name for place in LOCALE.iterdir() if place.is_dir())
LIFECYCLE = ("new", "active", "slipping", "dormant")  # of `features.catalog.lifecycle`
OF_A_COLUMN = ("measured", "observational", "new within a horizon", "established", "unknown")
NAMES = {
    *LIFECYCLE_STAGES,
    *TIERS,
    *SEGMENTS,
    *RULES,
    *LIFECYCLE,
    *OF_A_COLUMN,
}  # values of table columns, not in the code


def extracted() -> dict[str, str]:
    """Every message of the code and templates of serving and of the guessed config, with the place of its first use."""
    messages: dict[str, str] = {}
    python = [*sorted(ROOM.rglob("**/*.py")), *sorted(GUESS.glob("*.py")), GRADE]
    templates = sorted(ROOM.rglob("*/templates/**/*.j2"))
    for path in [*python, *templates]:
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        for line, message_ids, *_ in extract_from_file(method, path, keywords=KEYWORDS):
            for message in [message_ids] if isinstance(message_ids, str) else message_ids:
                messages.setdefault(message, f"{path.relative_to(ROOM.parent)}:{line}")
    return messages


def slots(message: str) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(message) if name})


def translations(code: str, skip: tuple[str, ...] = ()) -> dict[str, tuple[str, Path]]:
    messages: dict[str, tuple[str, Path]] = {}
    for path in sorted((LOCALE / code).glob("*.po")):
        if path.name in skip:
            continue
        with path.open("rb") as file:
            for message in read_po(file, locale=code):
                if message.id:
                    messages[message.id] = (message.string, path)
    return messages


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_with_the_same_slots(code: str) -> None:
    known = translations(code, skip=("phrases.po",))
    missing = {message: where for message, where in extracted().items() if not known.get(message, ("",))[0]}
    assert not missing, "\n".join(f"{where}: {message!r}" for message, where in missing.items())
    for message in extracted():
        assert slots(known[message][0]) == slots(message), message


@pytest.mark.parametrize("code", OTHERS)
def test_no_translation_is_unused(code: str) -> None:
    used = extracted().keys() | NAMES
    left = {message for message in translations(code, skip=("phrases.po", "common.po")) if message not in used}
    assert not left, sorted(left)


@pytest.mark.parametrize("code", OTHERS)
def test_every_name_of_a_column_is_translated(code: str) -> None:
    tr = get_language(code)
    assert {name for name in NAMES if tr(name) == name} == set()


def test_a_message_without_a_translation_stays_in_english() -> None:
    assert get_language("zh")("no such message, {n}", n=3) == "no such message, 3"


def test_chinese_is_chinese() -> None:
    for message, (translation, _) in translations("zh", skip=("phrases.po",)).items():
        assert re.search(r"[\u4e00-\u9fff]", translation) or not re.search(
            r"[A-Za-z]{3}", re.sub(r"\{.*?\}", "", translation)
        ), message
