"""The columns that a section names, and what counts as blank text on every engine."""

from __future__ import annotations

import ibis

from features.config.data_contract import feature_slug
from features.config.table_sections import COLUMN_LIST_KEYS, TableSection
from features.errors import UsageError
from features.sources.source import require_columns

# Text must match these patterns before an engine reads it as a number or a time, since engines differ in what else they
# accept and in what they call blank. \x09 to \x0d are tab, line feed, vertical tab, form feed and carriage return.
BLANK_CHARACTERS = r"[\x09-\x0d ]*"
NOT_BLANK = r"[^\x09-\x0d ]"


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
        slugs = [feature_slug(name) for name in names]
        if len(set(slugs)) != len(slugs) or "" in slugs:
            raise UsageError(
                f"[{place}] {key}: {', '.join(names)} would give features of the same name or of no name; rename one"
            )


def blank_to_null(column: ibis.Value) -> ibis.Value:
    """A column in which blank text is null."""
    kind = column.type()
    if not kind.is_string():
        return column
    return column.re_search(NOT_BLANK).ifelse(column, ibis.null("string")).name(column.get_name())
