"""
When a reader reads next. Decides from the moments it is given: no clock, no thread and no lock in here.
"""

import math
import random
from datetime import timedelta

from rotator.adapters.circuit_breaker import backoff
from rotator.client.jose.keys import DEFAULT_TIMING, Keys

MAX_POLL = timedelta(minutes=5)
MAX_COOLDOWN = 30.0
MIN_GAP = 0.2
# A source whose caches are to be asked says how long it keeps an answer; one that does not is asked this often.
POLL_OF_A_URL = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# From one look for what was hinted at to the next, in seconds. Daemons serve what others saved within about two.
_LATE_AFTER = (0.4, 0.8, 1.2, 2.0, 3.0)
_LATE_READINGS = len(_LATE_AFTER)


class RefreshSchedule:
    """
    The moments of one reader's readings, in seconds of `clock.now()`.

    Polls follow one another within half the propagation time. Whoever asks is served at once, which a search for an unknown
    kid may do once per cooldown. A hint is served at once, too, and allows one more search; but anybody may forge hints, so
    each that led to nothing new doubles the wait of the next, up to half a minute or an eighth of the propagation time.
    Whatever happens, two readings begin MIN_GAP apart.
    """

    def __init__(self, poll: timedelta | None, cooldown: timedelta | None) -> None:
        self._wanted_poll, self._wanted_cooldown = poll, cooldown
        self._timing, self._may_keep = DEFAULT_TIMING, MAX_POLL
        self._failures = 0
        self._began_at = self._polls_at = self._searches_at = -math.inf
        self._reading = self._asked = self._fresh = False
        # Hints: is one waiting, is one what the reading under way is for; when and how far apart they are served.
        self._hinted = self._serves_hint = False
        self._hints_at, self._hints_apart = -math.inf, MIN_GAP
        self._epoch, self._expected, self._late_readings, self._late_at = "", 0, 0, math.inf

    @property
    def due(self) -> float:
        """
        When the next reading is to begin.
        """
        wishes = [self._polls_at, self._late_at]
        if self._asked:
            wishes.append(-math.inf)
        if self._hinted:
            wishes.append(self._hints_at)
        return max(min(wishes), self._began_at + MIN_GAP)

    @property
    def poll(self) -> float:
        """
        The most seconds from the beginning of one poll to that of the next.
        """
        longest = min(self._timing.propagation_time / 2, self._may_keep)
        return max(min(self._wanted_poll or longest, longest).total_seconds(), MIN_GAP)

    @property
    def cooldown(self) -> float:
        """
        Seconds from one search for an unknown kid to the next.
        """
        return self._wanted_cooldown.total_seconds() if self._wanted_cooldown else self._calm

    def neglected(self, now: float) -> bool:
        """
        Whether no reading was even tried for longer than a poll: at the beginning, after a suspend or a fork.
        """
        return not self._reading and now - self._began_at > self.poll

    def ask(self, *, fresh: bool) -> None:
        """
        Have a reading begin after now; *fresh*: by a source that asks its caches to look again.
        """
        self._asked, self._fresh = True, self._fresh or fresh

    def search(self, now: float) -> bool:
        """
        Ask, if it is time for a search; return whether it is.
        """
        if now < self._searches_at:
            return False
        self._searches_at = now + self.cooldown
        self.ask(fresh=True)
        return True

    def hint(self, now: float, epoch: str = "", sequence: int = 0) -> None:
        """
        Have a reading begin when the next hint is served.

        It is repeated a few times while *sequence* of *epoch* is not there yet: a standby of the store may lag. A JWKS tells no
        sequence, and is served a moment after a command changed the store: there it is repeated even where a change was
        found, which may be an earlier one.
        """
        if now - self._hints_at > self._calm:
            self._hints_apart = MIN_GAP
        self._hinted = True
        self._searches_at = min(self._searches_at, self._hints_at)
        self._late_readings = _LATE_READINGS
        if epoch == self._epoch:  # of another we would not take the keys
            self._expected = max(sequence, self._expected)

    def begin(self, now: float) -> bool:
        """
        Note that a reading begins; return whether it is to be a fresh one.
        """
        fresh = self._fresh or self._hinted or now >= self._late_at
        self._late_at = math.inf
        self._began_at, self._polls_at, self._serves_hint = now, math.inf, self._hinted
        self._reading, self._asked, self._fresh, self._hinted = True, False, False, False
        return fresh

    def end(self, now: float, keys: Keys | None, may_keep: timedelta | None, *, news: bool) -> None:
        """
        Note how the reading went: it brought *keys*, None where it failed, and their place lets them be kept so long.
        """
        self._reading = False
        if news:
            self._hints_at, self._hints_apart = -math.inf, MIN_GAP
        elif self._serves_hint:
            self._hints_at = self._began_at + self._hints_apart
            self._hints_apart = min(2 * self._hints_apart, self._calm)
        if keys is None:
            self._failures += 1
            self._polls_at = now + min(self.poll, backoff(self._failures))
            return
        self._failures, self._timing = 0, keys.timing
        if may_keep is None:
            may_keep = MAX_POLL if keys.epoch else POLL_OF_A_URL
        self._may_keep = min(max(may_keep, _SECOND), MAX_POLL)
        # Counted from the beginning, for that is how old the keys are.
        self._polls_at = self._began_at + self.poll * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
        self._epoch = keys.epoch
        if self._late_readings and (not keys.epoch or keys.sequence < self._expected):
            # As far apart as hints are served, so that forged ones do not get by this what they do not get themselves.
            self._late_at = self._began_at + max(_LATE_AFTER[-self._late_readings], self._hints_apart)
            self._late_readings -= 1
        else:
            self._expected = self._late_readings = 0

    @property
    def _calm(self) -> float:
        return max(1.0, min(MAX_COOLDOWN, self._timing.propagation_time.total_seconds() / 8))
