"""
What the daemon notices of this machine's clocks when it wakes.
"""

import pytest

from rotator.reconcile.clock_watch import ClockWatch
from tests.support.fakes import ManualClock
from tests.support.process import RecordingLog
from tests.support.world import seconds


@pytest.fixture
def clock() -> ManualClock:
    """The clocks."""
    return ManualClock()


@pytest.fixture
def log() -> RecordingLog:
    """The log."""
    return RecordingLog()


@pytest.fixture
def watch(clock: ManualClock, log: RecordingLog) -> ClockWatch:
    """A watch that saw nothing yet."""
    return ClockWatch(clock, log)


@pytest.mark.parametrize("step", [15, -15, 365 * 86400, -365 * 86400])
def test_a_step_is_said_once(clock: ManualClock, log: RecordingLog, watch: ClockWatch, step: int) -> None:
    """With its size and direction; the way back is another step."""
    clock.step(seconds(step))
    clock.advance(1.0)
    assert watch.notice()
    clock.advance(1.0)
    assert not watch.notice()
    clock.step(seconds(-step))
    assert watch.notice()
    assert log.events == [
        ("warning", "clock_stepped", {"seconds": step}),
        ("warning", "clock_stepped", {"seconds": -step}),
    ]


def test_a_suspended_machine_is_no_step(clock: ManualClock, log: RecordingLog, watch: ClockWatch) -> None:
    """Its wall clock is right when it wakes; that it slept is said once."""
    clock.suspend(8 * 3600.0)
    assert watch.notice()
    clock.advance(1.0)
    assert not watch.notice()
    assert log.events == [("info", "resumed", {"suspended": 8 * 3600})]


def test_a_long_pause_is_nothing(clock: ManualClock, log: RecordingLog, watch: ClockWatch) -> None:
    """All clocks went on: the process was stopped, or starved."""
    clock.advance(3600.0)
    assert not watch.notice()
    assert log.events == []
