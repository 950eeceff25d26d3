"""
Tokens refused before they expire: by id, session, kid, age and user version.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis

from rotator.client import ConfigError, Rejection, SessionStore, StaticKeys, Tokens
from tests.support.servers.redis import RedisServer
from tests.support.sessions import AUDIENCE, ISSUER, POLICY, Clock, reason


def test_an_access_token_is_revoked_by_its_id(
    make: Callable[..., Tokens], redis_server: RedisServer, state: SessionStore
) -> None:
    """Only that token is refused, for as long as it lives, and whatever its spelling."""
    tokens = make()
    pair, other = tokens.issue("alice"), tokens.issue("alice")
    tokens.revoke(pair.access)

    assert reason(lambda: tokens.verify(pair.access)) is Rejection.REVOKED
    tokens.verify(other.access)
    tokens.verify(tokens.refresh(pair.refresh).access)
    for spelling in (pair.access + "=", pair.access + "\n", " " + pair.access):
        reason(lambda text=spelling: tokens.verify(text))  # type: ignore[misc]
    with redis.Redis.from_url(redis_server.url) as client:
        (entry,) = client.keys(f"{state._prefix}:jti:*")
        # As long as a verifier may accept it: with a clock a minute behind, and a minute's leeway.
        assert 1_010_000 <= client.pttl(entry) <= 1_020_000


def test_logout_ends_the_whole_session(make: Callable[..., Tokens]) -> None:
    """Revoking the refresh token refuses it, its successors and the session's access tokens."""
    tokens = make()
    first = tokens.issue("alice")
    second = tokens.refresh(first.refresh)
    tokens.revoke(second.refresh)

    assert reason(lambda: tokens.verify(first.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.verify(second.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(second.refresh)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(first.refresh)) is Rejection.REVOKED
    assert reason(lambda: tokens.revoke("nonsense")) is Rejection.MALFORMED


def test_revocation_by_kid(state: SessionStore, clock: Clock) -> None:
    """Every token that the named key signed is refused, refresh tokens too."""
    tokens = Tokens(Named(), state, issuer=ISSUER, audience=AUDIENCE, now=clock)
    pair = tokens.issue("alice")
    tokens.verify(pair.access)
    tokens.revoke_kid("another")
    tokens.verify(pair.access)
    tokens.revoke_kid("key-1")

    assert reason(lambda: tokens.verify(pair.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(pair.refresh)) is Rejection.REVOKED


class Named(StaticKeys):
    """One secret under a kid, as a keyset has it."""

    def __init__(self) -> None:
        super().__init__(secrets.token_hex(32), timing=POLICY)
        from dataclasses import replace  # noqa: PLC0415

        key = next(iter(self._keys.verifying.values()))
        assert self._keys.signing is not None
        self._keys = replace(
            self._keys,
            named=True,
            verifying={"key-1": replace(key, kid="key-1")},
            signing=replace(self._keys.signing, kid="key-1"),
        )


@pytest.mark.parametrize("subject", ["alice", None])
def test_revocation_by_age(make: Callable[..., Tokens], clock: Clock, subject: str | None) -> None:
    """Tokens issued before are refused, of one subject or of all; the next one is good, even in the same second."""
    tokens = make()
    alice, bob = tokens.issue("alice"), tokens.issue("bob")
    tokens.revoke_issued_before(subject=subject)
    fresh = tokens.issue("alice")

    assert reason(lambda: tokens.verify(alice.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(alice.refresh)) is Rejection.REVOKED
    tokens.verify(fresh.access)
    tokens.verify(tokens.refresh(fresh.refresh).access)
    if subject is None:
        assert reason(lambda: tokens.verify(bob.access)) is Rejection.REVOKED
    else:
        tokens.verify(bob.access)
    # An earlier moment revokes nothing that a later one allowed.
    tokens.revoke_issued_before(datetime.fromtimestamp(clock.time - 3600, UTC), subject=subject)
    assert reason(lambda: tokens.verify(alice.access)) is Rejection.REVOKED
    with pytest.raises(ConfigError, match="future"):
        tokens.revoke_issued_before(datetime.fromtimestamp(clock.time + 3600, UTC))


@pytest.mark.parametrize("behind", [50, -50])
def test_revocation_by_age_needs_no_clock_of_ours(make: Callable[..., Tokens], clock: Clock, behind: int) -> None:
    """A host whose clock is off ends every session there is, and none that begins afterwards, on whichever host."""
    tokens = make()
    before = tokens.issue("alice")
    clock.time -= behind
    tokens.revoke_issued_before(subject="alice")
    meanwhile = tokens.issue("alice")
    clock.time += behind
    after = tokens.issue("alice")

    assert reason(lambda: tokens.verify(before.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(before.refresh)) is Rejection.REVOKED
    for pair in (meanwhile, after):
        tokens.verify(pair.access)
        tokens.refresh(pair.refresh)


def test_a_users_version_ends_all_of_their_sessions(make: Callable[..., Tokens]) -> None:
    """Tokens of another version than the user's present one are refused; those issued since are good."""
    versions = {"alice": 1, "bob": 1}
    tokens = make(version_of=versions.__getitem__)
    alice, bob = tokens.issue("alice"), tokens.issue("bob")
    tokens.verify(alice.access)
    versions["alice"] = 2

    assert reason(lambda: tokens.verify(alice.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(alice.refresh)) is Rejection.REVOKED
    tokens.verify(bob.access)
    tokens.verify(tokens.refresh(tokens.issue("alice").refresh).access)
    assert reason(lambda: tokens.verify(make().issue("alice").access)) is Rejection.REVOKED


def test_a_user_who_is_gone_has_no_tokens(make: Callable[..., Tokens]) -> None:
    """None, as `dict.get` returns for an unknown user: tokens are neither accepted nor issued."""
    versions: dict[str, int] = {"alice": 3}
    tokens = make(version_of=versions.get)
    pair = tokens.issue("alice")
    del versions["alice"]

    for attempt in (
        lambda: tokens.verify(pair.access),
        lambda: tokens.refresh(pair.refresh),
        lambda: tokens.issue("alice"),
    ):
        assert reason(attempt) is Rejection.REVOKED
    versions["alice"] = 3
    tokens.verify(tokens.refresh(pair.refresh).access)


def test_a_version_raised_amid_a_refresh_counts(make: Callable[..., Tokens]) -> None:
    """The successors bear the version that was checked, not the one that ended them."""
    versions = iter([1, 1, *[2] * 10])
    tokens = make(version_of=lambda _: next(versions))
    pair = tokens.refresh(tokens.issue("alice").refresh)
    assert reason(lambda: tokens.verify(pair.access)) is Rejection.REVOKED
    assert reason(lambda: tokens.refresh(pair.refresh)) is Rejection.REVOKED
