"""
The state of sessions in Redis: refresh families, rotated by compare-and-set, and the deny-list.

Only ids are stored, never a token or a key. Every step is one script, so it happens wholly or not at all. No step is
sent twice: after a lost answer the holder of the token asks for the refresh again, and gets the same successor.
"""

import hashlib
import math
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from rotator.adapters.circuit_breaker import Breaker
from rotator.adapters.redis.connection import FAULTS, TIMEOUT, RedisConnection, error_text
from rotator.client.arguments import require_names, require_redis
from rotator.client.errors import TokenStateError
from rotator.client.hints import read_password

MAX_CONNECTIONS = 16
# The clocks of a service's hosts differ: the order of events is decided by Redis' clock alone, in milliseconds.
_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
# KEYS: 1 family, 2 cut-off of all, 3 cut-off of the subject. ARGV: 1 token id, 2 ms to live. Returns when it began.
_BEGIN = f"""
{_CLOCK}
redis.call('HSET', KEYS[1], 'current', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return math.max(now, tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(redis.call('GET', KEYS[3]) or '0'))
"""
# KEYS: 1 family, 2 session's end, 3 and 4 cut-offs, 5 token's and 6 kid's entry on the deny-list.
# ARGV: 1 token id, 2 when it was issued, 3 successor's id, 4 successor, 5 ms of grace, 6 ms to live.
# Returns what happened, the successor, and when that was issued.
_ROTATE = f"""
{_CLOCK}
local cut = math.max(tonumber(redis.call('GET', KEYS[3]) or '0'), tonumber(redis.call('GET', KEYS[4]) or '0'))
if redis.call('EXISTS', KEYS[2], KEYS[5], KEYS[6]) > 0 or tonumber(ARGV[2]) < cut then
  return {{'revoked', '', 0}}
end
local family = redis.call('HMGET', KEYS[1], 'current', 'previous', 'successor', 'rotated_at')
if not family[1] then
  return {{'revoked', '', 0}}
end
if family[1] == ARGV[1] then
  now = math.max(now, cut)
  redis.call('HSET', KEYS[1], 'current', ARGV[3], 'previous', ARGV[1], 'successor', ARGV[4], 'rotated_at', now)
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return {{'rotated', ARGV[4], now}}
end
if family[2] == ARGV[1] and math.abs(now - tonumber(family[4])) <= tonumber(ARGV[5]) then
  return {{'rotated', family[3], tonumber(family[4])}}
end
redis.call('SET', KEYS[2], 'reused', 'PX', ARGV[6])
redis.call('DEL', KEYS[1])
return {{'reused', '', 0}}
"""
# ARGV: 1 the moment, "" for now, 2 ms to live. A cut-off only moves forward.
_CUT = f"""
{_CLOCK}
local cut = ARGV[1] == '' and now + 1 or tonumber(ARGV[1])
if cut > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], cut, 'PX', ARGV[2])
elseif tonumber(ARGV[2]) > redis.call('PTTL', KEYS[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""
# Well below the grace, so that a retry is let through in time.
_MAX_BACKOFF = 2.0


@dataclass(frozen=True, slots=True)
class TokenIds:
    """
    What identifies a token: its id, session, kid and subject, and when it was issued by Redis' clock, in milliseconds.
    """

    token: str
    session: str
    kid: str
    subject: str
    at: int


class SessionStore:
    """
    The Redis at *url*, with keys that begin with *prefix*. Safe to use from several threads and after a fork.

    A call ends within about two seconds. After a failure calls fail at once until a back-off has passed; then one of
    them tries. The ACL user needs `~PREFIX:* +ping +multi +exec +evalsha +script|load +mget +get +set +hset +hmget
    +del +exists +pexpire +pttl +time`. Redis must not evict these keys: evicting a session forces a new login, and
    evicting a revocation undoes it.
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        prefix: str = "rotator:tokens",
        username: str = "",
        password: str = "",
        password_file: Path | str | None = None,
        ca_file: Path | str | None = None,
    ) -> None:
        require_redis(url, username, password, ca_file)
        require_names(prefix=prefix)
        ca = Path(ca_file) if ca_file else None
        connection = RedisConnection(url, username, read_password(password, password_file), ca)
        options = connection.options()
        self._place = connection.place
        self._prefix = prefix
        self._breaker = Breaker(cap=_MAX_BACKOFF)
        pool = redis.BlockingConnectionPool(MAX_CONNECTIONS, TIMEOUT, health_check_interval=30, **options)
        self._redis = redis.Redis(connection_pool=pool)
        _stores.add(self)
        self._begin, self._rotate, self._cut = map(self._redis.register_script, (_BEGIN, _ROTATE, _CUT))

    def begin(self, session: str, token: str, subject: str, life: float) -> int:
        """
        Begin a refresh family with its first *token*, for *life* seconds; return when, in milliseconds of Redis' clock.
        """
        keys = [self._key("family", session), self._key("before"), self._key("before", subject)]
        return int(self._run(self._begin, keys, [token, _milliseconds(life)]))

    def rotate(
        self, ids: TokenIds, successor_id: str, successor: str, grace: float, life: float
    ) -> tuple[str, str, int]:
        """
        Replace the presented token by *successor*; return the outcome, the successor, and when that was issued.

        The outcome is "rotated" with this successor; "rotated" with the one already made, if the token is its immediate
        predecessor and at most *grace* seconds have passed; "revoked"; or "reused", and then the family has ended.
        """
        keys = [
            self._key("family", ids.session),
            self._key("ended", ids.session),
            self._key("before"),
            self._key("before", ids.subject),
            self._key("jti", ids.token),
            self._key("kid", ids.kid),
        ]
        values: list[str | int] = [
            ids.token,
            ids.at,
            successor_id,
            successor,
            _milliseconds(grace),
            _milliseconds(life),
        ]
        outcome, stored, at = self._run(self._rotate, keys, values)
        return outcome.decode(), stored.decode(), int(at)

    def revoked(self, ids: TokenIds) -> bool:
        """
        Whether a token is on the deny-list by its id, session or kid, or was issued before a cut-off.
        """
        keys = [
            self._key("jti", ids.token),
            self._key("ended", ids.session),
            self._key("kid", ids.kid),
            self._key("before"),
            self._key("before", ids.subject),
        ]
        with self._guarded():
            found: Any = self._redis.mget(keys)
        return any(found[:3]) or any(ids.at < int(cut) for cut in found[3:] if cut)

    def end_session(self, session: str, life: float) -> None:
        """
        End a refresh family; its tokens are denied for *life* seconds, the longest that they can live.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(self._key("ended", session), "ended", px=_milliseconds(life))
        pipeline.delete(self._key("family", session))
        with self._guarded():
            pipeline.execute()

    def deny_token(self, token: str, life: float) -> None:
        """
        Deny one token by its id, for the rest of its *life*.
        """
        self._deny("jti", token, life)

    def deny_kid(self, kid: str, life: float) -> None:
        """
        Deny every token signed with *kid*.
        """
        self._deny("kid", kid, life)

    def deny_before(self, at: int | None, subject: str | None, life: float) -> None:
        """
        Deny every token issued before *at* (None: now), in milliseconds of Redis' clock; with *subject*, only theirs.
        """
        key = self._key("before") if subject is None else self._key("before", subject)
        self._run(self._cut, [key], ["" if at is None else at, _milliseconds(life)])

    def close(self) -> None:
        """
        Close the connections.
        """
        self._redis.close()
        self._redis.connection_pool.disconnect()

    def _deny(self, kind: str, name: str, life: float) -> None:
        if life > 0:
            with self._guarded():
                self._redis.set(self._key(kind, name), "revoked", px=_milliseconds(life))

    def _key(self, kind: str, name: str | None = None) -> str:
        # Hashed: a subject may be a personal address, and an id may be long.
        return ":".join(
            [
                self._prefix,
                kind,
                *([] if name is None else [hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:40]]),
            ]
        )

    def _run(self, script: Script, keys: list[str], values: Sequence[str | int]) -> Any:
        with self._guarded():
            return script(keys=keys, args=values)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if wait := self._breaker.enter():
            raise TokenStateError(f"{self._place} failed lately and is not tried again for {math.ceil(wait)} s")
        try:
            yield
        except redis.ResponseError as error:
            # It did answer. If it is full, or a replica, it refuses writes, but the deny-list can still be read.
            self._breaker.worked()
            raise TokenStateError(f"{self._place}: {error_text(error)}") from error
        except FAULTS as error:
            self._breaker.failed()
            raise TokenStateError(f"{self._place}: {error_text(error)}") from error
        else:
            self._breaker.worked()


_stores: "weakref.WeakSet[SessionStore]" = weakref.WeakSet()


def _after_fork() -> None:
    # redis-py takes care of its connections; our lock may have been held at the moment of the fork.
    for store in list(_stores):
        store._breaker = Breaker(cap=_MAX_BACKOFF)  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_after_fork)


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
