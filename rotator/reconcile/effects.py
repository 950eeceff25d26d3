"""
One method for each decision: the only place that knows the order of effects.

The order is always: save, publish, announce, purge. Only a retirement is purged before it is announced, since RETIRED
promises that the material is destroyed. After a crash between any two of them the next pass reads what is stored and
goes on from there; nothing here resumes anything.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.errors import StoreConflictError
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Confirmed,
    Create,
    Extended,
    Outrun,
    Retired,
    Seen,
    Unconfirmed,
)
from rotator.lifecycle.decisions import Activate
from rotator.model.document import ClockReading
from rotator.model.event import EventType
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason
from rotator.ports.clocks import Clocks
from rotator.ports.keygen import KeyGenerator
from rotator.ports.log import Log
from rotator.ports.store import DocumentStore
from rotator.reconcile.loading import Loader
from rotator.reconcile.publishing import Publishing, may_be_cached
from rotator.reconcile.purging import Purging
from rotator.reconcile.saving import Saving, SeenRecord
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import StandbyCheck, check_standby, prepare_seal, prepare_standby, private_key


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What an effect came to. None: this effect had no need to publish, announce or purge.

    *unproved* are the keys that it dropped and that count as retired once a later purge is proved.
    """

    snapshot: Snapshot
    published: bool | None = None
    announced: bool | None = None
    purged: bool | None = None
    unproved: tuple[Kid, ...] = ()


class Effects:
    """
    What a decision does to the world, through the ports given. Safe to use from several threads.

    *sharing* names the keysets whose keys are in the combined JWKS; it may grow. Every method may raise StoreError, of which
    StoreConflictError means "read again", and InvariantError; then nothing was saved.
    """

    def __init__(
        self,
        store: DocumentStore,
        loader: Loader,
        publishing: Publishing,
        keygen: KeyGenerator,
        seen: SeenRecord,
        log: Log,
        clocks: Clocks,
        sharing: Collection[str] = (),
    ) -> None:
        self._store = store
        self._publishing = publishing
        self._keygen = keygen
        self._saving = Saving(store, loader, keygen, seen, clocks)
        self._purging = Purging(store, publishing, log)
        self._log = log
        self._sharing = sharing

    # -- the decisions -------------------------------------------------------------------------------------------------

    def create(self, name: str, policy: Policy, clock: ClockReading, version: int = 0) -> Outcome:
        """
        Create a keyset over the deleted *version*: HMAC with current and next together, asymmetric with next alone, its private key saved first.
        """
        if policy.algorithm.symmetric:
            epoch, sealing = prepare_seal(self._store, self._keygen, name, policy)
            first = self._secret(policy, clock.earliest)
            change = Create(name, epoch, self._secret(policy, clock.earliest), first)
        else:
            prepared = prepare_standby(self._store, self._keygen, None, name, policy)
            change, sealing = Create(name, prepared.epoch, prepared.key), prepared.sealing
        snapshot = self._saving.create(change, policy, clock, sealing, version)
        keyset = snapshot.keyset
        self._log.info("keyset_created", keyset=name, epoch=keyset.epoch, algorithm=keyset.algorithm.value)
        return self._show(snapshot, EventType.CHANGED)

    def generate(self, snapshot: Snapshot, replaces: Kid | None = None) -> Outcome:
        """
        Make `next`, or adopt the key that a crash or a lost race left in the standby.
        """
        policy, adopted = snapshot.policy, False
        if snapshot.keyset.symmetric:
            key = self._secret(policy, snapshot.now)
        else:
            prepared = prepare_standby(self._store, self._keygen, snapshot, snapshot.name, policy)
            key, adopted = prepared.key, prepared.adopted
            snapshot = replace(snapshot, sealing=prepared.sealing)
        after = self._saving.save(snapshot, AddNext(key, replaces))
        self._log.info("key_generated", keyset=after.name, kid=key.kid, adopted=adopted, replaces=replaces or "")
        return self._show(after, EventType.CHANGED, key.kid, purge=not after.keyset.symmetric)

    def confirm(self, snapshot: Snapshot) -> Outcome:
        """
        Read `next` back everywhere and record the moment; raises PublicationError if it is missing somewhere.
        """
        self._publishing.read_back(snapshot)
        again = self._saving.read_again(snapshot)
        next_key = next_of(again.keyset)
        published_at = again.committed_at if again.keyset.symmetric else again.clock.latest
        after = self._saving.save(again, Confirmed(published_at, may_be_cached(self._store, self._sharing, again)))
        usable_at = next_of(after.keyset).usable_at
        self._log.info("key_published", keyset=after.name, kid=next_key.kid, usable_at=usable_at)
        return Outcome(after, announced=self._publishing.announce(after, EventType.PUBLISHED, next_key.kid))

    def unconfirm(self, snapshot: Snapshot, missing_from: str) -> Outcome:
        """
        Forget when `next` was published, since the publisher *missing_from* served the keyset without it; then repair.
        """
        kid = next_of(snapshot.keyset).kid
        after = self._saving.save(snapshot, Unconfirmed())
        self._log.warning("key_unconfirmed", keyset=after.name, kid=kid, publisher=missing_from)
        return self._show(after, EventType.CHANGED, kid)

    def activate(self, snapshot: Snapshot, decision: Activate) -> Outcome:
        """
        Confirm once more, then make `next` sign.

        Raises PublicationError or StandbyLostError if that cannot be; then nothing was changed.
        """
        next_key, clock, private = next_of(snapshot.keyset), snapshot.clock, None
        if decision.reason is not ActivationReason.UNSAFE:
            self._publishing.read_back(snapshot)
        if snapshot.keyset.symmetric or not snapshot.loaded:
            # What was published since the reading may have taken long.
            clock = self._saving.read_again(snapshot).clock
        if not snapshot.keyset.symmetric:
            private, clock = private_key(self._store, snapshot.keyset, next_key)
        after = self._saving.save(snapshot, Activated(decision.reason, private), clock=clock, op_id=decision.op_id)
        self._log.info(
            "key_activated",
            keyset=after.name,
            kid=next_key.kid,
            reason=decision.reason.value,
            note=decision.note,
            sequence=after.keyset.sequence,
            op_id=after.keyset.op_id,
        )
        return self._show(after, EventType.ACTIVATED, next_key.kid, reason=decision.note or decision.reason)

    def retire(self, snapshot: Snapshot, kids: tuple[Kid, ...], over: frozenset[Kid] = frozenset()) -> Outcome:
        """
        Drop old keys; they count as retired once their material is destroyed, now or later.
        """
        after = self._saving.save(snapshot, Retired(kids, over))
        published = not self._publishing.publish(after)
        if self._purging.purge(after):
            return Outcome(after, published, self._purging.retired(after, kids), purged=True)
        self._log.warning("key_dropped", keyset=after.name, kids=list(kids), pending="purge")
        announced = self._publishing.announce(after, EventType.CHANGED)
        return Outcome(after, published, announced, purged=False, unproved=kids)

    def extend(self, snapshot: Snapshot) -> Outcome:
        """
        Save longer durations, before any signer may use them.
        """
        after = self._saving.save(snapshot, Extended())
        self._log.info("policy_extended", keyset=after.name, sequence=after.keyset.sequence)
        return self._show(after, EventType.CHANGED)

    def outrun(self, snapshot: Snapshot, above: int) -> Outcome:
        """
        Save the keyset above a sequence that another hand showed, so that readers of it take ours again.
        """
        after = self._saving.save(snapshot, Outrun(above))
        self._log.warning("sequence_raised", keyset=after.name, sequence=after.keyset.sequence)
        return self._show(after, EventType.CHANGED)

    def check_standby(self, snapshot: Snapshot) -> StandbyCheck:
        """
        Compare the standby with the keyset, and write its seal key back if another hand changed that.
        """
        return check_standby(self._store, self._keygen, snapshot)

    def beat(self, snapshot: Snapshot, at: datetime) -> Outcome:
        """
        Save the keyset as it is, seen *at*: no consumer needs to read it again, so nothing is published or announced.
        """
        return Outcome(self._saving.save(snapshot, Seen(at)))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _show(self, snapshot: Snapshot, kind: EventType, *kids: Kid, reason: str = "", purge: bool = False) -> Outcome:
        """
        Publish, announce, and purge if this save dropped material (or *purge* says so).
        """
        published = not self._publishing.publish(snapshot)
        announced = self._publishing.announce(snapshot, kind, *kids, reason=reason)
        dropped = snapshot.keyset.purge_below == snapshot.version
        return Outcome(snapshot, published, announced, self._purging.purge(snapshot) if purge or dropped else None)

    def _secret(self, policy: Policy, created_at: datetime) -> NextKey:
        return next_key_of(self._keygen.generate(policy.algorithm, policy.rsa_bits), policy, created_at)

    def report(self, snapshot: Snapshot, kind: EventType, reason: str) -> None:
        """
        Announce that a rotation is held or overdue, with the kid of the `next` that should sign.
        """
        kid = snapshot.keyset.next.kid if snapshot.keyset.next else ""
        self._publishing.announce(snapshot, kind, kid, reason=reason, event_id=self._keygen.epoch())


def next_key_of(generated: GeneratedKey, policy: Policy, created_at: datetime) -> NextKey:
    """
    Return *generated* as a `next` that was published nowhere yet.
    """
    return NextKey(kid=generated.kid, algorithm=policy.algorithm, material=generated.material, created_at=created_at)


def next_of(keyset: Keyset) -> NextKey:
    """
    Return `next`; raises StoreConflictError if it is gone.
    """
    if keyset.next is None:
        raise StoreConflictError(f"{keyset.name}: next is gone")
    return keyset.next
