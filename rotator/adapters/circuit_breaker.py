"""
A circuit breaker: after a failure callers fail at once until a back-off has passed; then one of them probes.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from rotator.model.times import MAX_BACKOFF, backoff


def random_backoff(failures: int, cap: float = MAX_BACKOFF.total_seconds()) -> float:
    """
    Return the seconds to wait after so many failures in a row, with full jitter: 1 s up to *cap* seconds.
    """
    jitter = random.random()  # noqa: S311 - not a secret
    return backoff(failures, timedelta(seconds=cap), jitter=jitter).total_seconds()


class Breaker:
    """
    Counts failures in a row. Every caller that `enter` let through reports afterwards that it `failed` or `worked`.

    It keeps callers out for *cap* seconds at most. Safe to use from several threads.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, cap: float = MAX_BACKOFF.total_seconds()
    ) -> None:
        self._monotonic = monotonic
        self._cap = cap
        self._lock = threading.Lock()
        self._failures = 0
        self._shut_until = 0.0
        self._probing = False

    def enter(self) -> float:
        """
        Return 0 to let the caller through, else the seconds until a caller may try again.
        """
        with self._lock:
            now = self._monotonic()
            if not self._failures:
                return 0.0
            if now < self._shut_until:
                return self._shut_until - now
            # Half-open: one caller probes, the others keep failing fast.
            self._probing, self._shut_until = True, now + self._cap
            return 0.0

    def failed(self) -> None:
        """
        Shut, for longer the more probes failed; callers that were let through together count as one.
        """
        with self._lock:
            if self._probing or not self._failures:
                self._failures, self._probing = self._failures + 1, False
            self._shut_until = self._monotonic() + random_backoff(self._failures, self._cap)

    def worked(self) -> None:
        """
        Open again.
        """
        with self._lock:
            self._failures, self._probing = 0, False
