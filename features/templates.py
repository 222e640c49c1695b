"""Texts of features that remember their template and slots, so that they can be translated.

A text with a changing part, such as the number of days, is made by `phrase`. Its value is the English text; a
translation fills the same slots into a template of its own. Fields of readings, such as `{value:#order}`, are no slots:
they stay in the text, and are filled for each customer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from features.phrases import plural

SLOT = re.compile(r"<(\w+)>")


class Phrase(str):
    """An English text that was made from a template; it cannot be changed.

    Args:
        template: The template, such as 'orders in the last <days> days'.
        slots: What fills the slots, by name; all that the template names. `<kinds>` is the English plural of `kind`.
    """

    __slots__ = ("_slots", "_template")
    _slots: dict[str, str]
    _template: str

    def __new__(cls, template: str, slots: Mapping[str, str]) -> Phrase:
        """Fill the slots of the template."""
        words = {**slots, "kinds": plural(slots["kind"])} if "kind" in slots else slots
        text = super().__new__(cls, fill_slots(template, words))
        text._template, text._slots = template, dict(slots)
        return text

    @property
    def template(self) -> str:
        """The template, which is the key of its translations."""
        return self._template

    @property
    def slots(self) -> Mapping[str, str]:
        """What fills the slots, by name."""
        return MappingProxyType(self._slots)

    def __reduce__(self) -> tuple[type[Phrase], tuple[str, dict[str, str]]]:
        """Keep template and slots in copies and on other machines."""
        return Phrase, (self._template, self._slots)


def phrase(template: str, **slots: object) -> Phrase:
    """Make a text from a template; slots that the template does not name are ignored.

    Args:
        template: The template, with slots such as `<days>`.
        slots: What fills the slots, by name.

    Returns:
        The text.

    Raises:
        KeyError: A slot of the template is missing.

    >>> text = phrase("different <kinds> in the last <days> days", kind="category", days=90)
    >>> text, text.template, dict(text.slots)
    ('different categories in the last 90 days', 'different <kinds> in the last <days> days', \
{'kind': 'category', 'days': '90'})
    """
    names = dict.fromkeys("kind" if name == "kinds" else name for name in SLOT.findall(template))
    return Phrase(template, {name: str(slots[name]) for name in names})


def fill_slots(template: str, slots: Mapping[str, str]) -> str:
    """Fill the slots of a template.

    >>> fill_slots("<count> of <kind>", {"count": "2", "kind": "<count>"})
    '2 of <count>'
    """
    return SLOT.sub(lambda slot: slots[slot[1]], template)
