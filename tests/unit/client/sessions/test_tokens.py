"""
Pairs of tokens: issued, refreshed once each, and followed by the same successor however often the answer is lost.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import (
    ConfigError,
    InvalidTokenError,
    KeysUnavailableError,
    Rejection,
    SessionStore,
    SigningError,
    StaticKeys,
    TokenPair,
    Tokens,
)
from tests.support.servers.redis import RedisServer
from tests.support.sessions import AUDIENCE, ISSUER, POLICY, Clock, Turning, reason, static


def test_a_pair_serves_and_its_kinds_do_not_pass_for_each_other(make: Callable[..., Tokens]) -> None:
    """The access token verifies, with the claims asked for; neither token passes for the other kind."""
    tokens = make(claims_of=lambda subject: {"roles": [f"role of {subject}"]})
    pair = tokens.issue("alice")
    claims = tokens.verify(pair.access)

    assert (claims.subject, claims["roles"], claims["sid"]) == ("alice", ["role of alice"], pair.session)
    assert claims["exp"] - claims["iat"] == 900
    assert pair.refresh_expires_at - claims.issued_at == timedelta(days=7)
    assert reason(lambda: tokens.verify(pair.refresh)) is Rejection.TYPE
    assert reason(lambda: tokens.refresh(pair.access)) is Rejection.TYPE
    assert pair.access not in repr(pair)
    assert pair.refresh not in repr(pair)


def test_fifty_parallel_refreshes_bring_one_successor(make: Callable[..., Tokens]) -> None:
    """Fifty callers with one token get the same pair, to the letter; the session goes on."""
    tokens = make()
    first = tokens.issue("alice")
    start = threading.Barrier(50)

    def refresh() -> TokenPair:
        start.wait()
        return tokens.refresh(first.refresh)

    with ThreadPoolExecutor(50) as pool:
        pairs = [future.result() for future in [pool.submit(refresh) for _ in range(50)]]

    assert {(pair.access, pair.refresh) for pair in pairs} == {(pairs[0].access, pairs[0].refresh)}
    assert pairs[0].refresh != first.refresh
    tokens.verify(pairs[0].access)
    tokens.refresh(pairs[0].refresh)


def test_fifty_processes_agree_as_well(
    make: Callable[..., Tokens], redis_server: RedisServer, state: SessionStore
) -> None:
    """Callers that share nothing but Redis and the keys get the same successor."""
    first = make().issue("alice")
    others = [SessionStore(redis_server.url, prefix=state._prefix) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        pairs = list(pool.map(lambda other: make(state=other).refresh(first.refresh), others))
    for other in others:
        other.close()

    assert len({pair.refresh for pair in pairs}) == 1
    assert len({pair.access for pair in pairs}) == 1


def test_a_lost_answer_brings_the_same_successor_again(make: Callable[..., Tokens]) -> None:
    """The same token asked again within the grace brings what was lost."""
    tokens = make()
    first = tokens.issue("alice")
    lost = tokens.refresh(first.refresh)
    again = make().refresh(first.refresh)

    assert (again.access, again.refresh) == (lost.access, lost.refresh)
    tokens.refresh(again.refresh)


def test_a_crash_between_claim_and_answer_loses_nothing(make: Callable[..., Tokens], state: SessionStore) -> None:
    """A process that dies after the step in Redis leaves a family that another process can go on with."""
    tokens, first = make(), make().issue("alice")

    class Died(Exception):  # noqa: N818
        """The process is no more."""

    def rotate_and_die(*arguments: Any) -> tuple[str, str]:
        SessionStore.rotate(state, *arguments)
        raise Died

    state.rotate = rotate_and_die  # type: ignore[method-assign]
    with pytest.raises(Died):
        tokens.refresh(first.refresh)
    del state.rotate

    second = tokens.refresh(first.refresh)
    tokens.verify(second.access)
    tokens.refresh(second.refresh)


def test_a_replay_after_the_grace_ends_the_session(make: Callable[..., Tokens]) -> None:
    """The predecessor used a moment too late ends the family: its refresh and access tokens are refused."""
    tokens = make(grace=timedelta(0))
    first = tokens.issue("alice")
    second = tokens.refresh(first.refresh)
    time.sleep(0.01)

    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.REUSED
    assert reason(lambda: tokens.refresh(second.refresh)) is Rejection.REVOKED
    assert reason(lambda: tokens.verify(second.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.REVOKED
    tokens.refresh(tokens.issue("alice").refresh)


def test_only_the_immediate_predecessor_has_grace(make: Callable[..., Tokens]) -> None:
    """R1 after R3 is a replay, however quick; R2 after R3 is not."""
    tokens = make()
    first = tokens.issue("alice")
    second = tokens.refresh(first.refresh)
    third = tokens.refresh(second.refresh)

    assert tokens.refresh(second.refresh).refresh == third.refresh
    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.REUSED
    assert reason(lambda: tokens.refresh(third.refresh)) is Rejection.REVOKED


def test_grace_does_not_lengthen_itself(make: Callable[..., Tokens]) -> None:
    """Asking again within the grace does not extend it."""
    tokens = make(grace=timedelta(seconds=1))
    first = tokens.issue("alice")
    tokens.refresh(first.refresh)
    end = time.monotonic() + 1.2
    while time.monotonic() < end - 0.4:
        tokens.refresh(first.refresh)
        time.sleep(0.1)
    time.sleep(max(0.0, end - time.monotonic()))

    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.REUSED


def test_sessions_do_not_touch_each_other(make: Callable[..., Tokens]) -> None:
    """A replay in one session of a user leaves the other one alone."""
    tokens = make(grace=timedelta(0))
    one, other = tokens.issue("alice"), tokens.issue("alice")
    tokens.refresh(one.refresh)
    time.sleep(0.01)
    assert reason(lambda: tokens.refresh(one.refresh)) is Rejection.REUSED
    tokens.verify(tokens.refresh(other.refresh).access)


def test_refresh_survives_a_rotation_of_keys(state: SessionStore, clock: Clock) -> None:
    """A refresh token signed with an old key is good for as long as it lives, and its successor bears the new one."""
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    keys = Turning()
    keys.now = StaticKeys(old, timing=POLICY)
    tokens = Tokens(keys, state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    first = tokens.issue("alice")
    keys.now = StaticKeys(new, old, timing=POLICY)
    clock.time += 6 * 86400
    second = tokens.refresh(first.refresh)
    keys.now = StaticKeys(new, timing=POLICY)

    tokens.verify(second.access)
    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.SIGNATURE


def test_a_refresh_without_keys_uses_nothing_up(state: SessionStore, clock: Clock) -> None:
    """When no key is fresh enough to sign with, the refresh token stays good."""
    keys, signing = Turning(), Turning()
    tokens = Tokens(signing, state, issuer=ISSUER, audience=AUDIENCE, refresh_keys=keys, now=clock)
    first = tokens.issue("alice")
    kept, signing.now = signing.now, None
    with pytest.raises(KeysUnavailableError):
        tokens.refresh(first.refresh)
    signing.now = kept
    second = tokens.refresh(first.refresh)
    assert tokens.refresh(second.refresh).refresh != second.refresh


def test_asyncio(make: Callable[..., Tokens]) -> None:
    """The methods for asyncio do what the others do, and fifty refreshes at once bring one successor."""
    tokens = make()

    async def work() -> None:
        first = await tokens.aissue("alice")
        pairs = await asyncio.gather(*(tokens.arefresh(first.refresh) for _ in range(50)))
        assert len({pair.refresh for pair in pairs}) == 1
        assert (await tokens.averify(pairs[0].access)).subject == "alice"
        await tokens.arevoke(pairs[0].access)
        with pytest.raises(InvalidTokenError):
            await tokens.averify(pairs[0].access)
        await tokens.aend_session(first.session)
        with pytest.raises(InvalidTokenError):
            await tokens.arefresh(pairs[0].refresh)

    asyncio.run(work())


def test_options_that_cannot_work_are_refused(make: Callable[..., Tokens], state: SessionStore) -> None:
    """Each error names the option."""
    for option, value in (
        ("grace", timedelta(seconds=11)),
        ("access_lifetime", timedelta(days=8)),
        ("access_without_redis", "maybe"),
    ):
        with pytest.raises(ConfigError, match=option):
            make(**{option: value})
    with pytest.raises(ConfigError, match="audience"):
        Tokens(static(), state, issuer="same", audience="same")
    with pytest.raises(ConfigError, match="sid"):
        make(claims_of=lambda _: {"sid": "mine"}).issue("alice")
    with pytest.raises(SigningError, match="max_token_lifetime"):
        make(refresh_lifetime=timedelta(days=31)).issue("alice")
