"""What `forget` prints, and when it asks for another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import RefusedError
from serving.privacy.erase import REMOVED_FROM_CACHE
from serving.privacy.forget import ForgottenCustomer
from serving.privacy.text import forget_text, require_complete

NOTHING = ForgottenCustomer("c1", True, (), None, {}, (), (), ())


def test_nothing_is_said_to_be_nothing() -> None:
    text = forget_text(NOTHING)
    assert "no file of the output names the customer" in text and "no model is known" in text
    assert "rows of the customer: none found\n" in text
    require_complete(NOTHING)


def test_every_part_has_its_line() -> None:
    full = replace(
        NOTHING,
        places=(("out/scores", "1 row removed"), ("cache/a", REMOVED_FROM_CACHE), ("cache/b", REMOVED_FROM_CACHE)),
        rows=3,
        source={"events": 1200},
        models=("shop-churn/1",),
        foreign_files=(Path("list.xlsx"),),
        notes=("look twice",),
    )
    text = forget_text(full)
    for line in (
        "out/scores: 1 row removed",
        f"cache: 2 files {REMOVED_FROM_CACHE}",
        "[serving] table: 3 rows removed",
        "list.xlsx: names the customer",
        "  shop-churn/1",
        "1,200 in events; remove them there",
        "note: look twice",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("change", "message"),
    [({"done": False}, "nothing was removed yet"), ({"unopened": (("x.pdf", "is a PDF"),)}, r"1 place\(s\) could not")],
)
def test_what_is_not_complete_exits_with_1(change: dict, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        require_complete(replace(NOTHING, **change))
