"""The columns that a section names, and what counts as blank text on every engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ibis

from features.config.table_sections import COLUMN_LIST_KEYS, TableSection
from features.engines.base import NOT_BLANK
from features.errors import UsageError
from features.slugs import feature_slug
from features.sources.source import require_columns


def require_section_columns(source: ibis.Table, section: TableSection, place: str) -> None:
    """Checks that a section's columns exist and that its kinds give features of distinct names.

    Args:
        source: The rows that the section reads.
        section: The section of the config.
        place: Its name in the config, such as 'activities.visits', for messages.

    Raises:
        UsageError: A column is not in the source, or two kinds (or attributes) would give features of the same name.
    """
    require_columns(place, section.columns_by_role(), source.columns)
    for key in COLUMN_LIST_KEYS:
        names = getattr(section, key, ())
        for name, other in same_slugs(names):
            raise UsageError(
                f"[{place}] {key}: the columns {other!r} and {name!r} would give features of the same name "
                f"({feature_slug(name)!r}); rename one of them in [{place}] query"
            )


def same_slugs(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields the names whose features would be called as those of an earlier name, with that name."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(feature_slug(name), name)
        if other != name:
            yield name, other


def blank_to_null(column: ibis.Value) -> ibis.Value:
    """A column in which blank text is null."""
    kind = column.type()
    if not kind.is_string():
        return column
    return column.re_search(NOT_BLANK).ifelse(column, ibis.null("string")).name(column.get_name())
