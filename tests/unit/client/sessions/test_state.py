"""
What Redis holds of sessions, which rights that needs, and what happens without it.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest
import redis

from rotator.client import Rejection, SessionStore, TokenPair, Tokens, TokenStateError
from tests.support.servers.redis import RedisServer
from tests.support.sessions import AUDIENCE, ISSUER, Clock, reason, static


def test_a_redis_that_takes_no_writes_still_denies(fresh_redis: RedisServer, clock: Clock) -> None:
    """Full, or a replica: no refresh works, and revoked tokens stay revoked, because the list can be read."""
    state = SessionStore(fresh_redis.url)
    tokens = Tokens(static(), state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    good, bad = tokens.issue("alice"), tokens.issue("mallory")
    tokens.revoke(bad.access)
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "100kb")
        for _ in range(3):
            with pytest.raises(TokenStateError, match="used memory > 'maxmemory'"):
                tokens.refresh(good.refresh)
            assert reason(lambda: tokens.verify(bad.access)) is Rejection.REVOKED
            tokens.verify(good.access)
        client.config_set("maxmemory", "0")
    tokens.refresh(good.refresh)
    state.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_amid_a_call_leaves_the_child_free(make: Callable[..., Tokens], state: SessionStore) -> None:
    """The lock that another thread held in the moment of the fork is not the child's."""
    tokens = make()
    pair = tokens.issue("alice")
    with state._breaker._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends a child that waits for ever
            os._exit(0 if tokens.verify(pair.access).subject == "alice" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_without_redis(fresh_redis: RedisServer, clock: Clock) -> None:
    """No login, no refresh, no token used up, and access tokens go by the policy; all works when it is back."""
    state, keys = SessionStore(fresh_redis.url), static()
    lenient = Tokens(keys, state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    strict = Tokens(keys, state, issuer=ISSUER, audience=AUDIENCE, now=clock, access_without_redis="refuse")
    pair = lenient.issue("alice")
    fresh_redis.stop()

    lenient.verify(pair.access)
    for call in (
        lambda: strict.verify(pair.access),
        lambda: lenient.issue("alice"),
        lambda: lenient.refresh(pair.refresh),
        lambda: lenient.revoke(pair.access),
    ):
        with pytest.raises(TokenStateError, match="redis at"):
            call()

    fresh_redis.start()
    second = _eventually(lambda: lenient.refresh(pair.refresh))
    strict.verify(second.access)
    state.close()


def test_a_silent_redis_holds_up_few(fresh_redis: RedisServer, clock: Clock) -> None:
    """A Redis that accepts connections and is silent costs one caller its timeout; the others fail at once."""
    state = SessionStore(fresh_redis.url)
    tokens = Tokens(static(), state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    pair = tokens.issue("alice")
    fresh_redis.pause()
    started = time.monotonic()
    tokens.verify(pair.access)
    assert time.monotonic() - started < 5
    started = time.monotonic()
    for _ in range(20):
        tokens.verify(pair.access)
    assert time.monotonic() - started < 3
    fresh_redis.resume()
    state.close()


def test_redis_holds_no_token_and_no_name(
    make: Callable[..., Tokens], redis_server: RedisServer, state: SessionStore
) -> None:
    """Neither tokens nor subjects are in Redis, and every entry goes by itself."""
    tokens = make()
    pair = tokens.refresh(tokens.issue("alice@example.org").refresh)
    tokens.revoke(pair.access)
    tokens.revoke_issued_before(subject="alice@example.org")
    tokens.end_session(pair.session)
    tokens.issue("alice@example.org")
    with redis.Redis.from_url(redis_server.url) as client:
        entries = client.keys(f"{state._prefix}:*")
        assert len(entries) == 4
        for entry in entries:
            held = client.hgetall(entry) if client.type(entry) == b"hash" else client.get(entry)
            text = f"{entry!r} {held!r}"
            assert "alice" not in text
            assert pair.refresh.rpartition(".")[2] not in text
            assert "eyJ" not in text
            assert client.ttl(entry) > 0


def test_an_acl_user_with_the_rights_named_is_enough(fresh_redis: RedisServer, clock: Clock) -> None:
    """The rights that the docstring of SessionStore names suffice for everything, and for nothing else."""
    rights = (SessionStore.__doc__ or "").split("needs `")[1].split("`")[0].split()
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.execute_command(
            "ACL",
            "SETUSER",
            "tokens",
            "reset",
            "on",
            ">" + "p" * 32,
            *[r.replace("PREFIX", "rotator:tokens") for r in rights],
        )
    state = SessionStore(fresh_redis.url, username="tokens", password="p" * 32)
    tokens = Tokens(static(), state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    pair = tokens.refresh(tokens.issue("alice").refresh)
    tokens.revoke(pair.access)
    tokens.revoke_kid("some")
    tokens.revoke_issued_before(subject="bob")
    tokens.revoke(pair.refresh)
    assert reason(lambda: tokens.verify(pair.access)) is Rejection.REVOKED
    with pytest.raises(redis.exceptions.NoPermissionError):
        state._redis.get("rotator:events")
    state.close()


def _eventually(call: Callable[[], TokenPair]) -> TokenPair:
    end = time.monotonic() + 20
    while True:
        try:
            return call()
        except TokenStateError:
            assert time.monotonic() < end, "Redis is back, and calls still fail"
            time.sleep(0.1)
