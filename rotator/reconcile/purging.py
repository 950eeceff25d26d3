"""
When a purge is tried, and what is said of it: a key counts as retired once its destruction is proved, however late.
"""

from typing import TYPE_CHECKING

from rotator.errors import StoreError
from rotator.model.event import EventType
from rotator.model.keys import Kid
from rotator.model.reasons import AlarmReason
from rotator.ports.clocks import Clocks
from rotator.ports.log import Log
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.purge import dropped_keys, purge_keyset, purge_standby
from rotator.reconcile.snapshot import Snapshot

if TYPE_CHECKING:
    from rotator.reconcile.tracker import Tracker


class Purging:
    """
    Purges, and announces what they prove. Safe to use from several threads.
    """

    def __init__(self, store: DocumentStore, publishing: Publishing, log: Log) -> None:
        self._store = store
        self._publishing = publishing
        self._log = log

    def purge(self, snapshot: Snapshot) -> bool:
        """
        Destroy what the document dropped and what the standby outlived; return False if that must be tried again.

        A legal hold keeps everything.
        """
        keyset = snapshot.keyset
        if snapshot.policy.retain:
            return True
        try:
            purge_keyset(self._store, keyset, snapshot.version)
            if not keyset.symmetric:
                purge_standby(self._store, keyset)
        except StoreError as error:
            self._log.warning("purge_pending", keyset=keyset.name, below=keyset.purge_below, detail=str(error))
            return False
        return True

    def retired(self, snapshot: Snapshot, kids: tuple[Kid, ...]) -> bool:
        """
        Say that *kids* are destroyed, which must be proved; return whether the feed has it.
        """
        self._log.info("key_retired", keyset=snapshot.name, kids=list(kids), sequence=snapshot.keyset.sequence)
        return self._publishing.announce(snapshot, EventType.RETIRED, *kids)

    def catch_up(self, tracker: "Tracker", snapshot: Snapshot, alarms: Alarms, clocks: Clocks) -> None:
        """
        Do at the end of a pass what is still to be purged, unless this pass has tried already.

        What another process left, a former one or another daemon, is found in the versions themselves.
        """
        if tracker.needs_purge(snapshot, clocks.monotonic()):
            tracker.unproved = tracker.unproved or self._left_behind(snapshot)
            tracker.purge_ended(snapshot, purged=self.purge(snapshot))
        if tracker.settle_purge(snapshot, clocks.monotonic()) and tracker.unproved and not snapshot.policy.retain:
            kids, tracker.unproved = tracker.unproved, ()
            tracker.notify_pending = not self.retired(snapshot, kids) or tracker.notify_pending
        self._alarm(tracker, snapshot, alarms, clocks.monotonic())

    def _left_behind(self, snapshot: Snapshot) -> tuple[Kid, ...]:
        if snapshot.policy.retain or not snapshot.keyset.purge_below:
            return ()
        try:
            return dropped_keys(self._store, snapshot.keyset, snapshot.version)
        except StoreError:
            return ()  # the purge will fail, too, and say why

    @staticmethod
    def _alarm(tracker: "Tracker", snapshot: Snapshot, alarms: Alarms, now: float) -> None:
        if tracker.purge_since is None:
            alarms.clear(tracker.name, AlarmReason.PURGE_PENDING)
        elif now - tracker.purge_since >= snapshot.keyset.timing.propagation_time.total_seconds():
            detail = (
                f"versions below {snapshot.keyset.purge_below} could not be destroyed; see the log, and `rotator check` "
                "for missing capabilities and standbys"
            )
            alarms.raise_(tracker.name, AlarmReason.PURGE_PENDING, detail)
