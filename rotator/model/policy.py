"""
Policies: how a keyset is rotated, which durations are possible together, and how long a JWKS may be cached.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rotator.model.algorithms import MIN_RSA_BITS, Algorithm
from rotator.model.times import SECOND, format_duration

MAX_POLL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Timing:
    """
    The three durations that signers and verifiers keep to. Their sum is the retention.
    """

    propagation_time: timedelta
    max_token_lifetime: timedelta
    clock_skew: timedelta

    @property
    def retention(self) -> timedelta:
        """
        How long an old key stays after its deactivation: until the last token that it signed has expired everywhere.
        """
        return self.retention_of(self.max_token_lifetime)

    def retention_of(self, longest_token: timedelta) -> timedelta:
        """
        Return how long a key stays after it signed last, if the longest token that it signed lives for *longest_token*.
        """
        return self.propagation_time + longest_token + self.clock_skew

    def longest(self, other: "Timing") -> "Timing":
        """
        Return the longer of each duration: what is safe for those who know only one of the two.
        """
        return Timing(
            max(self.propagation_time, other.propagation_time),
            max(self.max_token_lifetime, other.max_token_lifetime),
            max(self.clock_skew, other.clock_skew),
        )


class Readers(StrEnum):
    """
    Which fields the readers of an HMAC keyset use: the flat ones, which hold one old key, or the list `keys[]`.
    """

    FLAT = "flat"
    KEYS = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    How one keyset is to be rotated.

    `well_known` puts its keys into the combined JWKS. `retain` is a legal hold: nothing is retired or purged. `rotates`
    is False for a keyset that is gone from the configuration: it is served and retired on time, but not rotated.
    `heartbeat` promises signers a save at least every P/4, so that one that is shown the past can stop.
    """

    algorithm: Algorithm
    rotation_period: timedelta
    timing: Timing
    rsa_bits: int = MIN_RSA_BITS
    well_known: bool = False
    readers: Readers = Readers.FLAT
    retain: bool = False
    rotates: bool = True
    heartbeat: bool = False

    @property
    def one_old_key(self) -> bool:
        """
        Whether readers see only one old key, so that a rotation must wait until the last old key has retired.
        """
        return self.algorithm.symmetric and self.readers is Readers.FLAT

    def faults(self) -> list[str]:
        """
        Return what is impossible in this policy, a text each with every way out; empty if it can work.
        """
        found = []
        period, timing, say = self.rotation_period, self.timing, format_duration
        if timing.propagation_time < SECOND:
            found.append("propagation_time must be at least 1s")
        if timing.max_token_lifetime < SECOND:
            found.append("max_token_lifetime must be at least 1s")
        if period <= timing.propagation_time:
            found.append(
                f"rotation_period ({say(period)}) must be longer than propagation_time ({say(timing.propagation_time)}); "
                f"raise rotation_period above {say(timing.propagation_time)} "
                f"or lower propagation_time below {say(period)}"
            )
        elif self.one_old_key and period < timing.retention:
            room = period - timing.propagation_time - timing.clock_skew
            lower = (
                f"lower max_token_lifetime to at most {say(room)}"
                if room >= SECOND
                else "lower propagation_time and clock_skew"
            )
            found.append(
                f"retention ({say(timing.retention)} = propagation_time + max_token_lifetime + clock_skew) exceeds "
                f"rotation_period ({say(period)}), and readers of the flat fields know one old secret only; "
                f'raise rotation_period to at least {say(timing.retention)} or {lower} (or say readers = "keys" '
                "when every reader uses keys[])"
            )
        return found

    @property
    def poll_interval(self) -> timedelta:
        """
        The longest time between two readings of a keyset: an eighth of propagation_time, at most five minutes.
        """
        return min(self.timing.propagation_time / 8, MAX_POLL)


def max_age(timing: Timing) -> int:
    """
    Return for how many seconds a published JWKS may be cached: a quarter of propagation_time, at most five minutes.

    The header is made in `daemon/jwks_pages.py`; for the combined JWKS the shortest of its keysets counts.
    """
    return int(min(timing.propagation_time / 4, MAX_POLL).total_seconds())


def unconfigured() -> Policy:
    """
    Return the policy of a keyset that the configuration does not have, before its document is read: it never rotates.
    """
    timing = Timing(2 * SECOND, SECOND, SECOND)
    return Policy(algorithm=Algorithm.HS256, rotation_period=60 * SECOND, timing=timing, rotates=False)
