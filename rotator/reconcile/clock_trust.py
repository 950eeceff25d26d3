"""
Whether the store's clock may be trusted: a date that it gives is recorded, and keys come and go by it.

It is not trusted while one of these stands:

1. The local clock and the store's differ by more than clock_skew (`ClockReading.offset`, measured with each reply).
2. The two clocks of one reply, its own and that of the document's commit, contradict each other: two nodes of the store
   have two clocks, or the one was set back. That counts for one propagation time.
3. The store's clock stepped against this host's monotonic clock (`lifecycle/clock_steps.py`).
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rotator.lifecycle.clock_steps import ClockState, follow
from rotator.model.document import ClockReading
from rotator.model.policy import Policy, Timing
from rotator.model.reasons import AlarmReason
from rotator.model.times import format_duration
from rotator.ports.clock_memory import ClockMemory
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ClockView:
    """
    What this process thinks of the store's clock, for one keyset. `fault` says why it is not trusted, "" if it is.

    `ahead_since`: the monotonic second since which the document is one of the future; `apart_at`: when the reply to a
    save last showed two clocks.
    """

    state: ClockState
    ahead_since: float | None = None
    apart_at: float | None = None
    fault: str = ""

    def now(self, clock: ClockReading) -> datetime:
        """
        Return the moment of *clock*, or if the store's clock stepped what it should show then.
        """
        if self.state.stepped is None:
            return clock.earliest
        return datetime.fromtimestamp(int(self.state.steady.shows(clock.read_at)), UTC)

    def contradicted(self, clock: ClockReading, timing: Timing) -> bool:
        """
        Whether two clocks of the store contradicted each other within the last propagation time.
        """
        moments = (moment for moment in (self.ahead_since, self.apart_at) if moment is not None)
        return any(clock.read_at - moment < timing.propagation_time.total_seconds() for moment in moments)


class ClockTrust:
    """
    Judges each reading of the store's clock, with what earlier processes of this host kept in *memory* (None: nothing).

    Raises and clears the alarm for it, unless there are no *alarms*.
    """

    def __init__(self, memory: ClockMemory | None = None, alarms: Alarms | None = None) -> None:
        self._memory = memory
        self._alarms = alarms

    def judge(
        self, before: ClockView | None, name: str, policy: Policy, clock: ClockReading, snapshot: Snapshot | None
    ) -> ClockView:
        """
        Return what to think of the store's clock after the reading *clock*, which came with *snapshot* if that exists.
        """
        keyset = snapshot.keyset if snapshot else None
        timing = policy.timing.longest(keyset.timing) if keyset else policy.timing
        recalled = None if before or not self._memory else self._memory.recall(name, clock)
        # If an earlier process knew the clock, a document of the future was one for that, too: it counted then.
        ahead_since = before.ahead_since if before else (-math.inf if recalled else None)
        view = ClockView(
            follow(before.state if before else recalled, clock, keyset, timing),
            _ahead_since(ahead_since, snapshot, timing),
            _apart_at(before.apart_at if before else None, snapshot, timing),
        )
        fault = offset_fault(clock, policy.timing) or _step_fault(view.state, clock, timing)
        if not fault and view.contradicted(clock, timing):
            fault = "two clocks of the store differ by more than clock_skew; correct the clocks of its nodes"
        if self._memory:
            self._memory.remember(name, view.state)
        if self._alarms and fault:
            self._alarms.raise_(name, AlarmReason.CLOCK, fault)
        elif self._alarms:
            self._alarms.clear(name, AlarmReason.CLOCK)
        return replace(view, fault=fault)


def offset_fault(clock: ClockReading, timing: Timing) -> str:
    """
    Return by how much the local clock differs from the store's, and the way out; "" if that is within clock_skew.
    """
    if clock.trusted(timing.clock_skew):
        return ""
    return (
        f"the local clock is {_distance(clock.offset.total_seconds())} the store's, more than clock_skew "
        f"({format_duration(timing.clock_skew)}); correct it"
    )


def _step_fault(state: ClockState, clock: ClockReading, timing: Timing) -> str:
    if state.stepped is None:
        return ""
    ahead, patience = state.steady.ahead(clock), timing.propagation_time.total_seconds()
    left = patience - (clock.read_at - state.stepped.at)
    return (
        f"the store's clock stepped: it is {_distance(ahead)} where it should be by this host's monotonic clock; correct "
        f"it, or if it is right now wait: without another step it counts as right in {left:.0f} s"
    )


def _ahead_since(before: float | None, snapshot: Snapshot | None, timing: Timing) -> float | None:
    if (
        snapshot is None
        or snapshot.committed_at - snapshot.clock.latest <= timing.clock_skew + snapshot.clock.tolerance
    ):
        return None
    return snapshot.clock.read_at if before is None else before


def _apart_at(before: float | None, snapshot: Snapshot | None, timing: Timing) -> float | None:
    if snapshot is None or snapshot.loaded:
        return before
    apart = abs(snapshot.committed_at - snapshot.clock.earliest) > timing.clock_skew + snapshot.clock.tolerance
    return snapshot.clock.read_at if apart else before


def _distance(ahead: float) -> str:
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
