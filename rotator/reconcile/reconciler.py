"""
One pass over one keyset: observe, then decide and obey until there is nothing to do.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from rotator.errors import PublicationError, PublicationPendingError, StandbyLostError, StoreConflictError
from rotator.lifecycle.decisions import (
    Activate,
    Confirm,
    Converge,
    Decision,
    Extend,
    Generate,
    Heartbeat,
    Retire,
    Step,
    Unconfirm,
    Wait,
    decide,
)
from rotator.lifecycle.holds import overdue
from rotator.model.event import EventType, covers
from rotator.model.reasons import AlarmReason
from rotator.ports.clocks import Clocks
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.log import Log
from rotator.ports.publication_cache import PublicationCache
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.clock_trust import ClockTrust
from rotator.reconcile.effects import Effects
from rotator.reconcile.loading import Loader
from rotator.reconcile.observe import Observation, Observer
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.purging import Purging
from rotator.reconcile.saving import SeenRecord
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.tracker import Tracker

ATTEMPTS = 3
MAX_STEPS = 16


class Reconciler:
    """
    Brings keysets to where they should be. One keyset is reconciled by one thread at a time, different ones side by side.
    """

    def __init__(
        self,
        store: DocumentStore,
        loader: Loader,
        effects: Effects,
        publishing: Publishing,
        last_seen: LastSeenStore | None,
        cache: PublicationCache,
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        clock_trust: ClockTrust,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._effects = effects
        self._publishing = publishing
        self._purging = Purging(store, publishing, log)
        self._seen = SeenRecord(last_seen, alarms)
        self._observer = Observer(store, loader, last_seen, alarms, clocks)
        self._clock_trust = clock_trust
        self._cache = cache
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._pause = pause
        self.stopping = False

    def reconcile(self, tracker: Tracker, announced: Mapping[str, str] | None) -> Wait:
        """
        Bring one keyset to where it should be now, and return what it waits for.

        *announced* holds the positions in the feed, None if it could not be read. Raises StoreError and InvariantError;
        if a compare-and-set is lost the keyset is read again. After three attempts in all it is left to the next pass.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._reconcile_once(tracker, announced)
            except StoreConflictError as error:
                self._log.info("lost_race", keyset=tracker.name, attempt=attempt + 1, detail=str(error))
                tracker.converged = None
                self._pause(random.uniform(0.01, 0.2) * (attempt + 1))  # noqa: S311 - jitter, not a secret
        return Wait(None)

    def _reconcile_once(self, tracker: Tracker, announced: Mapping[str, str] | None) -> Wait:
        observation = self._observer.observe(tracker)
        snapshot = observation.snapshot
        decision: Decision = Wait(None)
        tracker.begin(snapshot, self._clocks.monotonic())
        if snapshot is None:
            self._cache.mark_absent(tracker.name)
        elif tracker.must_converge:
            tracker.missing_from = self._publishing.missing_from(snapshot)
        for _ in range(MAX_STEPS):
            decision = self._decide(tracker, observation, snapshot)
            if isinstance(decision, Wait) or self.stopping:
                break
            snapshot = self._obey(decision, tracker, observation, snapshot)
        wait = decision if isinstance(decision, Wait) else Wait(tracker.now(snapshot.clock) if snapshot else None)
        if snapshot is not None:
            self._finish(tracker, snapshot, announced, wait)
        return wait

    def _decide(self, tracker: Tracker, observation: Observation, snapshot: Snapshot | None) -> Decision:
        policy = snapshot.policy if snapshot else observation.policy
        clock = snapshot.clock if snapshot else observation.clock
        tracker.clock = self._clock_trust.judge(tracker.clock, tracker.name, policy, clock, snapshot)
        keyset = snapshot.keyset if snapshot else None
        return decide(keyset, policy, tracker.evidence(clock, snapshot), tracker.now(clock))

    # -- one decision, obeyed ------------------------------------------------------------------------------------------

    def _obey(
        self, decision: Step, tracker: Tracker, observation: Observation, snapshot: Snapshot | None
    ) -> Snapshot | None:
        """
        Carry a decision out, and return the keyset as it is then.
        """
        if snapshot is None:
            outcome = self._effects.create(tracker.name, observation.policy, observation.clock, observation.version)
            tracker.record(outcome)
            return outcome.snapshot
        match decision:
            case Generate(replaces=replaces):
                outcome = self._effects.generate(snapshot, replaces)
                tracker.standby_read(snapshot.clock.read_at, matches=True)
                tracker.confirmed()
                self._alarms.clear(tracker.name, AlarmReason.STANDBY_LOST)
            case Converge():
                return self._converge(tracker, snapshot)
            case Confirm() | Activate():
                return self._need_publication(decision, tracker, snapshot)
            case Unconfirm():
                missing_from, tracker.missing_from = tracker.missing_from, ""
                detail = f"{missing_from} did not show next; its propagation starts anew"
                self._alarms.raise_(tracker.name, AlarmReason.PUBLISHER_LACKED, detail)
                outcome = self._effects.unconfirm(snapshot, missing_from)
            case Retire(kids=kids, over=over):
                outcome = self._effects.retire(snapshot, kids, over)
            case Extend():
                outcome = self._effects.extend(snapshot)
            case Heartbeat(at=at):
                outcome = self._effects.beat(snapshot, at)
            case _:
                assert_never(decision)
        tracker.record(outcome)
        return outcome.snapshot

    def _need_publication(self, decision: Confirm | Activate, tracker: Tracker, snapshot: Snapshot) -> Snapshot:
        """
        Confirm or activate `next`; if it is not to be found where consumers read, put that off and say why.
        """
        try:
            if isinstance(decision, Activate):
                outcome = self._effects.activate(snapshot, decision)
                tracker.rotations += 1
            else:
                outcome = self._effects.confirm(snapshot)
        except StandbyLostError:
            tracker.standby_read(snapshot.clock.read_at, matches=False)
            return snapshot
        except PublicationPendingError:
            tracker.confirmation_pending(snapshot.clock.read_at)
            return snapshot
        except PublicationError as error:
            tracker.confirmation_failed(snapshot.clock.read_at)
            tracker.missing_from = self._publishing.missing_from(snapshot)
            self._alarms.raise_(tracker.name, AlarmReason.UNCONFIRMED, str(error))
            next_key = snapshot.keyset.next
            if not tracker.missing_from or next_key is None or next_key.published_at is None:
                tracker.published = not self._publishing.publish(snapshot)
            return snapshot
        tracker.confirmed()
        self._alarms.clear(tracker.name, AlarmReason.UNCONFIRMED, AlarmReason.PUBLISHER_LACKED)
        tracker.record(outcome)
        return outcome.snapshot

    def _converge(self, tracker: Tracker, snapshot: Snapshot) -> Snapshot:
        standby = self._effects.check_standby(snapshot)
        snapshot = replace(snapshot, sealing=standby.sealing)
        self._seen.record(snapshot)
        tracker.published = not self._publishing.publish(snapshot)
        if (outrun := self._publishing.outrun_by(snapshot)) is not None:
            outcome = self._effects.outrun(snapshot, outrun.sequence)
            tracker.record(outcome)
            self._alarms.raise_(tracker.name, AlarmReason.PUBLIC_EDITED, str(outrun))
            snapshot = outcome.snapshot
        tracker.standby_read(snapshot.clock.read_at, matches=standby.matches)
        if standby.trouble:
            self._alarms.raise_(tracker.name, AlarmReason.STANDBY_LOST, standby.trouble)
        else:
            self._alarms.clear(tracker.name, AlarmReason.STANDBY_LOST)
        if tracker.published:
            tracker.missing_from = ""
            tracker.converged_at = self._clocks.monotonic()
        tracker.must_converge = False
        return snapshot

    # -- the end of a pass ---------------------------------------------------------------------------------------------

    def _finish(self, tracker: Tracker, snapshot: Snapshot, announced: Mapping[str, str] | None, wait: Wait) -> None:
        """
        Heal the feed, purge, report holds, and replace the status.
        """
        if announced is not None and snapshot.loaded:
            told = covers(announced.get(tracker.name, ""), snapshot.keyset)
            tracker.notify_pending = not (told or self._publishing.announce(snapshot, EventType.CHANGED))
        self._purging.catch_up(tracker, snapshot, self._alarms, self._clocks)
        if not tracker.confirming:  # else it is not known yet whether something holds the rotation
            self._report_holds(tracker, snapshot, wait)
        tracker.end(snapshot, self._clocks.monotonic())

    def _report_holds(self, tracker: Tracker, snapshot: Snapshot, wait: Wait) -> None:
        """
        Report when a rotation becomes held or overdue. The alarm for an overdue one ends when it no longer is.
        """
        if wait.held and wait.held is not tracker.held:
            self._log.warning("rotation_held", keyset=tracker.name, reason=wait.held.value, until=wait.held_until)
            self._effects.report(snapshot, EventType.HELD, wait.held.value)
        tracker.held = wait.held
        late = overdue(snapshot.keyset, snapshot.policy, tracker.now(snapshot.clock))
        if late > timedelta(0):
            reason = (wait.held or AlarmReason.OVERDUE).value
            detail = f"by {late.total_seconds():.0f} s; held: {reason}"
            self._alarms.raise_(tracker.name, AlarmReason.OVERDUE, detail)
            if not tracker.overdue:
                self._effects.report(snapshot, EventType.OVERDUE, reason)
        else:
            self._alarms.clear(tracker.name, AlarmReason.OVERDUE)
        tracker.overdue = late > timedelta(0)
