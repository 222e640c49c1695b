"""The catalog in Chinese: every text by exactly one pattern, no slot and no number lost, no English left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from string import Formatter

import pytest
from babel.messages.pofile import read_po
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog.families import catalog_features
from features.catalog.reference import FULL_CONTRACT
from features.config.data_contract import ActivityColumns, CustomerAttribute, DataContract
from features.config.sections import TaskConfig
from features.config.segments import SEGMENTS
from features.feature import Feature
from features.phrases import format_reading, plural
from features.task import Task, Window
from serving.language.feature_phrases import SLOT, Phrasebook, phrased
from serving.language.messages import LOCALE, get_language

TR = get_language("zh")
BOOK = TR._phrases
OWN = replace(  # names of a user's own, some in Chinese, with all that looks like the catalog's words
    FULL_CONTRACT,
    kinds=("stock_code", "商品", "status", "favourite_store", "order"),
    activities=(ActivityColumns("store_visits", "time_on_site", ("landing_page",)), ActivityColumns("工单", "评分")),
    attributes=(
        CustomerAttribute("last_login", "date"),
        CustomerAttribute("membership_level", "level"),
        CustomerAttribute("number_of_children", "number"),
        CustomerAttribute("城市", "level"),
    ),
    windows_beyond_log=(365,),
)
NAMES = "category visits minutes page plan age birthday stock code status favourite store order landing time on site"
NAMES += " last login membership level number of children UTC RFM BG NBD contacts events kinds"
WORDS = frozenset(NAMES.split())
FORMS = {"", "count", "share", "money", "number", "plain", "level"}
CONTRACTUAL = Task(Window(30), TaskConfig().to_task().cohort, Window(30), (Window(14), Window(60)), "cancelled")
# Phrases beside the catalog: by plans, by the list of what segments lack, by an evaluation.
OTHERS = [
    "no action is open to them",
    "contacted in the last day",
    "contacted in the last 14 days",
    "more than 1 contact in the last day",
    "more than 1 contact in the last 30 days",
    "more than 2 contacts in the last day",
    "more than 2 contacts in the last 30 days",
    "RFM: the log has no orders, only terms of contracts",
    "money in RFM: the log has no amounts",
    "value: there is no money to foresee",
    "growing and declining by pace: the log has no orders",
    "micro-segments: too few customers, or nothing that differs between them",
    "preferences, lives of kinds and pairs: [events] names no kinds",
    "channels: there is no [contacts] table",
    "movement: the log is too short for an earlier cutoff",
    "movement of tier and segment: no earlier cutoff is scored",
    "the window 365d: the log is shorter than that, 180d stands for it",
    "the window 365d: the log is shorter than that, all the past stands for it",
    "lifecycle: slipping",
    "capacity of mail",
    *(f"minimum share of {name!r}" for name in SEGMENTS),
]


def catalogs() -> Iterator[Feature]:
    """Every feature of contracts and tasks of all sorts."""
    usual, short = (
        TaskConfig().to_task(),
        Task(Window(30), TaskConfig().to_task().cohort, Window(30), (Window(7), Window(28))),
    )
    for task, contract in (
        (usual, FULL_CONTRACT),
        (short, OWN),
        (usual, OWN),
        (usual, DataContract(has_amount=False)),
        (CONTRACTUAL, OWN),
        (CONTRACTUAL, replace(FULL_CONTRACT, only_subscriptions=True)),
    ):
        yield from catalog_features(task, contract)


FEATURES = list(catalogs())
TEXTS = sorted({text for f in FEATURES for text in (f.phrase, f.reading, f.unread, f.at_zero) if text})
OWN_PHRASES = {
    f.phrase for f in FEATURES if f.phrase in ("age", "plan", "membership level", "number of children", "城市")
}


def fields(template: str) -> list[tuple[str, str]]:
    return [(name, spec or "") for _, name, spec, _ in Formatter().parse(template) if name is not None]


def bare(template: str) -> str:
    """A template without its fields."""
    return "".join(literal for literal, *_ in Formatter().parse(template))


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d,]*(?:\.\d+)?%?", text))


def entries() -> dict[str, str]:
    with (LOCALE / "zh" / "phrases.po").open("rb") as file:
        return {message.id: str(message.string) for message in read_po(file) if message.id}


def test_each_text_of_a_catalog_is_matched_by_exactly_one_pattern() -> None:
    counts = {text: len(BOOK.matching(text)) for text in (*TEXTS, *OTHERS) if text not in OWN_PHRASES}
    assert {text: count for text, count in counts.items() if count != 1} == {}


def test_every_pattern_matches_something() -> None:
    matched = {match for text in (*TEXTS, *OTHERS) for match in BOOK.matching(text)}
    assert {text for text, translation in entries().items() if translation not in matched} == set()


def test_nothing_is_left_in_english_but_the_names_of_the_user() -> None:
    for text in (*TEXTS, *OTHERS):
        translation = TR.phrase(text)
        left = set(re.findall(r"[A-Za-z]{2,}", bare(translation))) - WORDS - {"mail"}
        assert not left, (text, translation)
        assert text in OWN_PHRASES or re.search(r"[：\u4e00-\u9fff]", translation), text


def test_numbers_are_written_in_forms_that_chinese_can_read() -> None:
    for text in TEXTS:
        for name, spec in fields(TR.phrase(text)):
            *signs, size = spec.split("|") if "=" not in spec else [""]
            assert size in FORMS and len(signs) in (0, 2), (text, name, spec)
            assert all("*" in sign and not re.search("[A-Za-z]", sign) for sign in signs), (text, spec)


def test_patterns_keep_their_slots_their_fields_and_their_numbers() -> None:
    for text, translation in entries().items():
        wanted = {name.replace("kinds", "kind") for name in SLOT.findall(text)}
        assert {*SLOT.findall(translation)} == wanted, text
        assert {name for name, _ in fields(translation)} == {name for name, _ in fields(text)}, text
        assert numbers(bare(translation)) == numbers(bare(text)), text


def test_what_is_translated_already_stays_as_it_is() -> None:
    for text in TEXTS:
        assert TR.phrase(TR.phrase(text)) == TR.phrase(text)


def test_english_is_the_catalog_to_the_letter() -> None:
    features = catalog_features(TaskConfig().to_task(), FULL_CONTRACT)
    assert phrased(features, get_language("en").phrase) == tuple(features)


@pytest.mark.parametrize(
    "phrase",
    [
        "baskets of tea bought with a friend",
        "average tea basket in the last 90 days",
        "share of visits so far",
        "days since the last order above 50",
        "=1+1 {not a template",
        "",
    ],
)
def test_a_phrase_of_your_own_stays_as_you_wrote_it(phrase: str) -> None:
    assert TR.phrase(phrase) == phrase


def test_a_marketer_reads_how_marketers_write() -> None:
    row = {"recency_days": 32.0, "gap_mean_days": 12.3, "overdue_ratio": 2.6, "lifecycle": "slipping"}
    row |= {"orders_change_90d": -2.0, "amount_change_90d": 1234.5, "next_order_due_days": -20.0}
    readings = {
        f.name: f.format_reading(row) for f in phrased(FEATURES, TR.phrase) if f.name in row and f.unit != "days"
    }
    assert readings == {
        "overdue_ratio": "距上次下单 32 天（平时约 12 天一次）",
        "lifecycle": "下滑",
        "orders_change_90d": "近 90 天订单比此前 90 天少 2 笔",
        "amount_change_90d": "近 90 天消费比此前 90 天多 1,234.50",
    }


VALUES = st.one_of(st.floats(-5000, 5000).map(lambda x: round(x, 3)), st.sampled_from([0.0, 1.0, -1.0, 2.0]))


@settings(max_examples=40, deadline=None)
@given(value=VALUES, other=VALUES, level=st.sampled_from(["new", "active", "slipping", "dormant"]))
def test_readings_in_chinese_say_the_same_numbers(value: float, other: float, level: str) -> None:
    for feature, translated in PAIRS:
        level_or_value = level if feature.unit == "level" else value
        row = _Row(level_or_value, feature.name, other)
        english, chinese = feature.format_reading(row), translated.format_reading(row)
        assert numbers(english) == numbers(chinese), (english, chinese)


class _Row(dict[str, object]):
    """A row in which a feature has its value, and every other one another."""

    def __init__(self, value: object, name: str, other: float) -> None:
        super().__init__({name: value})
        self.other = other

    def __missing__(self, name: str) -> float:
        return self.other


PAIRS = list(zip(FEATURES[::3], phrased(FEATURES[::3], TR.phrase), strict=True))
WORD = st.text(st.characters(categories=["L"]), min_size=1, max_size=9).map(str.lower)
NAME = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


@settings(deadline=None)
@given(kind=NAME, activity=NAME, measure=NAME, days=st.integers(2, 3000))
def test_no_slot_is_lost(kind: str, activity: str, measure: str, days: int) -> None:
    assert tight(TR.phrase(f"favourite {kind} so far")) == tight(f"累计最常购买的{kind}")
    many = TR.phrase(f"different {plural(kind)} in the last {days} days")
    chinese_kind = re.fullmatch(rf"近 {days} 天购买的不同(.+)数", tight(many, f"近 {days} 天"))
    assert chinese_kind and plural(chinese_kind[1]) == tight(plural(kind)), many
    total = TR.phrase(f"sum of the {measure} of the {activity} in the last {days} days")
    assert all(tight(word) in tight(total) for word in (measure, activity, str(days))), total


def tight(text: str, start: str = "") -> str:
    """A text without spaces after its start."""
    return start + text.removeprefix(start).replace(" ", "")


def test_of_two_patterns_the_one_with_more_letters_of_its_own_is_meant() -> None:
    messages: Mapping[str, str] = {"<activity> so far": "A <activity>", "orders of <kind> so far": "B <kind>"}
    book = Phrasebook(messages)
    assert [book.say(text) for text in ("visits so far", "orders of tea so far", "share of tea so far")] == [
        "A visits",
        "B tea",
        "share of tea so far",
    ]
    assert format_reading(2.0, {}, "{value:up *|down *|count} since") == "up 2 since"
