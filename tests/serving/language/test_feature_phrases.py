"""The catalog in Chinese: a translation of every template, no slot and no number lost, no English left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from string import Formatter

import pytest
from babel.messages.pofile import read_po
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog.families import catalog_features
from features.catalog.reference import FULL_CONTRACT
from features.config.data_contract import ActivityColumns, CustomerAttribute, DataContract
from features.config.load import parse_config
from features.config.sections import TaskConfig
from features.feature import Feature
from features.task import Task, Window
from features.templates import SLOT, Phrase, phrase
from serving.language.feature_phrases import translate_drivers, translate_features
from serving.language.messages import LOCALE, get_language
from serving.planning.cutoff_holdout import HELD_OUT_ELSEWHERE
from serving.planning.eligibility import (
    NO_ACTION,
    OTHER_GROUPS,
    frequent_contacts_reason,
    no_consent_reason,
    recent_contact_reason,
    same_action_reason,
)
from serving.planning.pilot import NOT_DRAWN

TR = get_language("zh")
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
# Texts beside the catalog: why a plan leaves customers out.
REASONS = [
    NO_ACTION,
    OTHER_GROUPS,
    HELD_OUT_ELSEWHERE,
    NOT_DRAWN,
    *(recent_contact_reason(days) for days in (1, 14)),
    *(frequent_contacts_reason(most, days) for most in (1, 2) for days in (1, 30)),
    no_consent_reason("同意"),
    *(same_action_reason(days) for days in (1, 30)),
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
ALL_TEXTS = [text for f in FEATURES for text in (f.phrase, f.reading, f.unread, f.at_zero) if text] + REASONS
TEXTS = sorted(set(ALL_TEXTS))
NAMES_ALONE = "<attribute>"  # the template of a text that is only a name of the user's


def fields(template: str) -> list[tuple[str, str]]:
    return [(name, spec or "") for _, name, spec, _ in Formatter().parse(template) if name is not None]


def bare(template: str) -> str:
    """A template without its fields."""
    return "".join(literal for literal, *_ in Formatter().parse(template))


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d(?:[\d,]*\d)?(?:\.\d+)?%?", text))


def entries() -> dict[str, str]:
    with (LOCALE / "zh" / "phrases.po").open("rb") as file:
        return {message.id: str(message.string) for message in read_po(file) if message.id}


def template_of(text: str) -> str:
    return text.template if isinstance(text, Phrase) else text


def test_the_templates_of_all_texts_are_those_with_a_translation() -> None:
    assert {template_of(text) for text in ALL_TEXTS} == entries().keys()


def test_no_number_or_name_is_in_a_text_without_a_slot() -> None:
    own = {*OWN.kinds, "store visits", "time on site", "工单", "评分", "城市", "last login", "number of children"}
    for text in TEXTS:
        template = template_of(text)
        assert not any(name in template for name in own - {"order", "status"}), text
        assert not re.search(r"(last|next|the) \d+", template), text


def test_texts_are_translated_with_their_slots() -> None:
    for text in TEXTS:
        if isinstance(text, Phrase):
            tight_chinese = TR.phrase(text).replace(" ", "")
            assert all(word.replace(" ", "") in tight_chinese for word in text.slots.values()), text


def test_nothing_is_left_in_english_but_the_names_of_the_user() -> None:
    for text in TEXTS:
        translation = TR.phrase(text)
        left = set(re.findall(r"[A-Za-z]{2,}", bare(translation))) - WORDS
        assert not left, (text, translation)
        assert template_of(text) == NAMES_ALONE or re.search(r"[：\u4e00-\u9fff]", translation), text


def test_numbers_are_written_in_forms_that_chinese_can_read() -> None:
    for text in TEXTS:
        for name, spec in fields(TR.phrase(text)):
            *signs, size = spec.split("|") if "=" not in spec else [""]
            unit, pivot = size.partition("?")[::2]
            assert unit in FORMS and len(signs) in (0, 2, 3), (text, name, spec)
            assert all(("*" in sign) == bool(unit) and not re.search("[A-Za-z]", sign) for sign in signs), (text, spec)
            assert not pivot or any(each.endswith(f"?{pivot}") for _, each in fields(text)), (text, spec)


def test_translations_keep_slots_fields_and_numbers() -> None:
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
    assert translate_features(features, get_language("en")) == tuple(features)


def test_hours_name_the_zone_of_the_business() -> None:
    task = replace(TaskConfig().to_task(), timezone="Asia/Shanghai")
    hours = [feature for feature in catalog_features(task, FULL_CONTRACT) if feature.name == "evening_share_ever"]
    (english,), (chinese,) = hours, translate_features(hours, TR)
    assert english.phrase == "share of orders in the evening (18 to 24 o'clock Asia/Shanghai)"
    assert chinese.phrase == "晚间订单占比（Asia/Shanghai 18 至 24 点）"


@pytest.mark.parametrize(
    "text",
    [
        "baskets of tea bought with a friend",
        "average tea basket in the last 90 days",
        "share of visits so far",
        "days since the last order above 50",
        "=1+1 {not a template",
        "",
    ],
)
def test_a_phrase_of_your_own_stays_as_you_wrote_it(text: str) -> None:
    assert TR.phrase(text) == text


def test_a_marketer_reads_how_marketers_write() -> None:
    row = {"recency_days": 32.0, "gap_mean_days": 12.3, "overdue_ratio": 2.6, "lifecycle": "slipping"}
    row |= {"orders_change_90d": -2.0, "amount_change_90d": 1234.5, "next_order_due_days": -20.0}
    readings = {
        f.name: f.format_reading(row) for f in translate_features(FEATURES, TR) if f.name in row and f.unit != "days"
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


PAIRS = list(zip(FEATURES[::3], translate_features(FEATURES[::3], TR), strict=True))
NAME = st.text(min_size=1, max_size=9) | st.sampled_from(
    ["<days>", "<kind>", "{value}", "{", "100%", "%s", r"\1", "商品"]
)


@settings(deadline=None)
@given(kind=NAME, activity=NAME, measure=NAME, days=st.integers(1, 3000))
def test_names_of_the_user_are_filled_in_as_they_are(kind: str, activity: str, measure: str, days: int) -> None:
    slots = {"kind": kind, "activity": activity, "measure": measure, "days": days}
    favourite = TR.phrase(phrase("favourite <kind> so far", **slots))
    assert tight(favourite) == tight(f"累计最常购买的 {kind}")
    different = TR.phrase(phrase("different <kinds> in the last <days> days", **slots))
    assert tight(different) == tight(f"近 {days} 天购买的不同 {kind} 数")
    total = TR.phrase(phrase("sum of the <measure> of the <activity> in the last <days> days", **slots))
    assert tight(total) == tight(f"近 {days} 天 {activity} 的 {measure} 合计")


def tight(text: str) -> str:
    """A text without spaces."""
    return text.replace(" ", "")


def test_there_is_no_space_between_two_chinese_characters() -> None:
    assert TR.phrase(phrase("favourite <kind> so far", kind="商品")) == "累计最常购买的商品"
    assert TR.phrase(phrase("favourite <kind> so far", kind="category")) == "累计最常购买的 category"


def test_drivers_are_translated_by_name_and_english_phrase() -> None:
    section = {"source": "x.parquet", "customer": "id", "time": "t", "amount": "price", "kinds": ["StockCode"]}
    customers = {"source": "c.parquet", "customer": "id", "attributes": ["city", "LastLogin"]}
    config = parse_config({"config_version": 1, "name": "shop", "events": section, "customers": customers})
    phrases = {
        "orders_count_90d": ("orders in the last 90 days", "近 90 天订单数"),
        "orders_count_30d": ("baskets with tea", "baskets with tea"),  # of another catalog
        "tea_count": ("orders in the last 90 days", "orders in the last 90 days"),  # of the user's own
        "stock_code_distinct_ever": ("different stock codes so far", "累计购买的不同 stock code 数"),
        "last_login": ("days since last login", "距 last login 天数"),
        "city": ("city", "city"),
        "recency_days": ("days since the last order", "距上次下单天数"),
    }
    drivers = {"churn": [{"feature": name, "phrase": english} for name, (english, _) in phrases.items()]}
    chinese = [{"feature": name, "phrase": translation} for name, (_, translation) in phrases.items()]
    assert translate_drivers(drivers, config, TR) == {"churn": chinese}
    assert translate_drivers(drivers, config, get_language("en")) == drivers
