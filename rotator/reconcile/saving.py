"""
One save of a keyset: evolve, compare-and-set, and a record of what was seen.
"""

from dataclasses import replace
from datetime import datetime

from rotator.documents.last_seen import last_seen_fields
from rotator.documents.seal import SEAL, Sealing, digest_of
from rotator.documents.signing import encode_keyset
from rotator.errors import LastSeenWriteError, StoreConflictError
from rotator.lifecycle.changes import Activated, Change, Create, Revoked, Seen, Stamp
from rotator.lifecycle.clock_steps import clock_of
from rotator.lifecycle.evolve import evolve
from rotator.model.document import ClockReading, Tree
from rotator.model.keys import CurrentKey, NextKey, OldKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.model.reasons import AlarmReason
from rotator.model.times import round_up
from rotator.ports.clocks import Clocks
from rotator.ports.keygen import KeyGenerator
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.loading import Loader
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import seal_from_now_on

MIN_PAUSE_ALLOWED = 2.0


class SeenRecord:
    """
    What this host last saw of each keyset, kept in *last_seen*; a command keeps nothing (None).
    """

    def __init__(self, last_seen: LastSeenStore | None, alarms: Alarms) -> None:
        self._last_seen = last_seen
        self._alarms = alarms

    def record(self, snapshot: Snapshot) -> None:
        """
        Record a keyset that the store has acknowledged.

        A failure raises an alarm and stops nothing: this process still knows, but the next one may not notice a store
        that went back in time.
        """
        if self._last_seen is None:
            return
        keyset, publication = snapshot.keyset, snapshot.publication
        stay = {
            str(key.kid): _stays_until(key, snapshot.committed_at)
            for key in keyset.keys()
            if not isinstance(key, NextKey)
        }
        seen = LastSeen(
            epoch=keyset.epoch,
            sequence=keyset.sequence,
            op_id=keyset.op_id,
            well_known=publication.well_known,
            symmetric=publication.symmetric,
            timing=publication.timing,
            document=publication.document,
            version=snapshot.version,
            digest=digest_of(encode_keyset(keyset)),
            stay_until=stay,
            thawed_at=snapshot.sealing.thawed_at,
        )
        seen = replace(seen, seal=snapshot.sealing.seal(last_seen_fields(seen)).get(SEAL, ""))
        try:
            self._last_seen.record(seen)
        except LastSeenWriteError as error:
            self._alarms.raise_(snapshot.name, AlarmReason.STATE_DIR, str(error))
        else:
            self._alarms.clear(snapshot.name, AlarmReason.STATE_DIR)


def _stays_until(key: CurrentKey | OldKey, committed_at: datetime) -> datetime:
    """
    Return until when at least a key stays that was in its keyset at *committed_at*, unless it is revoked.
    """
    return round_up(key.retire_at if isinstance(key, OldKey) else committed_at + key.longest_token)


class Saving:
    """
    Saves of keysets. Every method may raise StoreError and InvariantError; then nothing was saved.
    """

    def __init__(
        self, store: DocumentStore, loader: Loader, keygen: KeyGenerator, seen: SeenRecord, clocks: Clocks
    ) -> None:
        self._store = store
        self._loader = loader
        self._keygen = keygen
        self._seen = seen
        self._clocks = clocks

    def create(
        self, change: Create, policy: Policy, clock: ClockReading, sealing: Sealing, version: int = 0
    ) -> Snapshot:
        """
        Save a new keyset over *version*, a deleted one that a person gave up; raises StoreConflictError if there is another.
        """
        stamp = Stamp(clock.earliest, clock.latest, self._keygen.op_id(), version + 1)
        saved = self._stored(evolve(None, change, policy, stamp), policy, version, sealing)
        self._seen.record(saved)
        return saved

    def save(
        self, before: Snapshot, change: Change, *, clock: ClockReading | None = None, op_id: str | None = None
    ) -> Snapshot:
        """
        Save *change* at the moment of *clock*, by default that of *before*.

        Raises StoreConflictError if another was faster, if the store's clock stepped since *before*, and if this process
        was paused so long since *clock* was read that the deadlines which an activation or revocation records would be
        too early.
        """
        clock = clock or before.clock
        _same_clock(before, clock)
        stamp = Stamp(clock.earliest, clock.latest, op_id or self._keygen.op_id(), before.version + 1)
        after = evolve(before.keyset, change, before.policy, stamp, before.committed_by)
        limit = max(MIN_PAUSE_ALLOWED, after.timing.propagation_time.total_seconds() / 8)
        if isinstance(change, Activated | Revoked) and self._clocks.monotonic() - clock.read_at > limit:
            raise StoreConflictError(f"{after.name}: this process was paused since it read the store's clock")
        sealing = seal_from_now_on(self._store, self._keygen, before)
        saved = self._stored(after, before.policy, before.version, sealing)
        if not isinstance(change, Seen):  # it changed nothing of what is recorded
            self._seen.record(saved)
        return saved

    def read_again(self, snapshot: Snapshot) -> Snapshot:
        """
        Return the keyset as it is stored now; raises StoreConflictError if it is not *snapshot* any more.
        """
        again = self._loader.check(self._store.load(Tree.KEYS, snapshot.name), snapshot.name, snapshot.policy)
        if (again.version, again.keyset.op_id) != (snapshot.version, snapshot.keyset.op_id):
            raise StoreConflictError(f"{snapshot.name}: changed while it was looked at")
        _same_clock(snapshot, again.clock)
        return again

    def _stored(self, keyset: Keyset, policy: Policy, cas: int, sealing: Sealing) -> Snapshot:
        self._loader.seals.keep(keyset.name, sealing)
        stored = self._store.save(Tree.KEYS, keyset.name, sealing.seal(encode_keyset(keyset)), cas)
        return Snapshot(keyset, policy, stored.version, stored.clock, stored.committed_at, False, sealing)


def _same_clock(before: Snapshot, clock: ClockReading) -> None:
    """
    Raise StoreConflictError if the store's clock stepped between two readings of one pass: it is judged in the next one.
    """
    if clock_of(before.clock).ahead(clock):
        raise StoreConflictError(f"{before.name}: the store's clock stepped while it was looked at")
