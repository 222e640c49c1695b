"""The user's own files that a config names: they are read, and never written, changed or removed."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from features.config.load import Config
from features.config.table_sections import TableSection
from features.errors import DataError
from features.sources.files import data_format, find_files
from features.sources.query import quoted_texts
from features.storage.user_paths import real_path


def files_of_sources(config: Config) -> frozenset[Path]:
    """The files of all tables, lists and keys of a config that exist, as resolved paths."""
    files: set[Path] = set()
    for source in _file_sources(config):
        try:
            files |= {real_path(file) for file in find_files(source, config.folder)}
        except DataError:  # the source does not exist (any more): nothing to protect
            continue
    rules = config.plan.exclude if config.plan else ()
    named = [*(rule.ids for rule in rules), config.features.own, config.privacy.key_file]
    return frozenset(files | {config.path(name) for name in named if name})


def is_read_by(config: Config, place: Path) -> bool:
    """Whether a new file at a place would be read as part of a table: it lies in a folder or glob of the config."""
    for source in _file_sources(config):
        named = config.path(source)
        if place == named or named in place.parents or fnmatch(str(place), str(named)):
            return True
    return False


def _file_sources(config: Config) -> list[str]:
    """The sources of all tables that are files, globs or folders."""
    sections: list[TableSection | None] = [
        config.events, *config.activities.values(), config.customers, config.contacts, config.subscriptions,
        config.identity,
    ]  # fmt: skip
    sources: list[str] = []
    for known in (each for each in sections if each is not None and "://" not in each.source):
        sources += [known.source, *(text for text in quoted_texts(known.query) if data_format(text))]
    return sources
