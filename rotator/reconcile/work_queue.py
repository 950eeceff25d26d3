"""
Which keysets to reconcile now: due times, workers, and one gentle probe at a time while the store is away.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta

from rotator.errors import LastSeenWriteError, RemovedError
from rotator.lifecycle.decisions import Wait
from rotator.model.event import Hint
from rotator.model.reasons import AlarmReason
from rotator.model.times import MAX_BACKOFF, backoff
from rotator.ports.clocks import Clocks
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.clock_watch import ClockWatch
from rotator.reconcile.dispatch import Dispatcher
from rotator.reconcile.hang_watch import HANG_AFTER, HangWatch
from rotator.reconcile.last_known import LastKnown
from rotator.reconcile.reconciler import Reconciler
from rotator.reconcile.tracker import KeysetStatus, Tracker
from rotator.reconcile.troubles import FROZEN, FROZEN_INTERVAL, OUTAGE, TROUBLE, reason_of, signing_ends

MIN_HINT_INTERVAL = 1.0


@dataclass(slots=True)
class _Entry:
    """
    The place of one keyset in the queue. `due` is monotonic seconds; `again`: it came up while it was *busy*.
    """

    tracker: Tracker
    due: float = 0.0
    busy: bool = False
    again: bool = False
    failures: int = 0


class WorkQueue:
    """
    Keeps the due time of every keyset, and hands due ones to workers. One keyset's trouble stops no other.

    *poll_interval* None means P/8 of each keyset, at most five minutes. Intervals are jittered by 20 % so that daemons
    spread. While *limited*, the store lets few requests through, and keysets come one after another. A pass that takes
    longer than *hang_after* seconds is alarmed. Safe to use from several threads.
    """

    def __init__(
        self,
        trackers: Iterable[Tracker],
        reconciler: Reconciler,
        last_known: LastKnown,
        notifier: Notifier | None,
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        poll_interval: timedelta | None = None,
        limited: Callable[[], bool] = lambda: False,
        hang_after: float = HANG_AFTER,
    ) -> None:
        self._entries = {tracker.name: _Entry(tracker) for tracker in trackers}
        self._reconciler = reconciler
        self._last_known = last_known
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._poll = poll_interval
        self._limited = limited
        self._hang_watch = HangWatch(alarms, clocks.monotonic, hang_after)
        self._lock = threading.Lock()
        self._outages = 0
        self._outage_until = 0.0
        self._probing = False
        self._clock_watch = ClockWatch(clocks, log)
        self._dispatcher = Dispatcher(self._reconcile, self._release, notifier, log, limited, self._held)

    # -- what the daemon asks ------------------------------------------------------------------------------------------

    @property
    def trackers(self) -> tuple[Tracker, ...]:
        """
        Every keyset that is looked after, in the order of the configuration.
        """
        return tuple(entry.tracker for entry in self._entries.values())

    def discover_with(self, discover: Callable[[], None], *, first: bool) -> None:
        """
        Call *discover* at each pass, beside it, or *first*, once, before it. It may `add` keysets, and raises nothing.
        """
        self._dispatcher.discover_with(discover, first=first)

    def add(self, tracker: Tracker) -> None:
        """
        Look after one more keyset, which is due at once.
        """
        with self._lock:  # replaced whole, for those who iterate
            self._entries = {**self._entries, tracker.name: _Entry(tracker)}

    @property
    def busy(self) -> bool:
        """
        Whether a keyset is being reconciled.
        """
        return any(entry.busy for entry in self._entries.values())

    @property
    def hanging(self) -> int:
        """
        How many passes hang: no end of them can be waited for.
        """
        return len(self._hang_watch.look())

    def dispatch_due(self, workers: Executor) -> None:
        """
        Hand what is due to *workers* and return at once, without I/O. Call it about every second.
        """
        if self._clock_watch.notice():
            self.make_all_due()
        self._hang_watch.look()
        with self._lock:
            names = self._pop_due()
        if names:
            workers.submit(self._dispatcher.dispatch, names, workers)

    def run_once(self, workers: Executor) -> None:
        """
        Reconcile every keyset once, and return when all is done.
        """
        self._dispatcher.discover()
        with self._lock:
            for entry in self._entries.values():
                entry.busy = True
        names = list(self._entries)
        announced = self._dispatcher.announced(names)
        list(workers.map(lambda name: self._reconcile(name, announced), names))

    def hint(self, hint: Hint) -> None:
        """
        Make a keyset due that is said to have changed, unless it was seen as new as that already.
        """
        entry = self._entries.get(hint.keyset)
        if entry is None:
            return
        status = entry.tracker.status
        if status and status.keyset.epoch == hint.epoch and hint.sequence <= status.keyset.sequence:
            return
        with self._lock:
            # A busy keyset is reconciled once more afterwards. However many hints come, it is once a second at most.
            if entry.busy:
                entry.again = True
            else:
                earliest = (status.seen_at if status else 0.0) + MIN_HINT_INTERVAL
                entry.due = min(entry.due, max(self._clocks.monotonic(), earliest))

    def make_due(self, *names: str) -> None:
        """
        Make keysets due, as when an answer is there that the last pass did not wait for.
        """
        now = self._clocks.monotonic()
        with self._lock:
            for entry in (self._entries[name] for name in names if name in self._entries):
                entry.due = min(entry.due, now)
                entry.again = entry.again or entry.busy

    def make_all_due(self) -> None:
        """
        Make every keyset due: after a gap in the hints, a step of the clock, or if the file store changed.
        """
        self.make_due(*self._entries)

    def take_over(self, before: "WorkQueue", *, same_store: bool) -> None:
        """
        Go on with what *before*, which makes no more passes, knew of the keysets that are in both. All of them are due.
        """
        known = before._entries  # noqa: SLF001 - of this class, and so below
        self._outages, self._outage_until = before._outages, before._outage_until  # noqa: SLF001
        for name in self._entries.keys() & known.keys() if same_store else ():
            entry, former = self._entries[name], known[name]
            entry.tracker, entry.failures = former.tracker.continued(entry.tracker.policy), former.failures

    # -- due times -----------------------------------------------------------------------------------------------------

    def _pop_due(self) -> list[str]:
        now = self._clocks.monotonic()
        if now < self._outage_until or self._probing or (self.busy and self._limited()):
            return []
        due = [entry for entry in self._entries.values() if not entry.busy and entry.due <= now]
        if self._outages and due:
            due = [min(due, key=lambda entry: (entry.failures, entry.due))]
            self._probing = True
        for entry in due:
            entry.busy = True
        return [entry.tracker.name for entry in due]

    def _poll_delay(self, tracker: Tracker) -> float:
        poll = (self._poll or tracker.policy.poll_interval).total_seconds()
        return poll * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _delay(self, tracker: Tracker, status: KeysetStatus | None, wait: Wait) -> float:
        delay = self._poll_delay(tracker)
        if status is None:
            return delay
        if status.pending:
            delay = min(delay, MAX_BACKOFF.total_seconds())
        if wait.until:
            elapsed = self._clocks.monotonic() - status.clock.read_at
            delay = min(delay, max(0.0, (wait.until - tracker.now(status.clock)).total_seconds() - elapsed))
        return delay

    # -- one keyset, in a worker ---------------------------------------------------------------------------------------

    def _reconcile(self, name: str, announced: Mapping[str, str] | None) -> None:
        entry = self._entries[name]
        tracker = entry.tracker
        delay = self._poll_delay(tracker)
        try:
            with self._hang_watch.watching(name):
                wait = self._reconciler.reconcile(tracker, announced)
        except RemovedError:
            self._answered()
            if self._dropped(name):
                return
        except Exception as error:  # noqa: BLE001 - one keyset's trouble stops no other; it is logged and alarmed
            reason = reason_of(error)
            self._trouble(tracker, reason, error)
            if reason in OUTAGE:
                delay = self._failed(entry)
            else:
                self._answered()
                delay = min(delay, FROZEN_INTERVAL) if reason in FROZEN else delay
        else:
            self._answered()
            entry.failures = 0
            self._alarms.clear(name, *TROUBLE)
            delay = self._delay(tracker, tracker.status, wait)
        with self._lock:
            # What came up meanwhile is due at the next dispatch.
            delay = 0.0 if entry.again else delay
            entry.busy, entry.again = False, False
            entry.due = self._clocks.monotonic() + delay

    def _dropped(self, name: str) -> bool:
        """
        Let go of a keyset that a person removed; return False if that must be tried again.
        """
        try:
            self._last_known.forget(name)
        except LastSeenWriteError as error:
            self._alarms.raise_(name, AlarmReason.STATE_DIR, str(error))
            return False
        with self._lock:
            # Replaced, not changed: others go through it without the lock.
            self._entries = {other: entry for other, entry in self._entries.items() if other != name}
        self._alarms.clear(name, *AlarmReason)
        self._log.warning("keyset_removed", keyset=name)
        return True

    def _trouble(self, tracker: Tracker, reason: AlarmReason, error: Exception) -> None:
        if reason is AlarmReason.INTERNAL:
            self._log.exception("look_failed", keyset=tracker.name)
        self._alarms.clear(tracker.name, *(other for other in TROUBLE if other is not reason))
        ends = signing_ends(tracker, reason, self._last_known.timing(tracker.name), self._clocks.wall())
        self._alarms.raise_(tracker.name, reason, f"{error}{ends}")
        if reason in FROZEN and (repaired := self._last_known.put_back(tracker.name)):
            self._alarms.raise_(tracker.name, AlarmReason.PUBLIC_EDITED, repaired)
        if tracker.status is None:
            self._last_known.serve(tracker.name, tracker.policy, ask=reason is not AlarmReason.UNAVAILABLE)

    def _release(self, name: str) -> None:
        self._entries[name].busy = False

    def _held(self) -> bool:
        return self._reconciler.stopping or self._outages > 0

    def _answered(self) -> None:
        with self._lock:
            self._outages, self._outage_until, self._probing = 0, 0.0, False

    def _failed(self, entry: _Entry) -> float:
        entry.failures += 1
        with self._lock:
            self._probing = False
            self._outages += 1
            known = (entry, *self._entries.values())
            gap = self._wait(self._outages, min(each.tracker.policy.timing.propagation_time for each in known))
            self._outage_until = self._clocks.monotonic() + gap
        return self._wait(entry.failures, entry.tracker.policy.timing.propagation_time)

    @staticmethod
    def _wait(failures: int, propagation_time: timedelta) -> float:
        return backoff(failures, propagation_time / 4, jitter=random.random()).total_seconds()  # noqa: S311 - no secret
