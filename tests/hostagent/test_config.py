"""The agent's directory: what is written is read again, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostagent import config
from hostagent.config import AgentConfig, ConfigError

GOOD = """cluster_id = "c"
host_id = 7
name = "h1"
addresses = ["127.0.0.1:7002"]
"""


def test_saved_configuration_is_loaded_again(tmp_path: Path) -> None:
    saved = AgentConfig(
        directory=tmp_path, cluster_id="c", host_id=7, name="h\n1", addresses=("[::1]:7002",)
    )
    config.save(saved)
    assert config.load(tmp_path) == saved


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace("host_id = 7", 'host_id = "7"'), "host_id is missing or not a int"),
        (GOOD.replace("cluster_id", "cluster"), "cluster_id is missing"),
        (GOOD.replace("127.0.0.1:7002", "127.0.0.1"), "not host:port"),
        (GOOD.replace('["127.0.0.1:7002"]', "[]"), "addresses is empty"),
        (GOOD.replace('["127.0.0.1:7002"]', "[1]"), "addresses"),
        ("= 3", "agent.toml"),
    ],
)
def test_faulty_file_is_refused_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / config.FILE_NAME).write_text(text)
    with pytest.raises(ConfigError, match=fault):
        config.load(tmp_path)


def test_directory_that_has_not_joined_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has not joined; run skyraft-agent join first"):
        config.load(tmp_path)


def test_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / config.FILE_NAME).write_text(GOOD)
    with pytest.raises(ConfigError, match=r"ca\.crt"):
        config.load(tmp_path).credentials()
