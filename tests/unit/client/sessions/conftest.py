"""
A store of sessions on the shared Redis, and Tokens that use it.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rotator.client import SessionStore, Tokens
from tests.support.servers.redis import RedisServer
from tests.support.sessions import AUDIENCE, ISSUER, Clock, static


@pytest.fixture
def state(redis_server: RedisServer) -> Iterator[SessionStore]:
    """A state with keys of its own."""
    state = SessionStore(redis_server.url, prefix=f"test:{uuid.uuid4()}")
    yield state
    state.close()


@pytest.fixture
def clock() -> Clock:
    """A clock for the tokens; Redis has its own."""
    return Clock()


@pytest.fixture
def make(state: SessionStore, clock: Clock) -> Callable[..., Tokens]:
    """Make Tokens on the same keys and state."""
    keys = static()

    def tokens(**options: Any) -> Tokens:
        return Tokens(
            options.pop("keys", keys),
            options.pop("state", state),
            issuer=ISSUER,
            audience=AUDIENCE,
            now=clock,
            **options,
        )

    return tokens
