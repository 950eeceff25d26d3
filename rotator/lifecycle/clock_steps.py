"""
How a step of the store's clock is noticed, and what waits because of it. Pure.

A wall clock can be set; the monotonic clock cannot. So the store's clock, read now and then, must run as the monotonic
clock does. If it does not, it stepped, whoever set it: store and daemon may share one clock, so comparing the two says
nothing. The rules:

1. Small differences are followed slowly: whole seconds, the way of a reply, and the drift of two clocks explain them.
2. When it steps, the deadlines of keys that were there before go on by the clock that dated them (`dated_by`), which the
   monotonic clock carries on: as much time has to pass as there was to go, and no more.
3. An old key that the document dates in the future, though it is old already, was dated by a clock that was wrong, and
   nothing is known of that one: its retention counts from the first reading that is trusted.
4. A step by more than clock_skew is not trusted: nothing gets a date from it until the clock came back, or went on
   without another step for one propagation time. Then the new time counts as right, and rules 2 and 3 still hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from rotator.lifecycle.holds import misdated
from rotator.model.document import ClockReading
from rotator.model.keys import Key, Kid
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing

MAX_DRIFT = 0.001
JITTER = 2.0


@dataclass(frozen=True, slots=True)
class SteadyClock:
    """
    A clock that runs with the monotonic one, and showed `time` (seconds since 1970) at the monotonic second `at`.

    `tolerance` says by how many seconds the reading that it goes back to may have been wrong.
    """

    time: float
    at: float
    tolerance: float = 0.0

    def shows(self, at: float) -> float:
        """
        Return what it shows at a monotonic second.
        """
        return self.time + at - self.at

    def ahead(self, reading: ClockReading) -> float:
        """
        Return by how many seconds *reading* is ahead of it, 0 if rounding, the reply's way or drift may explain that.
        """
        ahead = reading.earliest.timestamp() - self.shows(reading.read_at)
        room = JITTER + self.tolerance + reading.tolerance.total_seconds() + self._drift(reading)
        return ahead if abs(ahead) > room else 0.0

    def followed(self, reading: ClockReading) -> "SteadyClock":
        """
        Return it moved towards *reading*, as far as drift or a reading that is more precise may explain.
        """
        shown, tolerance = self.shows(reading.read_at), min(self.tolerance, reading.tolerance.total_seconds())
        most = self._drift(reading) + self.tolerance - tolerance
        ahead = reading.earliest.timestamp() - shown
        return SteadyClock(shown + max(-most, min(most, ahead)), reading.read_at, tolerance)

    def _drift(self, reading: ClockReading) -> float:
        return MAX_DRIFT * max(0.0, reading.read_at - self.at)


_NOTHING: Mapping[Kid, SteadyClock] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ClockState:
    """
    What one process knows of the store's clock: as it ran while it was trusted last, and as it runs since it `stepped`.

    `dated_by` has the clock by which the deadline of a key counts, if that is an earlier one; `known` has the old keys
    that were seen while the clock was trusted last.
    """

    steady: SteadyClock
    stepped: SteadyClock | None = None
    dated_by: Mapping[Kid, SteadyClock] = field(default_factory=lambda: _NOTHING)
    known: frozenset[Kid] = frozenset()

    def waiting(self, keyset: Keyset, at: float) -> frozenset[Kid]:
        """
        Return the keys whose deadline was not reached, at the monotonic second *at*, by the clock that dated it.
        """
        return frozenset(kid for kid, left in self._left(keyset, at) if left > 0)

    def over(self, keyset: Keyset, at: float) -> frozenset[Kid]:
        """
        Return the keys whose deadline was reached by the clock that dated it, with room for what it may be wrong by.
        """
        return frozenset(
            kid for kid, left in self._left(keyset, at) if left + JITTER + self.dated_by[kid].tolerance <= 0
        )

    def _left(self, keyset: Keyset, at: float) -> Iterator[tuple[Kid, float]]:
        for key, _, deadline in _deadlines(keyset):
            if (clock := self.dated_by.get(key.kid)) is not None:
                yield key.kid, deadline.timestamp() - clock.shows(at)


def clock_of(reading: ClockReading) -> SteadyClock:
    """
    Return a steady clock that agrees with *reading*.
    """
    return SteadyClock(reading.earliest.timestamp(), reading.read_at, reading.tolerance.total_seconds())


def follow(before: ClockState | None, reading: ClockReading, keyset: Keyset | None, timing: Timing) -> ClockState:
    """
    Return what is known of the store's clock after *reading*, by the rules at the head of this module.

    *timing* holds the propagation time and clock skew in force.
    """
    known = frozenset(key.kid for key in keyset.old) if keyset else frozenset()
    if before is None:
        return ClockState(clock_of(reading), None, _redated(_NOTHING, reading, keyset), known)
    ahead = before.steady.ahead(reading)
    dated_by = dict(_dated_by(before, reading, keyset, ahead)) if keyset else _NOTHING
    if not ahead:
        return ClockState(before.steady.followed(reading), None, _redated(dated_by, reading, keyset), known)
    stepped = before.stepped
    if stepped is None or stepped.ahead(reading):
        stepped = clock_of(reading)
    small = abs(ahead) <= (timing.clock_skew + reading.tolerance).total_seconds()
    if small or reading.read_at - stepped.at >= timing.propagation_time.total_seconds():
        return ClockState(clock_of(reading), None, _redated(dated_by, reading, keyset), known)
    return ClockState(before.steady, stepped, dated_by, before.known)


def _dated_by(
    before: ClockState, reading: ClockReading, keyset: Keyset, ahead: float
) -> Iterator[tuple[Kid, SteadyClock]]:
    """
    Yield each key whose deadline was dated before a step, and the clock that did.

    After a step back, only the old keys that were seen before it: another daemon may have dated a key by the new time,
    and that one would leave too early.
    """
    shown = before.steady.shows(reading.read_at)
    for key, begun, _ in _deadlines(keyset):
        if key.kid in before.dated_by:
            yield key.kid, before.dated_by[key.kid]
        elif (ahead > 0 and begun.timestamp() <= shown + JITTER) or (ahead < 0 and key.kid in before.known):
            yield key.kid, before.steady


def _redated(
    dated_by: Mapping[Kid, SteadyClock], reading: ClockReading, keyset: Keyset | None
) -> Mapping[Kid, SteadyClock]:
    """
    Return *dated_by*, and for each old key from the future a clock that shows at *reading* when the key became old.
    """
    from_future = {
        key.kid: SteadyClock(key.deactivated_at.timestamp(), reading.read_at)
        for key in (keyset.old if keyset else ())
        if keyset and misdated(key.deactivated_at, keyset, reading.earliest)
    }
    return {**from_future, **dated_by}


def _deadlines(keyset: Keyset) -> Iterator[tuple[Key, datetime, datetime]]:
    """
    Yield each key that has a deadline, the date from which that was counted, and the deadline.
    """
    for key in keyset.old:
        yield key, key.deactivated_at, key.retire_at
    if keyset.next and keyset.next.published_at and keyset.next.usable_at:
        yield keyset.next, keyset.next.published_at, keyset.next.usable_at
