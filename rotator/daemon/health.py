"""
How the daemon fares: what /readyz, metrics and systemd are told. Read from each keyset's last status; no I/O.

A keyset is not ready if it was not seen lately, if its rotation is overdue, or while an alarm stalls it
(`AlarmReason.stalls` in `model/reasons.py`).
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.reconcile.alarms import Alarm
from rotator.reconcile.tracker import Tracker
from rotator.telemetry.metrics import KeysetSample
from rotator.wiring import Engine

MIN_FRESH = 2.0
MIN_ALIVE = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    Whether all is well, a word or two on each keyset, the active alarms, and what ails Redis, which holds nothing.
    """

    ready: bool
    keysets: Mapping[str, str]
    alarms: tuple[Alarm, ...] = ()
    redis_fault: str | None = None

    @property
    def some_well(self) -> bool:
        """
        Whether at least one keyset is well.
        """
        return "ok" in self.keysets.values()

    @property
    def summary(self) -> str:
        """
        One line for systemd: how many keysets are well, and the first alarm.
        """
        good = sum(line == "ok" for line in self.keysets.values())
        first = next((f"; {alarm}" for alarm in self.alarms), "")
        return f"{good} of {len(self.keysets)} keysets ok{first}"[:400].replace("\n", " ")


class Health:
    """
    The health of one daemon, whose waking job runs every *period* seconds and calls `beat`.

    Every method is quick, does no I/O, and may be called from any thread.
    """

    def __init__(self, engine: Engine, period: float) -> None:
        self._engine = engine
        self._period = period
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """
        Note that the waking job runs.
        """
        self._beat_at = time.monotonic()

    def alive(self) -> bool:
        """
        Return whether the waking job ran lately. If it did not, a restart is right.
        """
        return time.monotonic() - self._beat_at < max(MIN_ALIVE, 5 * self._period)

    def serving(self) -> bool:
        """
        Return whether every keyset was reconciled once, or is served as it was last seen.
        """
        cache = self._engine.cache
        return all(tracker.status or cache.get(tracker.name) for tracker in self._engine.queue.trackers)

    def readiness(self) -> Readiness:
        """
        Return whether every keyset was seen lately, rotates on time and is not stalled; and the active alarms.
        """
        alarms = self.active()
        stalled = {alarm.keyset for alarm in alarms if alarm.reason.stalls}
        lines = {tracker.name: _line(tracker, stalled) for tracker in self._engine.queue.trackers}
        return Readiness(all(line == "ok" for line in lines.values()), lines, alarms, self.redis_fault())

    def active(self) -> tuple[Alarm, ...]:
        """
        Return the active alarms.
        """
        return self._engine.alarms.active()

    def keysets(self) -> Iterable[KeysetSample]:
        """
        Yield what the metrics say of each keyset.
        """
        return (_sample(tracker) for tracker in self._engine.queue.trackers)

    def redis_fault(self) -> str | None:
        """
        Return why Redis could not be reached lately, "" if it could; None if none is configured.
        """
        return self._engine.publishing.feed_fault

    def token_expires_at(self) -> datetime | None:
        """
        Return when the Vault token expires; None if there is none, or it never does.
        """
        return self._engine.store.token_expires_at


def _line(tracker: Tracker, stalled: set[str]) -> str:
    status = tracker.status
    if status is None:
        return "not looked at yet"
    age = LOCAL_CLOCKS.monotonic() - status.seen_at
    if age > max(MIN_FRESH, tracker.policy.timing.propagation_time.total_seconds() / 4):
        return f"last seen {age:.0f} s ago"
    if status.overdue:
        return "rotation overdue"
    return "stalled" if tracker.name in stalled else "ok"


def _sample(tracker: Tracker) -> KeysetSample:
    status = tracker.status
    keyset = status.keyset if status else None
    states = {"next": 0, "current": 0, "old": 0}
    created: dict[str, datetime] = {}
    for key in keyset.keys() if keyset else ():
        states[key.state.value] += 1
        created[key.state.value] = min(created.get(key.state.value, key.created_at), key.created_at)
    return KeysetSample(
        name=tracker.name,
        sequence=keyset.sequence if keyset else 0,
        states=states,
        created=created,
        rotates_at=keyset.rotates_at if keyset else None,
        last_success=status.clock.earliest if status else None,
        notify_pending=status.notify_pending if status else False,
        rotations=status.rotations if status else 0,
    )
