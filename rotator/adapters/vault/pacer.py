"""
Keeping to a rate limit that nobody told us: after a refusal, requests go one at a time, at an interval that is learnt.
"""

import threading
import time
from collections.abc import Callable

FIRST_INTERVAL, MIN_INTERVAL, MAX_INTERVAL = 0.05, 0.02, 10.0
# From here on it is quicker for everything to finish one thing after another.
SLOW = 0.1


class Pacer:
    """
    Gives turns to requests: at once until one is refused (status 429), then one by one, in the order in which they ask.

    The interval grows with each refusal and shrinks a little with each success, so it stays near the limit and is gone
    soon after that is. Safe to use from several threads.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._interval = 0.0
        self._next_turn = 0.0
        self._refused_at = 0.0
        self._in_a_row = False

    @property
    def slow(self) -> bool:
        """
        Whether so few requests are let through that they had better not compete.
        """
        return self._interval >= SLOW

    def turn(self, deadline: float) -> float | None:
        """
        Wait for a turn and return its moment, or return None at once if it would come after *deadline*.
        """
        with self._lock:
            now = self._monotonic()
            if not self._interval:
                return now
            turn = max(now, self._next_turn)
            if turn >= deadline:
                return None
            self._next_turn = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
        return turn

    def refused(self, turn: float, retry_after: float = 0.0) -> None:
        """
        Note that the request of that *turn* was refused, perhaps with the word to wait so many seconds.
        """
        with self._lock:
            now = self._monotonic()
            # What was sent before the last refusal, or given its turn before, tells nothing of the interval as it is now.
            if turn >= self._refused_at + 0.9 * self._interval:
                grown = self._interval * (1.5 if self._in_a_row else 1.25)
                self._interval = min(max(grown, FIRST_INTERVAL), MAX_INTERVAL)
                self._refused_at, self._in_a_row = now, True
            self._next_turn = max(self._next_turn, now + max(self._interval, retry_after))

    def worked(self) -> None:
        """
        Note that a request was let through.
        """
        if not self._interval:
            return
        with self._lock:
            self._in_a_row = False
            self._interval *= 0.96
            if self._interval < MIN_INTERVAL:
                self._interval = 0.0
