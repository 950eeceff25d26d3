"""
Which keysets to look at now: due times, workers, and one gentle probe at a time while the store is away.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta

from rotator.errors import (
    DocumentError,
    FrozenError,
    InvariantError,
    NotificationError,
    StoreDeniedError,
    StoreUnavailableError,
)
from rotator.lifecycle.decisions import Wait
from rotator.model.reasons import Reason
from rotator.ports.clocks import Clocks
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.reconciler import JwksCache, Reconciler
from rotator.reconcile.tracker import MAX_BACKOFF, Watch, backoff

CLOCK_STEP = 2.0
TROUBLE = (Reason.UNAVAILABLE, Reason.DENIED, Reason.FROZEN, Reason.INVARIANT, Reason.INTERNAL, Reason.LAGGING)


class WorkQueue:
    """
    Keeps the due time of every watch, and hands due keysets to workers; one keyset's trouble never stops another's looks.

    *poll_interval* None means P/8 of each keyset, at most five minutes. A look is jittered by 20 % so that daemons spread.
    """

    def __init__(
        self,
        watches: Iterable[Watch],
        reconciler: Reconciler,
        showcase: JwksCache,
        notifier: Notifier | None,
        pending: Callable[[], Iterable[str]],
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        poll_interval: timedelta | None = None,
    ) -> None:
        self.watches = {watch.name: watch for watch in watches}
        self._reconciler = reconciler
        self._showcase = showcase
        self._notifier = notifier
        self._pending = pending
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._poll = poll_interval
        self._lock = threading.Lock()
        self._outages = 0
        self._outage_until = 0.0
        self._probing = False
        self._steps = 0
        self._clock_offset: float | None = None
        self._shortest_p = min(
            (w.policy.timing.propagation_time for w in self.watches.values()), default=timedelta(hours=2)
        )

    def tick(self, workers: Executor) -> None:
        """
        Hand what is due to *workers* and return at once; no I/O here. Called about every second.
        """
        self._watch_clock()
        with self._lock:
            names = self._take_due()
        if names:
            workers.submit(self._round, names, workers)

    def run_once(self, workers: Executor) -> None:
        """
        Look at every keyset once and return when all is done.
        """
        with self._lock:
            names = list(self.watches)
            for name in names:
                self.watches[name].busy = True
        announced = self._announced(names)
        list(workers.map(lambda name: self._look(name, announced), names))

    def hint(self, name: str, epoch: str, sequence: int) -> None:
        """
        Look soon at a keyset that somebody says has changed, unless it was seen as new as that already.
        """
        watch = self.watches.get(name)
        if watch is None:
            return
        view = watch.view
        if view and view.keyset.epoch == epoch and sequence <= view.keyset.sequence:
            return
        with self._lock:
            # A busy keyset is looked at once more afterwards; hints never make looks more frequent than one a second.
            if watch.busy:
                watch.again = True
            else:
                watch.due = min(watch.due, max(self._clocks.monotonic(), (watch.seen_at or 0.0) + 1.0))

    def make_all_due(self) -> None:
        """
        Make every keyset due: after a gap in the hints, or when the file store changed.
        """
        now = self._clocks.monotonic()
        with self._lock:
            for watch in self.watches.values():
                watch.due = min(watch.due, now)
                watch.again = watch.again or watch.busy

    @property
    def busy(self) -> bool:
        """
        Whether a look is under way.
        """
        return any(watch.busy for watch in self.watches.values())

    @property
    def outage(self) -> bool:
        """
        Whether the last answer of the store was none.
        """
        return self._outages > 0

    def _watch_clock(self) -> None:
        offset = self._clocks.wall().timestamp() - self._clocks.monotonic()
        if self._clock_offset is not None and abs(offset - self._clock_offset) > CLOCK_STEP:
            self._steps += 1
            self._log.warning("clock_stepped", seconds=round(offset - self._clock_offset))
            self.make_all_due()
        self._clock_offset = offset

    def _take_due(self) -> list[str]:
        now = self._clocks.monotonic()
        if now < self._outage_until or self._probing:
            return []
        due = [watch for watch in self.watches.values() if not watch.busy and watch.due <= now]
        if self._outages and due:
            due = [min(due, key=lambda watch: (watch.failures, watch.due))]
            self._probing = True
        for watch in due:
            watch.busy = True
        return [watch.name for watch in due]

    def _round(self, names: list[str], workers: Executor) -> None:
        announced = self._announced(names)
        for name in names[1:]:
            try:
                workers.submit(self._look, name, announced)
            except RuntimeError:  # the daemon is stopping
                self.watches[name].busy = False
        self._look(names[0], announced)

    def _announced(self, names: list[str]) -> Mapping[str, str] | None:
        if self._notifier is None:
            return None
        try:
            return self._notifier.announced(names)
        except NotificationError as error:
            self._log.debug("announced_unknown", detail=str(error))
            return None

    def _look(self, name: str, announced: Mapping[str, str] | None) -> None:
        watch = self.watches[name]
        stepped, watch.clock_steps = watch.clock_steps != self._steps, self._steps
        delay = self._soon(watch)
        try:
            wait = self._reconciler.look(watch, announced, clock_stepped=stepped)
        except StoreUnavailableError as error:
            self._trouble(watch, Reason.UNAVAILABLE, error)
            delay = self._fail(watch)
        except StoreDeniedError as error:
            self._trouble(watch, Reason.DENIED, error)
            delay = self._fail(watch)
        except (FrozenError, DocumentError) as error:
            self._trouble(watch, Reason.FROZEN, error)
            self._answered()
        except InvariantError as error:
            self._trouble(watch, Reason.INVARIANT, error)
            self._answered()
        except Exception as error:  # noqa: BLE001 - one keyset's trouble stops no other; it is told and alarmed
            self._log.exception("look_failed", keyset=name)
            self._trouble(watch, Reason.INTERNAL, error)
            self._answered()
        else:
            self._answered()
            watch.failures = 0
            self._alarms.clear(name, *TROUBLE)
            delay = self._until(watch, wait)
        with self._lock:
            # What came up meanwhile is looked at in the next tick.
            delay = 0.0 if watch.again or (stepped and watch.view is not None) else delay
            watch.busy, watch.again = False, False
            watch.due = self._clocks.monotonic() + delay

    def _trouble(self, watch: Watch, reason: Reason, error: Exception) -> None:
        self._alarms.clear(
            watch.name, *(other for other in TROUBLE if other is not reason and other is not Reason.LAGGING)
        )
        self._alarms.raise_(watch.name, reason, str(error))
        # Without a look of our own what was remembered is served, so that a restart in an outage is no outage of the JWKS.
        away = reason is Reason.UNAVAILABLE
        if watch.view is None and not self._reconciler.recall(watch, ask=not away) and not away:
            self._showcase.mark_absent(watch.name)

    def _answered(self) -> None:
        with self._lock:
            self._outages, self._outage_until, self._probing = 0, 0.0, False

    def _fail(self, watch: Watch) -> float:
        watch.failures += 1
        with self._lock:
            self._probing = False
            self._outages += 1
            gap = self._jittered(backoff(self._outages, self._shortest_p))
            self._outage_until = self._clocks.monotonic() + gap
        return self._jittered(backoff(watch.failures, watch.policy.timing.propagation_time))

    @staticmethod
    def _jittered(longest: timedelta) -> float:
        return max(1.0, random.uniform(0, longest.total_seconds()))  # noqa: S311 - jitter, not a secret

    def _soon(self, watch: Watch) -> float:
        poll = (self._poll or watch.policy.poll_interval).total_seconds()
        return poll * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _until(self, watch: Watch, wait: Wait) -> float:
        delay = self._soon(watch)
        if watch.name in self._pending() or watch.purge_since is not None:
            delay = min(delay, MAX_BACKOFF.total_seconds())
        if watch.view and wait.until:
            elapsed = self._clocks.monotonic() - (watch.seen_at or 0.0)
            delay = min(delay, max(0.0, (wait.until - watch.view.moment.earliest).total_seconds() - elapsed))
        return delay
