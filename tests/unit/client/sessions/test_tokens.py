"""
Tokens on a real Redis: pairs, refreshes that happen once, revocation, and what happens without Redis.
"""

import asyncio
import json
import os
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from rotator.client import (
    ConfigError,
    InvalidTokenError,
    Keys,
    KeysUnavailableError,
    Rejection,
    SessionStore,
    SigningError,
    StaticKeys,
    Timing,
    TokenPair,
    Tokens,
    TokenStateError,
)
from tests.support.servers.redis import RedisServer

ISSUER, AUDIENCE = "https://login.example", "api"
POLICY = Timing(timedelta(hours=2), timedelta(days=30), timedelta(seconds=60))


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        """Return what `time.time` would."""
        return self.time


class Turning:
    """A provider whose keys are replaced as a rotation would."""

    def __init__(self) -> None:
        self.now: StaticKeys | None = static()

    def verifying(self, *, wait: bool = True) -> Keys:
        """Return the keys, or none as when they are stale."""
        if self.now is None:
            raise KeysUnavailableError("stale")
        return self.now.verifying(wait=wait)

    def signing(self) -> Keys:
        """Return the same."""
        return self.verifying()

    def search(self, kid: str) -> None:
        """Know no others."""
        del kid

    async def asearch(self, kid: str) -> None:
        """Know no others."""
        del kid


def static() -> StaticKeys:
    """Return keys of one fresh secret."""
    return StaticKeys(secrets.token_hex(32), timing=POLICY)


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


def reason(call: Callable[[], object]) -> Rejection:
    """Return why *call* is refused."""
    with pytest.raises(InvalidTokenError) as caught:
        call()
    assert str(caught.value) == "invalid token"
    return caught.value.reason


def test_a_pair_serves_and_its_kinds_do_not_pass_for_each_other(make: Callable[..., Tokens]) -> None:
    """The access token verifies, with the claims asked for; the refresh token is no access token, nor the other way round."""
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
    """Whoever asks again with the same token within the grace gets what was lost."""
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
    """The predecessor shown too late, even a moment, ends the family: its refresh and access tokens are refused from then on."""
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
    """Asking again within the grace does not begin it anew."""
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
        # As long as a verifier may take it whose clock is a minute behind, with a minute's leeway.
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
    """What was issued before is refused, for the subject or for all; what is issued next is good, within the same second too."""
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
    # An earlier moment takes nothing back.
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
    """No version, as `dict.get` tells of nobody, is no leave to take or issue any."""
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


def test_a_redis_that_takes_no_writes_still_denies(fresh_redis: RedisServer, clock: Clock) -> None:
    """Full, or a replica: nobody is refreshed, and what was revoked stays so, since it can be read."""
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
    """Nobody logs in or is refreshed, nothing is used up, and access tokens go by the policy; all is well when it is back."""
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
    """A Redis that takes connections and says nothing costs one caller its time-out; the others go on at once."""
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


def _eventually(call: Callable[[], TokenPair]) -> TokenPair:
    end = time.monotonic() + 20
    while True:
        try:
            return call()
        except TokenStateError:
            assert time.monotonic() < end, "Redis is back and nobody noticed"
            time.sleep(0.1)


def test_a_successor_made_long_ago_comes_with_an_access_token_that_lives(
    make: Callable[..., Tokens], clock: Clock
) -> None:
    """Whoever gets a lost answer after the access token in it is over gets another one, beside the same refresh token."""
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
