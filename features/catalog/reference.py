"""The catalog as a page for people: every feature of a full contract, one line for all its windows.

python -m features.catalog.reference docs/features.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from features.atomic_files import write_text_atomically
from features.catalog.families import catalog_features
from features.config.data_contract import ActivityColumns, CustomerAttribute, DataContract
from features.config.sections import TaskConfig
from features.feature import Feature
from features.task import Window

FULL_CONTRACT = DataContract(
    kinds=("category",),
    has_quantity=True,
    has_discount=True,
    activities=(ActivityColumns("visits", "minutes", ("page",)),),
    attributes=(
        CustomerAttribute("plan", "level", constant=True),
        CustomerAttribute("age", "number", constant=True),
        CustomerAttribute("birthday", "date", constant=True),
    ),
    has_since=True,
    has_contacts=True,
    has_cost=True,
    has_control=True,
    has_subscriptions=True,
    has_end=True,
    has_price=True,
)
INTRODUCTION = """\
# The features

Every column that `regulars build` makes of a full contract with the default windows ({windows}): {count}
of them, from one kind (`category`), one activity (`visits`, with the measure `minutes` and the kind `page`), contacts,
subscriptions and three attributes. More kinds and activities bring
more; a log without a column has none of the features made of it.

`W` stands for each window, `V` and `U` for the next longer ones. *Window* is the longest that a feature looks at, of
all that there are of it (`each`: every window; empty: the whole past). *Null* says when a value is null (empty: never):
sums and counts over nothing are 0, means, extremes and ages are null. *Acts* marks what a business can move. This page
is written by `python -m features.catalog.reference docs/features.md`; a test keeps it true.
"""


def features_page() -> str:
    """The page: a table a family, in the order of the catalog."""
    task = TaskConfig().to_task()
    features = catalog_features(task, FULL_CONTRACT)
    lines = [INTRODUCTION.format(windows=", ".join(map(str, task.windows)), count=len(features))]
    families: dict[str, dict[str, list[Feature]]] = {}
    for feature in features:
        name = _general(feature.name, feature, task.windows)
        families.setdefault(feature.family, {}).setdefault(name, []).append(feature)
    for family, members in families.items():
        lines += [f"\n## {family[:1].upper() + family[1:]}\n", "| column | what it is | window | unit | null | acts |"]
        lines += ["|---|---|---|---|---|---|", *(_row(alike, task.windows) for alike in members.values())]
    return "\n".join(lines) + "\n"


def _row(alike: Sequence[Feature], windows: Sequence[Window]) -> str:
    """One line for features that differ in their windows only."""
    first, seen = alike[0], [feature.window for feature in alike if feature.window]
    name, phrase, null = (_general(text, first, windows) for text in _texts(first))
    over = "each" if seen == list(windows) else ", ".join(map(str, seen))
    return f"| `{name}` | {phrase} | {over} | {first.unit} | {null} | {'yes' if first.actionable else ''} |"


def _texts(feature: Feature) -> tuple[str, str, str]:
    return feature.name, feature.phrase, feature.unread


def _general(text: str, feature: Feature, windows: Sequence[Window]) -> str:
    """A text with the feature's window as W, and a longer one that it names as V.

    >>> w = Window(30)
    >>> _general("orders in the last 30 days", Feature("x_30d", lambda m: m.x, "f", "p", "r", "count", w), [w])
    'orders in the last W days'
    """
    named = [w for w in windows if f"_{w}" in feature.name]
    for letter, w in zip("WVU", named, strict=False):
        text = text.replace(f"_{w}", f"_{letter}").replace(f"{w.days} days", f"{letter} days")
        text = text.replace(f"the last {w.days}", f"the last {letter}")
    return text


if __name__ == "__main__":
    write_text_atomically(Path(sys.argv[1]), features_page())
