"""
The waking job: it runs every period by the monotonic clock, and neither runs away nor stands still.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES
from apscheduler.job import Job

from rotator.daemon.waker import PeriodicTrigger, Waker
from tests.support.fakes import START, ManualClock
from tests.support.process import RecordingLog

PERIOD = 0.02
PATIENCE = 10.0
YEAR = timedelta(days=365)
STEPS = [timedelta(seconds=15), timedelta(hours=1), timedelta(days=30), YEAR, START - datetime(1970, 1, 1, tzinfo=UTC)]


class Woken:
    """A job that notes each of its calls, and then does as it is told."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[None] = SimpleQueue()
        self.then: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        """Note a call."""
        self.calls.put(None)
        self.then()

    def often(self, times: int = 3) -> None:
        """Wait until it was called so many times more; raises Empty."""
        for _ in range(times):
            self.calls.get(timeout=PATIENCE)


@pytest.fixture
def job() -> Woken:
    """A job."""
    return Woken()


@pytest.fixture
def exits() -> list[str]:
    """What the job's exits came to."""
    return []


@pytest.fixture
def log() -> RecordingLog:
    """A log."""
    return RecordingLog()


@pytest.fixture
def waker(job: Woken, log: RecordingLog, exits: list[str]) -> Iterator[Waker]:
    """A waker at work."""
    made = Waker(job, PERIOD, log, lambda: exits.append("asked to end"))
    made.start()
    yield made
    made.stop()


def test_the_job_is_called_again_and_again(waker: Waker, job: Woken) -> None:
    """Every period."""
    job.often(5)
    assert waker is not None


@pytest.mark.parametrize("step", STEPS)
def test_a_step_back_does_not_stop_it(waker: Waker, job: Woken, step: timedelta) -> None:
    """To the scheduler the next run is then as far in the future as the wall clock went back."""
    job.often(1)
    for _ in range(2):
        waker._scheduler.modify_job("wake", next_run_time=datetime.now(UTC) + step)
        job.often()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_forward_misses_no_runs(step: timedelta) -> None:
    """The run that was planned is late by the whole step, and it is one run."""
    trigger, late = PeriodicTrigger(1.0), START - step
    runs = Job._get_run_times(_JobAt(trigger, late), START)
    assert runs == [late]
    assert trigger.get_next_fire_time(late, START) == START + timedelta(seconds=1)


class _JobAt:
    """What APScheduler computes missed runs from."""

    def __init__(self, trigger: PeriodicTrigger, next_run_time: datetime) -> None:
        self.trigger = trigger
        self.next_run_time = next_run_time


def test_the_scheduler_is_late_when_it_did_not_ask_for_a_quarter_longer_than_a_period() -> None:
    """By the monotonic clock alone; a step of the wall clock is not time."""
    clock = ManualClock()
    trigger = PeriodicTrigger(8.0, clock.monotonic)
    clock.step(YEAR)
    clock.advance(10.0)
    assert not trigger.late()
    clock.advance(0.1)
    assert trigger.late()
    trigger.get_next_fire_time(None, clock.wall())
    clock.step(-YEAR)
    assert not trigger.late()


@pytest.mark.parametrize(("error", "ends"), [(OSError("no threads"), []), (SystemExit("9"), ["asked to end"])])
def test_a_job_that_raises_is_logged_and_called_again(
    waker: Waker, job: Woken, log: RecordingLog, exits: list[str], error: BaseException, ends: list[str]
) -> None:
    """One that tried to end the process asks for the end."""
    told: SimpleQueue[None] = SimpleQueue()

    def fail() -> None:
        if told.empty():
            told.put(None)
            raise error

    job.then = fail
    job.often()
    assert waker is not None
    assert ("error", "tick_failed", {"code": EVENT_JOB_ERROR, "detail": str(error)}) in log.events
    assert exits == ends


def test_a_job_that_hangs_is_logged_and_not_called_twice_at_once(waker: Waker, job: Woken, log: RecordingLog) -> None:
    """The scheduler goes on asking, and says each time that the last call has not ended."""
    go_on: SimpleQueue[None] = SimpleQueue()
    said: SimpleQueue[None] = SimpleQueue()
    log.error = lambda *_args, **fields: said.put(fields["code"])  # type: ignore[method-assign, assignment]
    job.then = lambda: go_on.get(timeout=PATIENCE)
    assert {said.get(timeout=PATIENCE) for _ in range(3)} == {EVENT_JOB_MAX_INSTANCES}
    called = job.calls.qsize()
    assert {said.get(timeout=PATIENCE) for _ in range(3)} == {EVENT_JOB_MAX_INSTANCES}
    assert job.calls.qsize() == called
    job.then = lambda: None
    go_on.put(None)
    job.often()
    assert waker is not None


def test_a_guard_that_finds_no_job_goes_on(waker: Waker, job: Woken) -> None:
    """As in the moment of the end, when the scheduler has dropped its jobs."""
    waker._scheduler.remove_job("wake")
    waker._trigger.asked_at -= 3600
    job.calls = SimpleQueue()
    waker._scheduler.add_job(job, waker._trigger, id="wake", next_run_time=datetime.now(UTC) + YEAR)
    job.often()
