"""
Fixtures that load a text as configuration.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.errors import ConfigError
from tests.support.configuration import CANARY, FaultsOf, Read


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """
    Load a text as configuration, with an environment of its own.
    """

    def do(text: str, environ: Mapping[str, str] | None = None, *, command_line: bool = False) -> Settings:
        (tmp_path / "config.toml").write_text(text)
        return load(tmp_path / "config.toml", environ=environ or {}, command_line=command_line)

    return do


@pytest.fixture
def faults_of(read: Read) -> FaultsOf:
    """
    The faults of a text, without the path of the file before each; none of them holds the canary.
    """

    def do(text: str, environ: Mapping[str, str] | None = None, *, command_line: bool = False) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, environ, command_line=command_line)
        assert CANARY not in str(caught.value)
        return [fault.partition("config.toml: ")[2] or fault for fault in caught.value.faults]

    return do
