"""Invalid spans, and the panes that overlapping spans are cut into."""

from __future__ import annotations

import pytest

from features.engines.window_spec import EVER, Span, WindowSpec


@pytest.mark.parametrize(("start", "end"), [(-1, 7), (7, 7), (30, 7)])
def test_an_empty_span_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="a span runs from"):
        Span("wrong", start, end)


def test_panes_do_not_overlap_and_lie_in_a_span() -> None:
    spans = (Span("window", 0, 7), Span("middle", 3, 10), Span("old", 20, 30))
    assert WindowSpec((), spans, ()).panes == [(0, 3), (3, 7), (7, 10), (20, 30)]


def test_a_span_without_end_contains_the_last_pane() -> None:
    plan = WindowSpec((), (Span("window", 0, 7), EVER), ())
    assert [[span.holds(pane) for pane in plan.panes] for span in plan.spans] == [[True, False], [True, True]]
