"""The phrases of features in another language: patterns with slots, matched against what the catalog says in English.

A pattern such as 'orders in the last <days> days' stands in `locale/LANGUAGE/phrases.po`; what its slots match is
carried over into the translation. Of several patterns that match a text the one with the most letters of its own is
meant; a text that none matches, such as a phrase of your own features, stays as it is. Fields of readings, such as
`{value:#order}`, are letters like any others: the translation says how its language writes the number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from features.feature import Feature
from features.phrases import plural

SLOT = re.compile(r"<(\w+)>")
NUMBERS = frozenset({"days", "mid", "long", "times", "from", "to"})  # all other slots hold words
NAMED = frozenset({"level", "segment"})  # slots whose words are names that have a translation of their own
MANY = "kinds"  # the slot that holds the plural of `kind`
QUANTITIES = frozenset(  # with one of these, what looks like the name of an activity is a phrase that a user wrote
    "against amount average by days first largest last lines mean money most number of orders per price rank rate "
    "ratio share spend spent sum than total with".split()
)
TIGHT = re.compile(r"(?<=[\u3000-\u9fff]) (?=[\u3000-\u9fff])")  # no space between two Chinese characters
Phrase = Callable[[str], str]


@dataclass(frozen=True)
class Pattern:
    """A phrase with slots, and how another language says it.

    Attributes:
        regex: What it matches: a group for each slot.
        said: The translation, with the same slots.
        letters: How many of its letters are its own.
    """

    regex: re.Pattern[str]
    translation: str
    letters: int


class Phrasebook:
    """Says the phrases and the templates of readings of features in another language.

    Args:
        messages: Translations by pattern.
        name: Says a name that has a translation of its own, such as that of a segment.
    """

    def __init__(self, messages: Mapping[str, str], name: Phrase = str) -> None:
        self._exact = {text: translation for text, translation in messages.items() if not SLOT.search(text)}
        self._patterns = [pattern(text, translation) for text, translation in messages.items() if SLOT.search(text)]
        self._name = name
        self.say = lru_cache(maxsize=8192)(self._say)

    def matching(self, text: str) -> list[str]:
        """The translations, slots unfilled, of the patterns that match a text best: one, or none."""
        if text in self._exact:
            return [self._exact[text]]
        return [matches.translation for matches, _ in self._best(text)]

    def _best(self, text: str) -> list[tuple[Pattern, dict[str, str]]]:
        matched = [(each, slots) for each in self._patterns if (slots := _slots(each.regex, text)) is not None]
        most = max((each.letters for each, _ in matched), default=0)
        return [(each, slots) for each, slots in matched if each.letters == most]

    def _say(self, text: str) -> str:
        if text in self._exact or not (best_matches := self._best(text)):
            return self._exact.get(text, text)
        best, slots = best_matches[0]
        words = {name: self._name(word) if name in NAMED else word for name, word in slots.items()}
        return TIGHT.sub("", SLOT.sub(lambda slot: words[slot[1]], best.translation))


def pattern(text: str, translation: str) -> Pattern:
    """A pattern from its text; a slot that comes again must hold the same.

    >>> phrase = pattern("orders in the last <days> days", "近 <days> 天订单数")
    >>> phrase.regex.fullmatch("orders in the last 30 days")["days"], phrase.letters
    ('30', 24)
    """
    parts, seen = SLOT.split(text), set()
    for place in range(1, len(parts), 2):
        name = parts[place]
        form = r"\d+(?:\.\d+)?" if name in NUMBERS else r"[^{}:]+?"
        parts[place] = f"(?P={name})" if name in seen else f"(?P<{name}>{form})"
        seen.add(name)
    own = parts[::2]
    parts[::2] = [re.escape(part) for part in own]
    return Pattern(re.compile("".join(parts)), translation, sum(map(len, own)))


def singular(nouns: str) -> str:
    """The noun whose plural, by the rule of `features.phrases`, this is.

    >>> singular("orders"), singular("categories"), singular("boxes"), singular("houses"), singular("商品s")
    ('order', 'category', 'box', 'house', '商品')
    """
    if nouns.endswith("ies"):
        return nouns.removesuffix("ies") + "y"
    bare = nouns.removesuffix("es")
    if bare != nouns and bare.endswith(("x", "ch", "sh", "ss", "tus")):
        return bare
    return nouns.removesuffix("s") if plural(nouns.removesuffix("s")) == nouns else nouns


def phrased(features: Sequence[Feature], phrase: Phrase) -> tuple[Feature, ...]:
    """The features with all that is said of them in another language; what a user's own file says stays as it is.

    Args:
        features: Of the catalog.
        phrase: Says a phrase or a template (`Language.phrase`).
    """
    return tuple(
        replace(
            each,
            phrase=phrase(each.phrase),
            reading=phrase(each.reading),
            unread=phrase(each.unread),
            at_zero=phrase(each.at_zero),
        )
        for each in features
    )


def _slots(regex: re.Pattern[str], text: str) -> dict[str, str] | None:
    """What the slots hold where a pattern matches, and names are names; else None."""
    if (match := regex.fullmatch(text)) is None:
        return None
    slots = match.groupdict()
    if MANY in slots:
        slots["kind"] = singular(slots.pop(MANY))
    prose = QUANTITIES & set(slots.get("activity", "").split())
    return None if prose or any("the" in word.split() for word in slots.values()) else slots
