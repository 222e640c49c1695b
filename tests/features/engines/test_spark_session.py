"""The config's settings in Spark's own words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from features.config.load import EngineConfig
from features.errors import UsageError


def test_settings_reach_spark(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed")
    from features.engines.spark_session import session_settings as settings_of

    settings = settings_of(EngineConfig(kind="spark", threads=3, memory="2GB"), tmp_path)
    assert settings["spark.master"] == "local[3]"
    assert (settings["spark.driver.memory"], settings["spark.sql.shuffle.partitions"]) == ("2048m", "3")
    assert settings["spark.local.dir"] == str(tmp_path)
    cluster = settings_of(EngineConfig(kind="spark", master="spark://head:7077"), tmp_path)
    assert "spark.driver.host" not in cluster and cluster["spark.master"] == "spark://head:7077"
    with pytest.raises(UsageError, match="memory = 'plenty' is not understood; expected a size such as '8GB'"):
        settings_of(EngineConfig(kind="spark", memory="plenty"), tmp_path)


def test_ctrl_c_while_spark_starts_counts_afterwards_and_a_second_one_at_once() -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed")
    from features.engines import spark_session

    before, started = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), spark_session._interrupted_afterwards():
        signal.raise_signal(signal.SIGINT)
        started.append("completely")
    assert started == ["completely"] and signal.getsignal(signal.SIGINT) == before
    with pytest.raises(KeyboardInterrupt), spark_session._interrupted_afterwards():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        started.append("never")
    assert started == ["completely"] and signal.getsignal(signal.SIGINT) == before
