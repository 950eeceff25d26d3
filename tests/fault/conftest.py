"""
Faults of Redis are tried on each version.
"""

import pytest

from tests.support.servers.redis import VERSIONS


@pytest.fixture(params=VERSIONS, ids="redis-{}".format)
def redis_version(request: pytest.FixtureRequest) -> str:
    """
    Each version in turn.
    """
    version: str = request.param
    return version
