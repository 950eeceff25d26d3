"""
The waking job: run every period by the monotonic clock, whatever the wall clock does.

APScheduler keeps the time of the next run by the wall clock. Alone it would compute every missed run after a step
forward, and stand still after a step back until the wall clock has caught up.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from rotator.ports.log import Log

_JOB = "wake"


class PeriodicTrigger(BaseTrigger):  # type: ignore[misc]
    """
    A trigger that fires one *period* from now, always. `asked_at` is when it last said so, in monotonic seconds.
    """

    def __init__(self, period: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._period = timedelta(seconds=period)
        self._monotonic = monotonic
        self.asked_at = monotonic()

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """
        Return the next run as the wall clock shows it now: later than *now*, so that no run counts as missed.
        """
        del previous_fire_time
        self.asked_at = self._monotonic()
        return now + self._period

    def late(self) -> bool:
        """
        Return whether the scheduler did not ask for longer than it should have waited: the wall clock was set back.
        """
        return self._monotonic() - self.asked_at > 1.25 * self._period.total_seconds()


class Waker:
    """
    Calls *job* every *period* seconds, one call at a time, from `start` to `stop`.

    A guard thread, which goes by the monotonic clock, makes the job due if the scheduler oversleeps. A job that raises
    is logged and called again; *on_exit* is called if it tried to end the process.
    """

    def __init__(self, job: Callable[[], None], period: float, log: Log, on_exit: Callable[[], None]) -> None:
        self._job = job
        self._period = period
        self._log = log
        self._on_exit = on_exit
        self._trigger = PeriodicTrigger(period)
        self._stopped = threading.Event()
        self._scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self) -> None:
        """
        Begin to call the job; the first call comes after one period.
        """
        self._scheduler.add_job(self._job, self._trigger, id=_JOB)
        self._scheduler.add_listener(self._tell, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start()
        threading.Thread(target=self._guard, name="waker", daemon=True).start()

    def stop(self) -> None:
        """
        Call the job no more. One that runs is not waited for.
        """
        self._stopped.set()
        self._scheduler.shutdown(wait=False)

    def _guard(self) -> None:
        while not self._stopped.wait(self._period / 2):
            if self._trigger.late():
                with suppress(JobLookupError):  # stopped meanwhile
                    self._scheduler.modify_job(_JOB, next_run_time=datetime.now(UTC))

    def _tell(self, event: JobExecutionEvent) -> None:
        error = getattr(event, "exception", None)
        self._log.error("tick_failed", code=event.code, detail=str(error) if error else "")
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self._on_exit()
