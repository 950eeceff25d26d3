"""
A keyset kept fresh: by hints, by polling, and when a token names a key that is not known.

One thread reads, so that there is one request at a time however many callers wait. The last good keys are served through
any failure until they are too old to be safe; then nobody gets any.
"""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Self

from rotator.client import clock
from rotator.client.arguments import require_callable, require_durations, require_seconds
from rotator.client.cache import READ_TIMEOUT, CachedKeys, KeyCache
from rotator.client.errors import KeysUnavailableError
from rotator.client.jose.keys import Keys
from rotator.client.protocols import Hints, Listener, Provider, ReaderStatus
from rotator.client.refresh import RefreshSchedule
from rotator.client.sources.document import Source
from rotator.errors import ConfigError

__all__ = ["Hints", "KeysetReader", "Listener", "Provider", "ReaderStatus"]

START_TIMEOUT = 10.0
SEARCH_TIMEOUT = 2.0
_LOOK = 1.0


class KeysetReader:
    """
    The keys of one keyset, from *source*. Safe to use from several threads, from asyncio, and after a fork.

    It reads at start, at a hint (*hints*), about every *poll_interval*, and once per *cooldown* (30 s or an eighth of the
    propagation time) for kids that it does not know; once more after a hint. By default it polls at half the propagation time,
    at most 5 minutes, what a JWKS says it may be kept for, or half of *max_stale*; longer ones are cut to that, and up to a
    fifth is taken off by chance.

    After a failed reading the last good keys are served for *max_stale*: by default as long as no key of theirs can have
    been retired (retention), at most a day. Signing stops at the propagation time even so, for retention counts on it.
    A set that is empty, of another epoch, or with a lower sequence than before is a failed reading, too.
    """

    # GeneratedKey anew in a process forked from this one: the threads are not there, and the lock may be held for ever.
    _condition: threading.Condition  # guards what follows and the keys, and tells of every change
    _thread: threading.Thread | None
    _listener: Listener | None
    _schedule: RefreshSchedule
    _waiting: int  # how many callers wait for the first keys
    _begun: int  # readings are counted; one is under way while more were begun than are done
    _done: int
    _asked_for: int  # the reading that somebody asked for last, and when that was, in monotonic seconds
    _asked_at: float
    _ended: Future[None]  # done when the reading under way, or the next one, is

    def __init__(
        self,
        source: Source,
        *,
        hints: Hints | None = None,
        max_stale: timedelta | None = None,
        poll_interval: timedelta | None = None,
        cooldown: timedelta | None = None,
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
        self._source, self._hints = source, hints
        # Polls must come before keys are stale, with time for another.
        self._poll = min((limit for limit in (poll_interval, max_stale and max_stale / 2) if limit), default=None)
        self._cooldown = cooldown
        self._hand = KeyCache(source, max_stale)
        self._closed = False
        self._renew()
        _readers.add(self)

    def start(self, timeout: float = START_TIMEOUT) -> Self:
        """
        Begin to read, and wait until there are keys; raises KeysUnavailableError after *timeout* seconds.

        It is then closed, unless it ran before, or others wait for it, too. With a timeout of 0 it returns at once: a service
        that may start without keys refuses tokens until it has some.
        """
        require_seconds(timeout=timeout)
        self._start(timeout, threading.Event())
        return self

    def close(self) -> None:
        """
        Stop reading and forget the keys; whoever asks for them from now on gets KeysUnavailableError, unless it is started again.
        """
        self._end(patience=READ_TIMEOUT + _LOOK)

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with; raises KeysUnavailableError when there are none, or none fresh enough.
        """
        held = self._hand.held
        if held is None or clock.now() > held.verify_until:
            held = self._revived(wait=wait, sign=False)
        elif self._thread is None:
            self._awake()
        return held.keys

    def signing(self) -> Keys:
        """
        Return the keys to sign with, never older than the propagation time; raises KeysUnavailableError.
        """
        held = self._hand.held
        if held is None or clock.now() > held.sign_until:
            held = self._revived(wait=True, sign=True)
        elif self._thread is None:
            self._awake()
        if held.keys.signing is None:
            raise KeysUnavailableError(f"{self._source.place}: no key signs here; signers read the signing document")
        return held.keys

    def search(self, kid: str) -> Keys | None:
        """
        Look for *kid* anew, once per cooldown for all callers together, and wait for the answer.
        """
        self._awake()
        with self._condition:
            if self._schedule.search(clock.now()):
                self._ask()
            self._wait(SEARCH_TIMEOUT)
        return self._found(kid)

    async def asearch(self, kid: str) -> Keys | None:
        """
        Do as `search` does; however many tasks wait, they take no thread.
        """
        self._awake()
        with self._condition:
            if self._schedule.search(clock.now()):
                self._ask()
            number, until = self._asked_for, self._asked_at + SEARCH_TIMEOUT
        while (left := until - time.monotonic()) > 0:
            with self._condition:
                if self._done >= number or not self._thread:
                    break
                ended = self._ended
            await asyncio.wait([asyncio.wrap_future(ended)], timeout=left)
        return self._found(kid)

    def refresh(self, timeout: float = READ_TIMEOUT) -> Keys:
        """
        Read now, wait for it at most *timeout* seconds, and return the keys to verify with.
        """
        require_seconds(timeout=timeout)
        self._awake()
        with self._condition:
            self._ask()
            self._wait(timeout)
        return self.verifying()

    async def arefresh(self) -> Keys:
        """
        Do as `refresh` does, without holding up an event loop.
        """
        return await asyncio.to_thread(self.refresh)

    def secrets(self) -> tuple[str, ...]:
        """
        Return the texts of an HMAC keyset, the one to sign with first: for frameworks that take a secret and fallbacks.

        Raises KeysUnavailableError where there are none.
        """
        keys = self.signing()
        if not keys.secrets:
            raise KeysUnavailableError(f"{self._source.place}: holds key pairs, and no shared secrets")
        return tuple(secret.reveal() for secret in keys.secrets)

    def on_change(self, call: Callable[[Keys], object]) -> None:
        """
        Have *call* called with the keys, at once where there are any, and after every change; from the reading thread.
        """
        require_callable(call=call)
        self._hand.on_change(call)

    @property
    def status(self) -> ReaderStatus:
        """
        How this reader is doing.
        """
        held, listener, now = self._hand.held, self._listener, clock.now()
        return ReaderStatus(
            place=self._source.place,
            age=None if held is None else now - held.keys.read_at,
            stale=held is None or self._closed or now > held.verify_until,
            fault=self._hand.fault,
            epoch=held.keys.epoch if held else "",
            sequence=held.keys.sequence if held else 0,
            hints="off" if listener is None else listener.fault or "listening",
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        gives_up = threading.Event()
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, START_TIMEOUT, gives_up))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread that starts us cannot be cancelled: this makes it give up, and ends what it may have begun by then.
            gives_up.set()
            with self._condition:
                self._condition.notify_all()
            starting.add_done_callback(self._ended_too_late)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def _start(self, timeout: float, gives_up: threading.Event) -> threading.Thread | None:
        """
        Do as `start` does until *gives_up* is set; return the thread that was begun here.
        """
        with self._condition:
            if gives_up.is_set():
                raise KeysUnavailableError("nobody waits for keys any more")
            self._closed = False
            began = self._awake()
            if timeout == 0:
                return began
            self._waiting += 1
            self._condition.wait_for(
                lambda: self._hand.held or self._closed or not self._thread or gives_up.is_set(), timeout
            )
            self._waiting -= 1
            failed = self._hand.held is None or self._closed or gives_up.is_set()
        if failed:
            if began:
                self._end(patience=0.0, only=began)
            raise KeysUnavailableError(f"no keys within {timeout:g} s: {self._hand.fault or self._source.place}")
        return began

    def _ended_too_late(self, starting: "asyncio.Future[threading.Thread | None]") -> None:
        if not starting.cancelled() and not starting.exception() and (began := starting.result()):
            self._end(patience=0.0, only=began)

    def _renew(self) -> None:
        self._condition = threading.Condition()
        self._thread = self._listener = None
        self._schedule = RefreshSchedule(self._poll, self._cooldown)
        self._waiting = self._begun = self._done = self._asked_for = 0
        self._asked_at = 0.0
        self._ended = Future()

    def _forked(self) -> None:
        """
        Begin anew in a forked process: at once where somebody waits to be told, else when first asked for keys.
        """
        ran = self._thread is not None
        self._renew()
        self._hand.renew()
        if ran and self._hand.watched:
            self._awake()

    def _awake(self) -> threading.Thread | None:
        """
        Have the thread running, and return it if it was begun here.

        Raises KeysUnavailableError when closed: old keys would do until the next rotation, and nobody would notice before.
        """
        with self._condition:
            if self._closed:
                raise KeysUnavailableError(
                    f"{self._source.place}: this reader was closed; use it inside its `with`, or start it"
                )
            if self._thread is not None:
                return None
            thread = threading.Thread(target=self._run, name="keyset", daemon=True)
            try:
                if self._hints is not None and self._listener is None:
                    self._listener = self._hints.listen(self._on_hint, self._on_gap)
                thread.start()
            except RuntimeError as error:  # no more threads: what was read is served, and the next caller tries again
                self._hand.fault = str(error)
                return None
            self._thread = thread
            self._ask(fresh=False)
            return thread

    def _end(self, patience: float, only: threading.Thread | None = None) -> None:
        """
        End what runs; with *only*, where that is this thread, and nobody waits for its keys.
        """
        with self._condition:
            if only is not None and (self._thread is not only or self._waiting):
                return
            self._closed = True
            thread, self._thread = self._thread, None
            listener, self._listener = self._listener, None
            self._hand.forget()
            self._tell_waiters()
        if listener is not None:
            listener.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _tell_waiters(self) -> None:
        self._condition.notify_all()
        ended, self._ended = self._ended, Future()
        ended.set_result(None)

    # -- the thread that reads -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        me = threading.current_thread()
        while (reading := self._next(me)) is not None:
            began, fresh = reading
            found, may_keep = self._hand.read(began, fresh=fresh)
            with self._condition:
                if self._thread is not me:
                    return
                news = self._hand.take(found)
                self._schedule.end(clock.now(), found.keys if found else None, may_keep, news=news)
                self._done = self._begun
                self._tell_waiters()
            self._hand.tell()

    def _next(self, me: threading.Thread) -> tuple[float, bool] | None:
        """
        Wait until a reading is due, looking meanwhile whether the source tells of a change; None at the end.

        Return when the reading began, and whether it is to be a fresh one.
        """
        looked_at = clock.now()
        while True:
            with self._condition:
                if self._thread is not me:
                    return None
                now, due = clock.now(), self._schedule.due
                if now >= due:
                    self._begun += 1
                    return now, self._schedule.begin(now)
                if (left := min(due, looked_at + _LOOK) - now) > 0:
                    self._condition.wait(left)
                    continue
            looked_at = now
            if self._hand.look():
                with self._condition:
                    self._schedule.ask(fresh=False)

    # -- those who ask -------------------------------------------------------------------------------------------------

    def _revived(self, *, wait: bool, sign: bool) -> CachedKeys:
        """
        Keys are missing or stale: wait for a reading that was asked for, or that nobody tried lately, else refuse.
        """
        if wait or self._closed:
            self._awake()
            with self._condition:
                if self._schedule.neglected(clock.now()):
                    self._ask()
                elif self._begun > max(self._done, self._asked_for) and not self._hand.fault:
                    # The thread woke first: what it reads now is what we want. Where readings fail, nobody waits for them.
                    self._asked_for, self._asked_at = self._begun, time.monotonic()
                self._wait(READ_TIMEOUT)
        held, now = self._hand.held, clock.now()
        if held is None or now > (held.sign_until if sign else held.verify_until):
            age = "none were read yet" if held is None else f"the last are {now - held.keys.read_at:.0f} s old"
            what = "sign" if sign else "verify"
            raise KeysUnavailableError(f"no keys to {what} with, {age}: {self._hand.fault or self._source.place}")
        return held

    def _found(self, kid: str) -> Keys | None:
        held = self._hand.held
        if held is None or clock.now() > held.verify_until or kid not in held.keys.verifying:
            return None
        return held.keys

    def _ask(self, *, fresh: bool = True) -> None:
        """
        Have a reading begin after now. Call it with the condition held, as the next one.
        """
        self._schedule.ask(fresh=fresh)
        self._asked_for, self._asked_at = self._begun + 1, time.monotonic()
        self._condition.notify_all()

    def _wait(self, patience: float) -> None:
        """
        Wait for the reading that was asked for last, no longer than *patience* after it was asked for.
        """
        number, left = self._asked_for, self._asked_at + patience - time.monotonic()
        self._condition.wait_for(lambda: self._done >= number or not self._thread, max(0.0, left))

    def _on_hint(self, keyset: str, epoch: str, sequence: int) -> None:
        held = self._hand.held
        if self._source.keyset and keyset != self._source.keyset:
            return
        # One that was heard before counts again: the first may have been forged, or came before a JWKS was served anew.
        if held and held.keys.epoch == epoch and held.keys.sequence >= sequence:
            return
        with self._condition:
            self._schedule.hint(clock.now(), epoch, sequence)
            self._condition.notify_all()

    def _on_gap(self) -> None:
        with self._condition:
            self._schedule.hint(clock.now())
            self._condition.notify_all()


_readers: "weakref.WeakSet[KeysetReader]" = weakref.WeakSet()


def _after_fork() -> None:
    for reader in list(_readers):
        reader._forked()  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_after_fork)
