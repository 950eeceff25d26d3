"""
The command line on a file store.
"""

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine


@pytest.fixture
def rotator(tmp_path: Path) -> CommandLine:
    """
    `rotator` with an RS256 keyset "web" and an HS256 keyset "internal", neither of which exists yet.
    """
    return CommandLine(tmp_path)
