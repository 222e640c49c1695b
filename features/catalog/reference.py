"""Writes docs/features.md: every feature of a full contract, one line for all its windows.

python -m features.catalog.reference docs/features.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from features.catalog.families import catalog_features
from features.config.data_contract import ActivityColumns, CustomerAttribute, DataContract
from features.config.sections import TaskConfig
from features.feature import Feature
from features.storage.atomic_files import write_text_atomically
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

All {count} features that `regulars build` computes if the log has every column, with the default windows ({windows}).
The example has one kind (`category`), one activity (`visits`, with the measure `minutes` and the kind `page`),
contacts, subscriptions and three customer attributes. More kinds and activities add more features; without a column,
the features computed from it are missing.

`W` stands for each window, `V` and `U` for the next longer ones. *Window* lists the longest window of each feature on
the line (`each`: one feature for every window; empty: the whole past). *Null* says when a value is null (empty: never):
sums and counts over no rows are 0; means, extremes and ages are null. *Acts* marks features that a business can
influence. *In italics*: the exact formula, where the phrase gives only the idea.
`python -m features.catalog.reference docs/features.md` writes this page, and a test checks that it is up to date.
"""


def features_page() -> str:
    """The page in Markdown: one table for each family, in the order of the catalog."""
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
    """One line for features that differ only in their windows."""
    first, seen = alike[0], [feature.window for feature in alike if feature.window]
    name, phrase, null, formula = (_general(text, first, windows) for text in _texts(first))
    phrase += f": *{formula}*" if formula else ""
    over = "each" if seen == list(windows) else ", ".join(map(str, seen))
    return f"| `{name}` | {phrase} | {over} | {first.unit} | {null} | {'yes' if first.actionable else ''} |"


def _texts(feature: Feature) -> tuple[str, str, str, str]:
    return feature.name, feature.phrase, feature.unread, feature.formula


def _general(text: str, feature: Feature, windows: Sequence[Window]) -> str:
    """A text with W in place of the feature's window, and V and U in place of longer windows that it names.

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
