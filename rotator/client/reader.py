"""
A keyset kept fresh: by hints, by polling, and when a token names a key that is not known.

One thread reads, so that there is one request at a time however many callers wait. The last good keys are served through
any failure until they are too old to be safe; then nobody gets any.
"""

import asyncio
import os
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, Self

from rotator.adapters.breaker import backoff
from rotator.client import clock
from rotator.client.errors import KeysUnavailableError
from rotator.client.keys import DEFAULT_TIMING, Keys
from rotator.client.sources import Quiet, Source
from rotator.errors import ConfigError, RotatorError

START_TIMEOUT = 10.0
READ_TIMEOUT = 5.0
SEARCH_TIMEOUT = 2.0
LONGEST_POLL = timedelta(minutes=5)
LONGEST_STALE = timedelta(days=1)
LONGEST_COOLDOWN = 30.0
# A source whose caches are to be asked says how long it keeps an answer; one that does not is asked this often.
POLL_OF_A_URL = timedelta(minutes=1)
_LOOK = 1.0
_BETWEEN_READINGS = 0.2
_HINTS_REMEMBERED = 64
_LAGS = (0.1, 0.3, 1.0, 3.0)
_SECOND = timedelta(seconds=1)


class Provider(Protocol):
    """
    Who has keys for a Verifier and a Signer: a KeysetReader, or StaticKeys.
    """

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with; raises KeysUnavailableError, without trying to get some unless it may *wait*.
        """
        ...

    def signing(self) -> Keys:
        """
        Return the keys to sign with; raises KeysUnavailableError.
        """
        ...

    def search(self, kid: str) -> Keys | None:
        """
        Return keys that hold *kid* after looking for it anew, None where there is no such key or no looking now.
        """
        ...


class Listener(Protocol):
    """
    Somebody who listens for hints, from now until `stop`.
    """

    fault: str

    def stop(self) -> None:
        """
        Listen no more.
        """
        ...


class Hints(Protocol):
    """
    A place that tells of changes, such as RedisHints. Without any authority: whoever is told reads again.
    """

    def listen(self, on_hint: Callable[[str, str, int], None], on_gap: Callable[[], None]) -> Listener:
        """
        Call *on_hint* with keyset, epoch and sequence of a change, *on_gap* where some may have been missed.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """
    How a reader is doing, for a readiness probe: `age` in seconds of what it serves, `fault` of the last reading or "".
    """

    place: str
    age: float | None
    stale: bool
    fault: str
    epoch: str
    sequence: int
    hints: str


class KeysetReader:
    """
    The keys of one keyset, from *source*. Safe to use from several threads, from asyncio, and after a fork.

    It reads at start, at a hint (*hints*), about every *poll_interval* (by default half the propagation time, at most 5
    minutes or what a JWKS says it may be kept for; longer ones are cut to that, and up to a fifth is taken off by chance),
    and once per *cooldown* (30 s or an eighth of the propagation time) for kids that it does not know; once more after a hint.

    After a failed reading the last good keys are served for *max_stale*: by default as long as no key of theirs can have
    been retired (retention), at most a day. Signing stops at the propagation time even so, for retention counts on it.
    A set that is empty, of another epoch, or with a lower sequence than before is a failed reading, too.
    """

    # Made anew in a process forked from this one.
    _condition: threading.Condition
    _thread: threading.Thread | None
    _listener: Listener | None
    _asked: int
    _done: int
    _fresh: bool
    _searching: int | None
    _search_after: float
    _began_at: float
    _hinted: deque[tuple[str, str, int]]
    _expected: tuple[str, int]

    def __init__(
        self,
        source: Source,
        *,
        hints: Hints | None = None,
        max_stale: timedelta | None = None,
        poll_interval: timedelta | None = None,
        cooldown: timedelta | None = None,
    ) -> None:
        for name, value in (("max_stale", max_stale), ("poll_interval", poll_interval), ("cooldown", cooldown)):
            if value is not None and value <= timedelta(0):
                raise ConfigError(f"{name}: must be longer than nothing")
        self._source = source
        self._hints = hints
        self._max_stale, self._poll, self._cooldown = max_stale, poll_interval, cooldown
        self._log = Quiet()
        self._changed: list[Callable[[Keys], object]] = []
        self._keys: Keys | None = None
        self._may_keep: timedelta | None = None
        self._verify_until = self._sign_until = 0.0
        self._fault = ""
        self._closed = False
        self._renew()
        _readers.add(self)

    def start(self, timeout: float = START_TIMEOUT) -> Self:
        """
        Begin to read, and wait until there are keys; raises KeysUnavailableError after *timeout* seconds, and is then closed.

        With a timeout of 0 it returns at once: a service that may start without keys refuses tokens until it has some.
        """
        self._closed = False
        self._awake()
        if timeout <= 0:
            return self
        end = clock.now() + timeout
        with self._condition:
            while self._keys is None and (left := end - clock.now()) > 0:
                self._condition.wait(left)
        if self._keys is None:
            self.close()
            raise KeysUnavailableError(f"no keys within {timeout:g} s: {self._fault or self._source.place}")
        return self

    def close(self) -> None:
        """
        Stop reading. What was read is served until it is stale.
        """
        self._closed = True
        with self._condition:
            thread, self._thread = self._thread, None
            self._condition.notify_all()
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * READ_TIMEOUT)

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return the keys to verify with; raises KeysUnavailableError when there are none, or none fresh enough.
        """
        keys = self._keys
        if keys is None or clock.now() > self._verify_until:
            return self._revived(wait=wait, sign=False)
        if self._thread is None:
            self._awake()
        return keys

    def signing(self) -> Keys:
        """
        Return the keys to sign with, never older than the propagation time; raises KeysUnavailableError.
        """
        keys = self._keys
        if keys is None or clock.now() > self._sign_until:
            keys = self._revived(wait=True, sign=True)
        elif self._thread is None:
            self._awake()
        if keys.signing is None:
            raise KeysUnavailableError(f"{self._source.place}: no key signs here; signers read the signing document")
        return keys

    def search(self, kid: str) -> Keys | None:
        """
        Look for *kid* anew, once per cooldown for all callers together, and wait for the answer.
        """
        with self._condition:
            now = clock.now()
            if self._searching is None:
                if now < self._search_after:
                    return None
                self._search_after = now + self._cooldown_seconds()
                self._searching = self._ask(fresh=True)
            ticket = self._searching
            self._wait(ticket, SEARCH_TIMEOUT)
            if self._searching == ticket and self._done >= ticket:
                self._searching = None
        keys = self._keys
        return keys if keys is not None and kid in keys.verifying else None

    def refresh(self, timeout: float = READ_TIMEOUT) -> Keys:
        """
        Read now, wait for it at most *timeout* seconds, and return the keys to verify with.
        """
        self._awake()
        with self._condition:
            self._wait(self._ask(fresh=True), timeout)
        return self.verifying()

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
        self._changed.append(call)
        if self._keys is not None:
            call(self._keys)

    @property
    def status(self) -> ReaderStatus:
        """
        How this reader is doing.
        """
        keys, listener, now = self._keys, self._listener, clock.now()
        return ReaderStatus(
            place=self._source.place,
            age=None if keys is None else now - keys.read_at,
            stale=keys is None or now > self._verify_until,
            fault=self._fault,
            epoch=keys.epoch if keys else "",
            sequence=keys.sequence if keys else 0,
            hints="off" if listener is None else listener.fault or "listening",
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _renew(self) -> None:
        """
        Make everything that must not be shared with the process this one was forked from.
        """
        self._condition = threading.Condition()
        self._thread = None
        self._listener = None
        self._asked = self._done = 0
        self._fresh = False
        self._searching = None
        self._search_after = 0.0
        self._began_at = -LONGEST_POLL.total_seconds()
        self._hinted = deque(maxlen=_HINTS_REMEMBERED)
        self._expected = "", 0

    def _awake(self) -> None:
        """
        Have the thread running, unless closed.
        """
        with self._condition:
            if self._thread is not None or self._closed:
                return
            self._thread = threading.Thread(target=self._run, args=(os.getpid(),), name="keyset", daemon=True)
            self._asked += 1
            self._thread.start()
            if self._hints is not None:
                self._listener = self._hints.listen(self._on_hint, self._on_gap)

    def _run(self, pid: int) -> None:
        me, failures, lags = threading.current_thread(), 0, 0
        while self._thread is me and os.getpid() == pid:
            with self._condition:
                ticket, fresh, self._fresh = self._asked, self._fresh, False
            failures = 0 if self._read(fresh=fresh) else failures + 1
            with self._condition:
                self._done = ticket
                self._condition.notify_all()
            lags = lags + 1 if self._lagging() else 0
            if lags > len(_LAGS):
                lags, self._expected = 0, ("", 0)  # the hint was wrong, or the poll finds what is late
            pause = _LAGS[lags - 1] if lags else self._pause(failures)
            self._sleep(me, clock.now() + pause)

    def _sleep(self, me: threading.Thread, until: float) -> None:
        """
        Wait for the next reading's time, for somebody who asks, or for the source to tell of a change.
        """
        while self._thread is me and (left := until - clock.now()) > 0:
            with self._condition:
                if self._asked == self._done and self._thread is me:
                    self._condition.wait(min(left, _LOOK))
                asked = self._asked != self._done
            if asked:
                # Hints come in bursts; a forged flood of them costs no more than a few readings a second.
                with self._condition:
                    while self._thread is me and (early := self._began_at + _BETWEEN_READINGS - clock.now()) > 0:
                        self._condition.wait(early)
                return
            try:
                if self._source.look():
                    return
            except RotatorError as error:
                self._fault = str(error)

    def _read(self, *, fresh: bool) -> bool:
        """
        Read once, and install what is good; return whether it was.
        """
        began, known = clock.now(), self._keys
        self._began_at = began
        try:
            found, self._may_keep = self._source.read(known, READ_TIMEOUT, fresh=fresh)
            if known is not None and found is not known:
                _require_successor(known, found, self._source.place)
        except RotatorError as error:
            return self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live and the last good keys stay
            return self._failed(f"{self._source.place}: {type(error).__name__}")
        if self._fault:
            self._log.info("keys_read_again", place=self._source.place)
        keys = replace(found, read_at=began)
        self._install(keys)
        if found is not known:
            for call in self._changed:
                try:
                    call(keys)
                except Exception as error:  # noqa: BLE001 - a listener's fault is not the reader's
                    self._log.error("on_change_failed", error=type(error).__name__)
        return True

    def _install(self, keys: Keys) -> None:
        timing = keys.timing
        stale = self._max_stale or min(timing.retention, LONGEST_STALE)
        self._verify_until = keys.read_at + stale.total_seconds()
        self._sign_until = keys.read_at + min(self._max_stale or stale, timing.propagation_time).total_seconds()
        self._keys, self._fault = keys, ""

    def _failed(self, fault: str) -> bool:
        if fault != self._fault:
            self._log.warning("keys_not_read", fault=fault)
        self._fault = fault
        return False

    def _pause(self, failures: int) -> float:
        poll = self._poll_seconds()
        return min(poll, backoff(failures)) if failures else poll * random.uniform(0.8, 1.0)  # noqa: S311 - jitter

    def _poll_seconds(self) -> float:
        timing = self._keys.timing if self._keys else DEFAULT_TIMING
        longest = min(timing.propagation_time / 2, LONGEST_POLL)
        if self._keys is not None and not self._keys.epoch:
            longest = min(longest, max(self._may_keep or POLL_OF_A_URL, _SECOND))
        return min(self._poll or longest, longest).total_seconds()

    def _cooldown_seconds(self) -> float:
        if self._cooldown is not None:
            return self._cooldown.total_seconds()
        timing = self._keys.timing if self._keys else DEFAULT_TIMING
        return max(1.0, min(LONGEST_COOLDOWN, timing.propagation_time.total_seconds() / 8))

    def _revived(self, *, wait: bool, sign: bool) -> Keys:
        """
        Keys are missing or stale: wait for a reading where none was tried lately (a suspend, a fork), else refuse.
        """
        if wait and not self._closed and clock.now() - self._began_at > self._poll_seconds():
            self._awake()
            with self._condition:
                self._wait(self._ask(fresh=True), READ_TIMEOUT)
        keys, now = self._keys, clock.now()
        if keys is None or now > (self._sign_until if sign else self._verify_until):
            age = "none were read yet" if keys is None else f"the last are {now - keys.read_at:.0f} s old"
            what = "sign" if sign else "verify"
            raise KeysUnavailableError(f"no keys to {what} with, {age}: {self._fault or self._source.place}")
        return keys

    def _ask(self, *, fresh: bool) -> int:
        """
        Have a reading begin after now; return the ticket that is done with it. Call it with the condition held.
        """
        self._asked += 1
        self._fresh = self._fresh or fresh
        self._condition.notify_all()
        return self._asked

    def _wait(self, ticket: int, timeout: float) -> None:
        end = clock.now() + timeout
        while self._done < ticket and not self._closed and (left := end - clock.now()) > 0:
            self._condition.wait(left)

    def _on_hint(self, keyset: str, epoch: str, sequence: int) -> None:
        keys, hint = self._keys, (keyset, epoch, sequence)
        if self._source.keyset and keyset != self._source.keyset:
            return
        if hint in self._hinted or (keys is not None and keys.epoch == epoch and keys.sequence >= sequence):
            return
        self._hinted.append(hint)
        self._expected = (epoch, sequence)
        self._on_gap()

    def _on_gap(self) -> None:
        with self._condition:
            self._search_after = 0.0
            self._ask(fresh=True)

    def _lagging(self) -> bool:
        """
        Whether a hint spoke of a later save than a store shows: a standby of it may lag.
        """
        epoch, sequence = self._expected
        keys = self._keys
        return keys is not None and keys.epoch == epoch != "" and keys.sequence < sequence


def _require_successor(known: Keys, found: Keys, place: str) -> None:
    """
    Refuse what cannot follow from the keys in hand; only a restart, by somebody who looked, accepts it.
    """
    what = ""
    if found.epoch != known.epoch:
        what = f"has epoch {found.epoch}, and {known.epoch} was read before: created anew, or another store"
    elif found.sequence < known.sequence:
        what = f"has sequence {found.sequence}, lower than {known.sequence} that was read before: a lagging or restored store"
    elif found.epoch and found.sequence == known.sequence:
        what = f"has sequence {found.sequence} from two saves: an older document was put back and changed"
    if what:
        raise KeysUnavailableError(f"{place} {what}; restart this service to accept it")


_readers: "weakref.WeakSet[KeysetReader]" = weakref.WeakSet()


def _after_fork() -> None:
    # The parent's threads are not here, and its locks may have been held in the moment of the fork.
    for reader in list(_readers):
        reader._renew()  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_after_fork)
