"""
Reading addresses beside the passes: one that is slow or silent delays no keyset, and no other address.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from rotator.adapters.jwks.read_back import Answer, fetch
from rotator.errors import PublicationError, PublicationPendingError
from rotator.model.publication import Publication
from rotator.model.times import backoff

TIMEOUT = 10.0
# Seconds that a pass waits for an answer. Then it ends, and the answer brings the next one.
BRIEF = 0.5
# Seconds for which an answer may confirm a key.
FRESH = 5.0
PER_HOST = 8
Check = Callable[[str, Answer], object]


@dataclass(frozen=True, slots=True)
class _Result:
    """
    What came of a request that *began* and ended `at` these moments: an answer, or what is wrong.
    """

    began: float
    at: float
    answer: Answer | None
    error: str


@dataclass(slots=True)
class _Address:
    """
    One address: since when which keyset asks it, and to show what; whether it is being read; and the last result.
    """

    url: str
    host: str
    asked: dict[str, tuple[float, str]] = field(default_factory=dict)
    busy: bool = False
    result: _Result | None = None
    failures: int = 0
    cap: timedelta = timedelta(0)
    not_before: float = 0.0

    def wanted(self, now: float) -> bool:
        """
        Whether a question is open and may be asked now.
        """
        open_since = max((since for since, _ in self.asked.values()), default=None)
        if open_since is None or self.busy or now < self.not_before:
            return False
        return self.result is None or self.result.began < open_since


class Fetches:
    """
    Reads addresses, each in a thread of its own, at most eight of one host at a time. Safe to use from several threads.

    Who asks waits *patience* seconds at most, and not at all for a host that was slow the last time. *on_result* is
    then told the keyset, once its answer is there. An address that failed slowly is left alone for a while (back-off);
    keysets see to it that one which fails at once is not asked too often. Only an answer to a request that began after
    the question can fail it; an earlier one, fresh enough, can confirm.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        timeout: float = TIMEOUT,
        patience: float | None = None,
        on_result: Callable[[str], object] = lambda _: None,
        get: Callable[[str, float, Path | None], Answer] = fetch,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca_file = ca_file
        self._timeout = timeout
        self._patience = timeout + 1.0 if patience is None else patience
        self._on_result = on_result
        self._get = get
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._addresses: dict[str, _Address] = {}
        self._waiting: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._late: set[str] = set()
        self._results = 0

    def read(self, publication: Publication, urls: Iterable[str], check: Check) -> None:
        """
        Return if a fresh answer of every address passes *check*, which raises PublicationError.

        Raises what *check* raises, PublicationError for an address that cannot be read, and PublicationPendingError
        while an answer is on its way.
        """
        keyset, until = publication.document.keyset, self._monotonic() + self._patience
        waiting = [self._address(url, publication) for url in urls]
        with self._changed:
            self._waiting[keyset] += 1
        try:
            while True:
                with self._changed:
                    seen = self._results
                waiting = [address for address in waiting if not self._settled(address, publication, check)]
                if not waiting:
                    return
                self._wait(waiting, seen, until)
        finally:
            with self._changed:
                self._waiting[keyset] -= 1

    def _address(self, url: str, publication: Publication) -> _Address:
        with self._changed:
            if url not in self._addresses:
                self._addresses[url] = _Address(url, urlsplit(url).netloc if "[" not in url else url)
            self._addresses[url].cap = publication.timing.propagation_time / 4
            return self._addresses[url]

    def _settled(self, address: _Address, publication: Publication, check: Check) -> bool:
        """
        Return whether the last result confirms; raise what it tells if it answers the question; else see to the next.
        """
        keyset, text = publication.document.keyset, publication.document.jwks
        with self._changed:
            now, result = self._monotonic(), address.result
            since, asked_for = address.asked.get(keyset, (now, ""))
            if asked_for != text:
                since = now
            fresh = result is not None and now - result.at <= FRESH
            answered = result is not None and result.began >= since
            resting = now < address.not_before
        try:
            if result is not None and (fresh or resting):
                _judge(address.url, result, check)
                self._forget(address, keyset)
                return True
        except PublicationError:
            if answered or resting:
                self._forget(address, keyset)
                raise
        with self._changed:
            address.asked[keyset] = (now if answered else since, text)
            self._start_due()
        return False

    def _forget(self, address: _Address, keyset: str) -> None:
        with self._changed:
            address.asked.pop(keyset, None)

    def _wait(self, waiting: list[_Address], seen: int, until: float) -> None:
        """
        Wait for another result than those that were *seen*; raises PublicationPendingError if that takes too long.
        """
        with self._changed:
            if self._results != seen:
                return
            left = until - self._monotonic()
            slow = [address for address in waiting if left <= 0 or address.host in self._late]
            if not slow:
                self._changed.wait(left)
                return
            self._late.update(address.host for address in slow)
        raise PublicationPendingError(f"{slow[0].url} has not answered yet")

    # -- the requests --------------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        """
        Begin what may begin. The lock is held.
        """
        now = self._monotonic()
        for address in self._addresses.values():
            if address.wanted(now) and self._busy[address.host] < PER_HOST:
                # Counted first: the thread may be done before `start` returns.
                address.busy = True
                self._busy[address.host] += 1
                threading.Thread(target=self._read, args=(address,), name="read-back", daemon=True).start()

    def _read(self, address: _Address) -> None:
        began, answer, error = self._monotonic(), None, ""
        try:
            answer = self._get(address.url, self._timeout, self._ca_file)
        except PublicationError as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - those who wait must learn of it
            error = f"{address.url} cannot be read: {type(failure).__name__}"
        with self._changed:
            now = self._monotonic()
            address.result, address.busy = _Result(began, now, answer, error), False
            address.failures = address.failures + 1 if answer is None and now - began >= BRIEF else 0
            # A little sooner than the keysets ask again, so that one wait does not follow on another.
            rest = 0.8 * backoff(address.failures, address.cap).total_seconds() if address.failures else 0.0
            address.not_before = now + rest
            if now - began < self._patience:
                self._late.discard(address.host)
            self._busy[address.host] -= 1
            self._results += 1
            answered = [name for name, (since, _) in address.asked.items() if since <= began or answer is None]
            due = [name for name in answered if not self._waiting[name]]
            self._start_due()
            self._changed.notify_all()
        for name in due:
            self._on_result(name)


def _judge(url: str, result: _Result, check: Check) -> None:
    if result.answer is None:
        raise PublicationError(result.error)
    check(url, result.answer)
