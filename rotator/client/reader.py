"""
A service's view of one keyset: keys to sign and verify with. What a hint sets off is in `refresh_thread.py`.

A hint (`hints.py`), a poll or an unknown kid wakes the refresh thread, which fetches from the source when that is
due (`refresh.py`) into the cache (`cache.py`). Without Redis the thread polls; without its source the last keys are served until `max_stale`.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from rotator.client import clock as boottime
from rotator.client.arguments import require_callable, require_durations, require_seconds
from rotator.client.cache import READ_TIMEOUT, CachedKeys, KeyCache
from rotator.client.errors import Doubt, KeysUnavailableError
from rotator.client.freshness import unseen
from rotator.client.jose.keys import Keys
from rotator.client.protocols import Hints, ReaderStatus
from rotator.client.refresh import Pace
from rotator.client.refresh_thread import RefreshThread
from rotator.client.sources.document import Source
from rotator.errors import ConfigError

START_TIMEOUT = 10.0
_DEFAULT_PACE = Pace()


class KeysetReader:
    """
    The keys of one keyset, from *source*. Safe to use from several threads, from asyncio, and after a fork.

    It refreshes at the start, at a hint (*hints*), about every *poll_interval*, and for kids that it does not know:
    once per *cooldown* (30 s or an eighth of the propagation time), and once more after a hint. By default it polls
    at half the propagation time, but at least every 5 minutes, as often as a JWKS says, and twice within *max_stale*.
    A longer interval is cut to that, and each one is shortened by a random amount of up to a fifth.

    After a failed refresh the last good keys are served for *max_stale*: by default as long as none of them can have
    been retired (retention), at most a day. Signing stops at the propagation time even so, because retention counts
    on it. A set that is empty, of another epoch, or with a lower sequence than before is a failed refresh, too.
    Where the keyset has a heartbeat, signing also stops one propagation time after a daemon saved it last.

    *clock* returns the seconds that ages are counted in, and must count suspends; *wall* those since 1970, to judge a
    heartbeat by; *pace* holds waits that tests shorten.
    """

    def __init__(
        self,
        source: Source,
        *,
        hints: Hints | None = None,
        max_stale: timedelta | None = None,
        poll_interval: timedelta | None = None,
        cooldown: timedelta | None = None,
        clock: Callable[[], float] = boottime.now,
        wall: Callable[[], float] = time.time,
        pace: Pace = _DEFAULT_PACE,
    ) -> None:
        if isinstance(source, type) or not isinstance(source, Source):
            raise ConfigError('source: must be one, as in VaultSource("KEYSET", …) or JwksSource("https://…")')
        if hints is not None and not callable(getattr(hints, "listen", None)):
            raise ConfigError('hints: must be a RedisHints, as in RedisHints("redis://127.0.0.1:6379/0")')
        for name, value in (("max_stale", max_stale), ("poll_interval", poll_interval), ("cooldown", cooldown)):
            if value is not None:
                require_durations(**{name: value})
                if value <= timedelta(0):
                    raise ConfigError(f"{name}: must be longer than nothing")
        self._source, self._clock = source, clock
        self._check_interval = pace.check_interval
        # Polls must come before keys are stale, with time for another one.
        poll = min((limit for limit in (poll_interval, max_stale and max_stale / 2) if limit), default=None)
        self._cache = KeyCache(source, max_stale, wall)
        self._refresher = RefreshThread(source, self._cache, hints, poll, cooldown, clock, pace)

    def start(self, timeout: float = START_TIMEOUT) -> Self:
        """
        Begin to refresh, and wait until there are keys; raises KeysUnavailableError after *timeout* seconds.

        It is then closed, unless it ran before, or other callers wait for it, too. With a timeout of 0 it returns at
        once: a service that may start without keys refuses tokens until it has some.
        """
        require_seconds(timeout=timeout)
        self._refresher.start(timeout, threading.Event())
        return self

    def close(self) -> None:
        """
        Stop refreshing and forget the keys. Callers get KeysUnavailableError from now on, until `start`.
        """
        self._refresher.stop(READ_TIMEOUT + self._check_interval)

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with; raises KeysUnavailableError if there are none, or none fresh enough.

        In that case it waits for a refresh first, at most 5 seconds, unless *wait* is False.
        """
        cached = self._cache.cached
        if cached is None or self._clock() > cached.verify_until:
            cached = self._revived(wait=wait, sign=False)
        elif self._refresher.thread is None:
            self._refresher.ensure_running()
        return cached.keys

    def signing(self) -> Keys:
        """
        Return the keys to sign with, never older than the propagation time; raises KeysUnavailableError.
        """
        cached = self._cache.cached
        if cached is None or self._clock() > cached.sign_until:
            cached = self._revived(wait=True, sign=True)
        elif self._refresher.thread is None:
            self._refresher.ensure_running()
        if cached.keys.signing is None:
            raise KeysUnavailableError(f"{self._source.place}: no key signs here; signers read the signing document")
        return cached.keys

    def search(self, kid: str) -> Keys | None:
        """
        Refresh to find *kid*, once per cooldown for all callers together; wait at most 2 seconds.

        Return None if it is not there.
        """
        self._refresher.search()
        return self._found(kid)

    async def asearch(self, kid: str) -> Keys | None:
        """
        Do as `search` does. However many tasks wait, none of them holds a thread.
        """
        await self._refresher.asearch()
        return self._found(kid)

    def refresh(self, timeout: float = READ_TIMEOUT) -> Keys:
        """
        Refresh now, and return the keys to verify with: the cached ones if that fails, or takes over *timeout* seconds.
        """
        require_seconds(timeout=timeout)
        self._refresher.refresh(timeout)
        return self.verifying()

    async def arefresh(self) -> Keys:
        """
        Do as `refresh` does, without blocking the event loop.
        """
        return await asyncio.to_thread(self.refresh)

    def secrets(self) -> tuple[str, ...]:
        """
        Return the texts of an HMAC keyset, the one to sign with first: for frameworks that are given a secret and fallbacks.

        Raises KeysUnavailableError if there are none.
        """
        keys = self.signing()
        if not keys.secrets:
            raise KeysUnavailableError(f"{self._source.place}: holds key pairs, and no shared secrets")
        return tuple(secret.reveal() for secret in keys.secrets)

    def on_change(self, call: Callable[[Keys], object]) -> None:
        """
        Call *call* with the keys: at once if there are any, and after every change, then from the reader's thread.
        """
        require_callable(call=call)
        self._cache.on_change(call)

    @property
    def status(self) -> ReaderStatus:
        """
        The state of this reader now.
        """
        cached, listener, now = self._cache.cached, self._refresher.listener, self._clock()
        doubt, fault = self._doubt(cached, now)
        return ReaderStatus(
            place=self._source.place,
            age=None if cached is None else now - cached.keys.read_at,
            stale=cached is None or self._refresher.closed or now > cached.verify_until,
            fault=fault,
            epoch=cached.keys.epoch if cached else "",
            sequence=cached.keys.sequence if cached else 0,
            hints="off" if listener is None else listener.fault or "listening",
            doubt=doubt,
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        cancelled = threading.Event()
        starting = asyncio.ensure_future(asyncio.to_thread(self._refresher.start, START_TIMEOUT, cancelled))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread in which the start waits cannot be cancelled: make it give up, and undo a start that succeeds
            # late.
            cancelled.set()
            with self._refresher.condition:
                self._refresher.condition.notify_all()
            starting.add_done_callback(self._undo_late_start)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _undo_late_start(self, starting: "asyncio.Future[threading.Thread | None]") -> None:
        if not starting.cancelled() and not starting.exception() and (begun := starting.result()):
            self._refresher.stop(0.0, only=begun)

    def _revived(self, *, wait: bool, sign: bool) -> CachedKeys:
        """
        Return the cached keys after waiting for a refresh.

        Raises KeysUnavailableError if there are still none that are fresh.
        """
        if wait or self._refresher.closed:
            self._refresher.refresh_if_overdue()
        cached, now = self._cache.cached, self._clock()
        if cached is None or now > (cached.sign_until if sign else cached.verify_until):
            age = "none were read yet" if cached is None else f"the last are {now - cached.keys.read_at:.0f} s old"
            what = "sign" if sign else "verify"
            doubt, fault = self._doubt(cached, now)
            raise KeysUnavailableError(f"no keys to {what} with, {age}: {fault or self._source.place}", doubt)
        return cached

    def _doubt(self, cached: CachedKeys | None, now: float) -> tuple[Doubt | None, str]:
        """
        Return why *cached* may be the past, and that in words.
        """
        if self._cache.fault or cached is None:
            return Doubt.UNREAD if self._cache.fault else None, self._cache.fault
        if cached.seen_bounds and now > cached.sign_until:
            return Doubt.UNSEEN, unseen(cached.keys, self._source.place)
        missing = self._refresher.announcements.missing(cached.keys, now)
        return Doubt.BEHIND if missing else None, missing

    def _found(self, kid: str) -> Keys | None:
        cached = self._cache.cached
        if cached is None or self._clock() > cached.verify_until or kid not in cached.keys.verifying:
            return None
        return cached.keys
