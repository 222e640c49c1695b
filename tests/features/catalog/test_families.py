"""Every feature has one name, a phrase, and a reading that fills from a row, or says that there is nothing to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Formatter

import pytest

from features.catalog.families import catalog_features
from features.config.data_contract import ActivityColumns, DataContract
from features.errors import UsageError
from features.feature import Feature
from features.phrases import OPTIONAL, fill_template, format_number
from features.task import Task

Make = Callable[..., Task]
EVERYTHING = DataContract(
    ("country", "stock_code"),
    has_quantity=True,
    activities=(ActivityColumns("visits", "minutes", ("page", "store_id")), ActivityColumns("service_tickets")),
    has_contacts=True,
    has_cost=True,
    has_control=True,
    has_subscriptions=True,
    has_end=True,
    has_price=True,
)


@pytest.fixture(params=[True, False], ids=["with everything", "with the least"])
def features(request: pytest.FixtureRequest, make_task: Make) -> tuple[Feature, ...]:
    task = make_task(90, windows=(30, 90, 180, 365))
    if request.param:
        return catalog_features(task, EVERYTHING)
    return catalog_features(task, DataContract(has_amount=False, has_clock=False))


def test_a_full_log_has_at_least_120_features_and_an_ordinary_one_80(make_task: Make) -> None:
    full = DataContract(has_quantity=True, has_discount=True)
    assert len(catalog_features(make_task(90, windows=(30, 90, 180, 365)), full)) >= 120
    assert len(catalog_features(make_task(28, windows=(28, 84, 168)), DataContract())) >= 80


def test_names_are_unique_and_read_like_columns(features: tuple[Feature, ...]) -> None:
    names = [feature.name for feature in features]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


@pytest.mark.parametrize(
    ("contract", "sections"),
    [
        (DataContract(activities=(ActivityColumns("orders"),)), r"\[events\] and \[activities.orders\]"),
        (DataContract(("contacts",), activities=(ActivityColumns("contacts"),), has_contacts=True), r".*\[contacts\]"),
        (
            DataContract(activities=(ActivityColumns("a", "", ("b_c",)), ActivityColumns("a_b", "", ("c",)))),
            r"\[activities.a\] and \[activities.a_b\]",
        ),
        (
            DataContract(activities=(ActivityColumns("a", "", ("what", "what")),)),
            r"\[activities.a\] and \[activities.a\]",
        ),
    ],
)
def test_features_of_the_same_name_are_refused_with_both_sections(
    contract: DataContract, sections: str, make_task: Make
) -> None:
    with pytest.raises(UsageError, match=sections + r" would both give a feature '\w+' \('.+' and '.+'\); rename"):
        catalog_features(make_task(), contract)


def test_names_of_activities_and_measures_do_not_get_in_each_other_s_way(make_task: Make) -> None:
    """`gap_last`, `recency` and the like are measures of orders, and no features."""
    names = ("gap", "recency", "tenure", "spend", "side", "side0", "contacts_answers")
    catalog_features(make_task(), DataContract(activities=tuple(ActivityColumns(name, "last") for name in names)))


def test_a_log_without_money_or_clock_has_no_feature_of_them(make_task: Make) -> None:
    bare = catalog_features(make_task(), DataContract(has_amount=False, has_clock=False))
    words = "amount|spend|price|refund|discount|quantity|hour|morning"
    assert not [feature.name for feature in bare if re.search(words, feature.name)]
    assert {feature.unit for feature in bare}.isdisjoint({"money"})


def test_windowed_features_end_in_their_window(features: tuple[Feature, ...]) -> None:
    for feature in features:
        if feature.window and "year_ago" not in feature.name:
            assert feature.name.endswith(f"_{feature.window}")
            assert str(feature.window.days) in feature.phrase


@pytest.mark.parametrize("number", [1.0, 2.0, 0.25, 1234567.891])
def test_every_reading_fills_from_a_row(number: float, features: tuple[Feature, ...]) -> None:
    row = {feature.name: f"level {number}" if feature.unit == "level" else number for feature in features}
    for feature in features:
        text = feature.format_reading(row)
        assert text not in ("", feature.unread)
        assert not re.search(r"[{}]|nan|None", text), text
        assert re.search(r"\d", text), text


def test_a_level_is_read_as_it_is(features: tuple[Feature, ...]) -> None:
    for feature in (feature for feature in features if feature.unit == "level"):
        assert "gold {x}" in feature.format_reading({feature.name: "gold {x}"})


def test_zero_is_a_reading_and_not_a_null(features: tuple[Feature, ...]) -> None:
    row = dict.fromkeys((feature.name for feature in features), 0.0)
    for feature in (feature for feature in features if feature.unit != "level"):
        expected = fill_template(feature.at_zero or feature.reading, 0.0, row)
        assert feature.format_reading(row) == expected != ""


def test_a_reading_needs_no_statistics(features: tuple[Feature, ...]) -> None:
    """No ratio, entropy, rank or count that fades: the customer's plain figures, and words that compare them."""
    jargon = re.compile(
        r"rank|entropy|deviation|spread by|counting half|times the (pace|usual)|pointed|concentrated as"
    )
    row = {feature.name: f"level {feature.name}" if feature.unit == "level" else 0.4 for feature in features}
    for feature in features:
        assert not jargon.search(feature.phrase), feature.phrase
        assert not jargon.search(feature.format_reading(row)), feature.name
        if feature.unit == "ratio":
            assert not re.search(r"{value:\w+}(?! of its price)", feature.reading), feature.name


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("recency_days", {"recency_days": 60.0, "gap_mean_days": 4.0}, "last order 60 days ago, usually every 4 days"),
        ("recency_days", {"recency_days": 60.0, "gap_mean_days": None}, "last order 60 days ago"),
        (
            "tenure_days",
            {"tenure_days": 356.0, "tenure_rank": 0.62},
            "customer for 356 days, longer than 62% of customers",
        ),
        ("orders_count_ever", {"orders_count_ever": 16.0, "orders_rate_ever": 1.34}, "16 orders so far, 1.3 a month"),
        (
            "order_amount_mean_ever",
            {"order_amount_mean_ever": 9.5, "order_size_rank": 0.1},
            "an average order of 9.50, only 10% of customers have a smaller one",
        ),
        (
            "orders_fading_90d",
            {"orders_fading_90d": 0.1, "orders_count_90d": 0.0, "orders_count_ever": 12.0},
            "0 orders in the last 90 days, 12 so far",
        ),
        (
            "orders_count_90d",
            {"orders_count_90d": 0.0, "orders_rate_ever": 2.5},
            "no order in the last 90 days, usually 2.5 a month",
        ),
        ("orders_rank_365d", {"orders_rank_365d": 0.92}, "more orders in the last 365 days than 92% of customers"),
        ("orders_rank_365d", {"orders_rank_365d": 0.08}, "only 8% of customers had fewer orders in the last 365 days"),
        (
            "orders_trend_30d_90d",
            {"orders_trend_30d_90d": 0.5, "orders_count_30d": 1.0, "orders_count_90d": 6.0},
            "ordering less often than before: 1 in the last 30 days, 6 in the last 90",
        ),
        (
            "orders_acceleration_30d_90d_180d",
            {"orders_acceleration_30d_90d_180d": -1.0, "orders_count_30d": 1.0, "orders_count_90d": 6.0}
            | {"orders_count_180d": 9.0},
            "fewer orders lately than the trend suggests: 1 in the last 30 days, 6 in the last 90, 9 in the last 180",
        ),
    ],
)
def test_a_reading_names_the_customer_s_own_usual_or_the_others(
    name: str, row: dict[str, float | None], text: str, make_task: Make
) -> None:
    by_name = {
        feature.name: feature for feature in catalog_features(make_task(90, windows=(30, 90, 180, 365)), EVERYTHING)
    }
    assert by_name[name].format_reading(row) == text


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_null_is_said_in_words(nothing: float | None, features: tuple[Feature, ...]) -> None:
    row = dict.fromkeys((feature.name for feature in features), nothing)
    for feature in (feature for feature in features if feature.unread):
        assert feature.format_reading(row) == feature.unread
        assert not re.search(r"[{}]", feature.unread)


def test_a_feature_that_is_never_null_reads_without_those_that_may_be(features: tuple[Feature, ...]) -> None:
    never = {feature.name for feature in features if not feature.unread}
    assert {"recency_days", "orders_count_30d"} <= never
    for feature in (feature for feature in features if feature.name in never):
        required = OPTIONAL.sub("", feature.reading)
        assert {name for _, name, _, _ in Formatter().parse(required) if name} - {"value"} <= never


def test_readings_name_only_features_of_the_same_log(features: tuple[Feature, ...]) -> None:
    names = {feature.name for feature in features} | {"value"}
    for feature in features:
        assert {name for _, name, _, _ in Formatter().parse(feature.reading) if name} <= names


def test_phrases_tell_features_apart(features: tuple[Feature, ...]) -> None:
    phrases = [feature.phrase for feature in features]
    assert sorted({phrase for phrase in phrases if phrases.count(phrase) > 1}) == []
    assert all(phrase == phrase.strip() and phrase and "{" not in phrase for phrase in phrases)


def test_units_and_families_are_known_words(features: tuple[Feature, ...]) -> None:
    assert {feature.unit for feature in features} <= {"orders", "days", "money", "share", "ratio", "count", "level"}
    assert all(feature.family == feature.family.strip() != "" for feature in features)
    assert len({feature.family for feature in features}) < len(features) / 2  # families hold several features


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (1, "days", "1 day"),
        (0, "days", "0 days"),
        (1.4, "days", "1 day"),
        (1.6, "days", "2 days"),
        (1, "#order", "1 order"),
        (1200, "#order", "1,200 orders"),
        (0, "#refund", "0 refunds"),
        (-1234.5, "money", "-1,234.50"),
        (0.005, "share", "0%"),
        (1, "share", "100%"),
        (3, "count", "3"),
        (2.25, "number", "2.2"),
        (-1, "more|fewer|#order", "1 order fewer"),
        (3, "more|fewer|#order", "3 orders more"),
        (-2.5, "more|less|money", "2.50 less"),
        (0, "above|below|number", "0.0 above"),
    ],
)
def test_numbers_in_words(number: float, unit: str, text: str) -> None:
    assert format_number(number, unit) == text


def test_a_reading_may_name_other_features() -> None:
    template = "last order {value:days} ago, usually every {gap_mean_days:days}"
    assert fill_template(template, 74.0, {"gap_mean_days": 12.2}) == "last order 74 days ago, usually every 12 days"
    assert fill_template(template, 74.0, {"gap_mean_days": None}) == ""
