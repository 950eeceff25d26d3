"""
A pass that hangs is alarmed with its keyset and what it hangs in, and hurts no other.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from rotator.adapters.files.bounded import BoundedCalls
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.hang_watch import HangWatch
from tests.support.fakes import ManualClock
from tests.support.process import RecordingLog
from tests.support.scripted import until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging pass waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_a_pass_that_takes_long_is_alarmed_until_it_ends(gate: threading.Event) -> None:
    """Not before its time; the alarm names the function of ours that it is in, and other passes raise none."""
    clock, alarms = ManualClock(), Alarms(RecordingLog())
    watch, calls, begun = HangWatch(alarms, clock.monotonic, 20.0), BoundedCalls(60), threading.Event()

    def hang() -> None:
        with watch.watching("web"):
            begun.set()
            calls.call(gate.wait)

    with ThreadPoolExecutor(1) as workers:
        workers.submit(hang)
        assert begun.wait(5)
        clock.advance(20.0)
        with watch.watching("internal"):
            assert watch.look() == ()
            clock.advance(timedelta(seconds=1))
            assert watch.look() == ("web",)
        (alarm,) = alarms.active()
        assert (alarm.keyset, alarm.reason) == ("web", AlarmReason.HANGS)
        assert alarm.detail.startswith(
            "its pass takes 21 s by now, in rotator.adapters.files.bounded.BoundedCalls.call; "
        )
        gate.set()
        until(lambda: not alarms.active())
    assert watch.look() == ()


def test_a_pass_that_fails_is_not_watched_any_more() -> None:
    """However it ends."""
    clock, alarms = ManualClock(), Alarms(RecordingLog())
    watch = HangWatch(alarms, clock.monotonic)

    def failing() -> None:
        with watch.watching("web"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    clock.advance(1000.0)
    assert watch.look() == ()
