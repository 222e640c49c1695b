"""Counts for tests: how many engines are opened for logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.config.load import EngineConfig
from features.intake import log as log_module


def count_engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on, the kind of each engine that a log opens is appended to the list."""
    kinds: list[str] = []
    open_engine = log_module.open_engine

    def counting(config: EngineConfig, folder: Path) -> object:
        kinds.append(config.kind)
        return open_engine(config, folder)

    monkeypatch.setattr(log_module, "open_engine", counting)
    return kinds
