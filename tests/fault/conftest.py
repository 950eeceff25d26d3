"""
Faults of Redis are tried on each version; faults of clocks need a C compiler.
"""

from pathlib import Path

import pytest

from tests.conftest import need
from tests.support import clock_shim
from tests.support.servers.redis import VERSIONS


@pytest.fixture(params=VERSIONS, ids="redis-{}".format)
def redis_version(request: pytest.FixtureRequest) -> str:
    """
    Each version in turn.
    """
    version: str = request.param
    return version


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The library that moves the wall clock of a program.
    """
    need(clock_shim.compiler(), "no C compiler (cc or gcc) on PATH")
    return clock_shim.build(tmp_path_factory.mktemp("shim"))
