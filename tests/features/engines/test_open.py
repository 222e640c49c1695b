"""The engine that the config names is opened, and closed with its scratch folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from features.config.load import EngineConfig
from features.engines.open import open_engine
from regulars import cli
from tests.shop import make_shop


def test_without_pyspark_one_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shop(tmp_path, customers=5)
    config = tmp_path / "regulars.toml"
    config.write_text(config.read_text() + '[engine]\nkind = "spark"\n')
    monkeypatch.delitem(sys.modules, "features.engines.spark", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    done = CliRunner().invoke(cli, ["-c", str(config), "check"])
    assert done.exit_code == 2
    assert "needs PySpark, which is not installed: pip install 'regulars[spark]'" in done.output
    assert "Traceback" not in done.output and len(done.output.strip().splitlines()) == 1


def test_the_scratch_folder_is_gone_afterwards_even_on_an_error(tmp_path: Path) -> None:
    config = EngineConfig(scratch=".")
    with pytest.raises(RuntimeError), open_engine(config, tmp_path):
        assert [path.name.startswith("regulars-") for path in tmp_path.iterdir()] == [True]
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
