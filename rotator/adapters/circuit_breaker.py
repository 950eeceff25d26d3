"""
A circuit breaker: after a failure nobody waits for timeouts until a back-off has passed, and then one caller does.
"""

import random
import threading
import time
from collections.abc import Callable

MIN_BACKOFF, MAX_BACKOFF = 1.0, 30.0


def backoff(failures: int, cap: float = MAX_BACKOFF) -> float:
    """
    Return the seconds to wait after so many failures in a row: full jitter below 1 s doubling to *cap*, at least 1 s.
    """
    longest = min(cap, MIN_BACKOFF * 2 ** min(failures - 1, 10))
    return max(MIN_BACKOFF, random.uniform(0, longest))  # noqa: S311 - jitter, not a secret


class Breaker:
    """
    Counts failures in a row. Every caller that `enter` let through says afterwards that it `failed` or `worked`.

    Nobody is kept out for longer than *cap* seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, cap: float = MAX_BACKOFF) -> None:
        self._monotonic = monotonic
        self._cap = cap
        self._lock = threading.Lock()
        self._failures = 0
        self._shut_until = 0.0
        self._trying = False

    def enter(self) -> float:
        """
        Return 0 to let the caller through, else the seconds until somebody may try again.
        """
        with self._lock:
            now = self._monotonic()
            if not self._failures:
                return 0.0
            if now < self._shut_until:
                return self._shut_until - now
            # Whoever tries keeps the others out until it knows.
            self._trying, self._shut_until = True, now + self._cap
            return 0.0

    def failed(self) -> None:
        """
        Shut, for longer the more tries failed; callers that were let through together count as one.
        """
        with self._lock:
            if self._trying or not self._failures:
                self._failures, self._trying = self._failures + 1, False
            self._shut_until = self._monotonic() + backoff(self._failures, self._cap)

    def worked(self) -> None:
        """
        Open again.
        """
        with self._lock:
            self._failures, self._trying = 0, False
