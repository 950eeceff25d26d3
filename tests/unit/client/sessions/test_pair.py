"""
A pair that is signed again is the same pair.
"""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import redis

from rotator.client import SessionStore, Tokens
from tests.support.servers.redis import RedisServer
from tests.support.sessions import Clock


def test_a_successor_made_long_ago_comes_with_an_access_token_that_lives(
    make: Callable[..., Tokens], clock: Clock
) -> None:
    """A lost answer repeated after its access token expired has another one, with the same refresh token."""
    tokens = make()
    first = tokens.issue("alice")
    lost = tokens.refresh(first.refresh)
    clock.time += 901  # as if Redis, whose clock counts the grace, had stood still
    again = tokens.refresh(first.refresh)

    assert again.refresh == lost.refresh
    tokens.verify(again.access)
    assert again.access_expires_at > lost.access_expires_at + timedelta(seconds=900)
    tokens.refresh(again.refresh)


def test_successors_are_stored_as_ids(
    make: Callable[..., Tokens], redis_server: RedisServer, state: SessionStore
) -> None:
    """What a family keeps of a successor are ids and seconds, from which any process makes the same pair."""
    tokens = make()
    pair = tokens.refresh(tokens.issue("alice").refresh)
    with redis.Redis.from_url(redis_server.url) as client:
        (family,) = client.keys(f"{state._prefix}:family:*")
        refresh, refreshed, access, issued = json.loads(client.hget(family, "successor") or b"")
    claims = tokens.verify(pair.access)
    assert (access, issued, refreshed) == (claims.token_id, claims["iat"], claims["iat"])
    assert str(uuid.UUID(refresh)) == refresh
