"""The segments in the report: sizes, transitions and cards."""

from __future__ import annotations

from collections.abc import Callable

from features.config.load import Config
from tests.report_samples import Tags, read, write_segments


def test_segments_have_sizes_movement_and_cards(scored: Callable[..., Config]) -> None:
    config = scored()
    write_segments(config, ["new", "<script>x</script>"])
    page = Tags(read(config))
    for words in (
        "Left within 90 days of 2023-12-01", "20% of 30", "10% to 30%", "<b>days</b>: 3 against 9",
        "70% of 20 customers stayed in their group", "3 from new to <script>x</script> (30% of the group)",
    ):  # fmt: skip
        assert words in page.text, words
    assert sum("stayed" in (a.get("class") or "") for a in page.named("td")) == 4
    assert len(page.named("script")) == 1
    assert "other data or models" not in page.text


def test_segments_of_other_data_are_told(scored: Callable[..., Config]) -> None:
    config = scored()
    write_segments(config, ["new"], fingerprint="older")
    assert "These segments come from other data or models than the scores" in Tags(read(config)).text


def test_many_groups_stay_under_five_megabytes(scored: Callable[..., Config]) -> None:
    config = scored(n=2000)
    write_segments(config, [f"group {n} " + "of customers " * 5 for n in range(125)])
    assert len(read(config).encode()) < 5_000_000
