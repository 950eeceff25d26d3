"""
When a reader refreshes next. Decides from the moments it is given: no clock, no thread and no lock in here.
"""

import math
import random
from dataclasses import dataclass
from datetime import timedelta

from rotator.adapters.circuit_breaker import random_backoff
from rotator.client.jose.keys import DEFAULT_TIMING, Keys
from rotator.model.policy import MAX_POLL

MAX_COOLDOWN = 30.0
MIN_GAP = 0.2
# A JWKS host says how long its answer may be kept; one that does not is polled this often.
JWKS_POLL = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Pauses between refreshes for a change that was announced but is not served yet, in seconds. Daemons serve what another
# process saved within about two seconds.
_REPEAT_AFTER = (0.4, 0.8, 1.2, 2.0, 3.0)
_REPEATS = len(_REPEAT_AFTER)


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The waits of a reader that no policy bounds, in seconds. Services keep the defaults; tests shorten them.

    `min_gap` lies between the beginnings of two refreshes at least, `check_interval` between two calls of
    `Source.changed`; a search ends after `search_timeout`.
    """

    min_gap: float = MIN_GAP
    check_interval: float = 1.0
    search_timeout: float = 2.0


class RefreshSchedule:
    """
    The moments of one reader's refreshes, in seconds of its clock.

    Polls follow one another within half the propagation time. A request is served at once; a search for an unknown
    kid may make one per cooldown. A hint is served at once, too, and allows one more search. But hints can be forged,
    so each hint that led to nothing new doubles the wait of the next, up to half a minute or an eighth of the
    propagation time. Two refreshes never begin less than *min_gap* seconds apart.
    """

    def __init__(self, poll: timedelta | None, cooldown: timedelta | None, min_gap: float = MIN_GAP) -> None:
        self._wanted_poll, self._wanted_cooldown, self._min_gap = poll, cooldown, min_gap
        self._timing, self._may_keep = DEFAULT_TIMING, MAX_POLL
        self._failures = 0
        self._began_at = self._poll_at = self._search_at = -math.inf
        self._under_way = self._requested = self._fresh = False
        # Hints: whether one waits, whether the refresh under way serves one, when the next is served and how far apart.
        self._hinted = self._serves_hint = False
        self._hint_at, self._hint_gap = -math.inf, min_gap
        self._epoch, self._expected, self._repeats, self._repeat_at = "", 0, 0, math.inf

    @property
    def due(self) -> float:
        """
        When the next refresh is to begin.
        """
        moments = [self._poll_at, self._repeat_at]
        if self._requested:
            moments.append(-math.inf)
        if self._hinted:
            moments.append(self._hint_at)
        return max(min(moments), self._began_at + self._min_gap)

    @property
    def poll(self) -> float:
        """
        The most seconds from the beginning of one poll to the beginning of the next.
        """
        longest = min(self._timing.propagation_time / 2, self._may_keep)
        return max(min(self._wanted_poll or longest, longest).total_seconds(), self._min_gap)

    @property
    def cooldown(self) -> float:
        """
        Seconds from one search for an unknown kid to the next.
        """
        return self._wanted_cooldown.total_seconds() if self._wanted_cooldown else self._max_hint_gap

    def is_overdue(self, now: float) -> bool:
        """
        Whether no refresh was even tried for longer than a poll: at the beginning, after a suspend or a fork.
        """
        return not self._under_way and now - self._began_at > self.poll

    def request(self, *, fresh: bool) -> None:
        """
        Let a refresh begin as soon as possible. *fresh* makes the source ask caches on the way for a new answer.
        """
        self._requested, self._fresh = True, self._fresh or fresh

    def search(self, now: float) -> bool:
        """
        Request a fresh refresh if the cooldown is over; return whether it is.
        """
        if now < self._search_at:
            return False
        self._search_at = now + self.cooldown
        self.request(fresh=True)
        return True

    def hint(self, now: float, epoch: str = "", sequence: int = 0) -> None:
        """
        Let a refresh begin when the next hint is served.

        It is repeated a few times while *sequence* of *epoch* has not arrived: a standby of the store may lag. A JWKS
        tells no sequence, and the daemon serves it a moment after a command changed the store. So there it is
        repeated even if the first refresh found a change, which may be an earlier one.
        """
        if now - self._hint_at > self._max_hint_gap:
            self._hint_gap = self._min_gap
        self._hinted = True
        self._search_at = min(self._search_at, self._hint_at)
        self._repeats = _REPEATS
        if epoch == self._epoch:  # keys of another epoch would be rejected
            self._expected = max(sequence, self._expected)

    def begin(self, now: float) -> bool:
        """
        Record that a refresh begins; return whether it is to be a fresh one.
        """
        fresh = self._fresh or self._hinted or now >= self._repeat_at
        self._repeat_at = math.inf
        self._began_at, self._poll_at, self._serves_hint = now, math.inf, self._hinted
        self._under_way, self._requested, self._fresh, self._hinted = True, False, False, False
        return fresh

    def end(self, now: float, keys: Keys | None, may_keep: timedelta | None, *, changed: bool) -> None:
        """
        Record that the refresh brought *keys* (None if it failed), which the source lets be kept for *may_keep*.
        """
        self._under_way = False
        if changed:
            self._hint_at, self._hint_gap = -math.inf, self._min_gap
        elif self._serves_hint:
            self._hint_at = self._began_at + self._hint_gap
            self._hint_gap = min(2 * self._hint_gap, self._max_hint_gap)
        if keys is None:
            self._failures += 1
            self._poll_at = now + min(self.poll, random_backoff(self._failures))
            return
        self._failures, self._timing = 0, keys.timing
        if may_keep is None:
            may_keep = MAX_POLL if keys.epoch else JWKS_POLL
        self._may_keep = min(max(may_keep, _SECOND), MAX_POLL)
        # Counted from the beginning, as the age of the keys is.
        self._poll_at = self._began_at + self.poll * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
        self._epoch = keys.epoch
        if self._repeats and (not keys.epoch or keys.sequence < self._expected):
            # Never closer together than hints are served, so that forged hints gain nothing by repeats.
            self._repeat_at = self._began_at + max(_REPEAT_AFTER[-self._repeats], self._hint_gap)
            self._repeats -= 1
        else:
            self._expected = self._repeats = 0

    @property
    def _max_hint_gap(self) -> float:
        return max(1.0, min(MAX_COOLDOWN, self._timing.propagation_time.total_seconds() / 8))
