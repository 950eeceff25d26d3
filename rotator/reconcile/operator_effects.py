"""
What only operators ask for: import a key, request a rotation, revoke. The order of effects is that of the decisions.
"""

from dataclasses import dataclass, replace

from rotator.documents.standby import encode_standby
from rotator.errors import RefusedError
from rotator.lifecycle.changes import Create, Requested, Resaved, Revoked
from rotator.model.document import ClockReading, Tree
from rotator.model.event import EventType
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import RotateRequest
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason
from rotator.model.removal import Removal
from rotator.model.secret import SecretText
from rotator.ports.store import ArchiveStore
from rotator.reconcile.clock_trust import ClockTrust
from rotator.reconcile.consent import give_up_keyset, renewed_seal, save_removal
from rotator.reconcile.effects import Effects, Outcome, next_key_of, next_of
from rotator.reconcile.loading import Loader
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import clear_standby, prepare_seal, private_key, standby_matches


class OperatorEffects(Effects):
    """
    The effects of a command; the daemon has those of its decisions only.
    """

    def import_key(self, name: str, policy: Policy, clock: ClockReading, imported: GeneratedKey) -> Outcome:
        """
        Create a keyset around an imported key, which signs at once: tokens signed with it are out already.
        """
        first = next_key_of(imported, policy, clock.earliest)
        next_key = self._secret(policy, clock.earliest) if policy.algorithm.symmetric else None
        epoch, sealing = prepare_seal(self._store, self._keygen, name, policy)
        change = Create(name, epoch, next_key, first, imported.private)
        snapshot = self._saving.create(change, policy, clock, sealing)
        self._log.info("key_imported", keyset=name, kid=imported.kid)
        return self._show(snapshot, EventType.ACTIVATED, imported.kid, reason=ActivationReason.IMPORTED)

    def request(self, snapshot: Snapshot, op_id: str | None, reason: str) -> RotateRequest:
        """
        Leave the activation to the daemon that first finds it safe. Its save will bear *op_id*, by default a new one.
        """
        request = RotateRequest(op_id or self._keygen.op_id(), snapshot.now, reason)
        self._show(self._saving.save(snapshot, Requested(request)), EventType.CHANGED)
        return request

    def revoke(self, snapshot: Snapshot, kids: tuple[Kid, ...], reason: str) -> Outcome:
        """
        Take compromised keys out at once.

        A revoked current is followed by `next`, safe or not; one is made if there is none. Raises RefusedError for a
        keyset that never had a current key.
        """
        keyset = snapshot.keyset
        if keyset.current is None:
            raise RefusedError(
                f"{keyset.name}: no key was ever current, so there is none to revoke; let the daemon activate one first"
            )
        if keyset.next and keyset.next.kid in kids and not keyset.symmetric:
            clear_standby(self._store, snapshot, keyset.next)
        successor, private = None, None
        if keyset.current.kid in kids:
            snapshot, successor, private = self._successor(snapshot, kids)
        after = self._saving.save(snapshot, Revoked(kids, reason, successor, private))
        self._log.warning(
            "key_revoked", keyset=after.name, kids=list(kids), reason=reason, sequence=after.keyset.sequence
        )
        return self._show(after, EventType.REVOKED, *kids)

    def resave(self, snapshot: Snapshot, change: Resaved, op_id: str | None, reason: str) -> Outcome:
        """
        Save a document that a person accepted, under a new seal: every daemon then believes it, whatever it saw before.
        """
        standby, version = renewed_seal(self._store, self._keygen, snapshot.keyset)
        after = self._saving.save(replace(snapshot, sealing=standby.sealing), change, op_id=op_id)
        self._store.save(Tree.STANDBY, after.name, encode_standby(standby), version)
        self._log.warning("keyset_accepted", keyset=after.name, sequence=after.keyset.sequence, reason=reason)
        return self._show(after, EventType.CHANGED, reason=reason)

    def give_up(self, name: str, policy: Policy) -> None:
        """
        Let the daemon create the keyset again, with new keys and a new epoch; nothing of the former one is adopted.
        """
        give_up_keyset(self._store, self._keygen, name, policy)

    def note_removal(self, name: str, clock: ClockReading, op_id: str | None, reason: str, *, done: bool) -> Removal:
        """
        Note in the standby that the keyset is to be removed, or that it is (*done*), and return the note.
        """
        removal = Removal(op_id or self._keygen.op_id(), clock.latest, reason, done)
        save_removal(self._store, self._keygen, name, removal, clock)
        return removal

    def _successor(self, snapshot: Snapshot, kids: tuple[Kid, ...]) -> tuple[Snapshot, NextKey, SecretText | None]:
        next_key = snapshot.keyset.next
        if snapshot.keyset.symmetric:
            usable = next_key if next_key and next_key.kid not in kids else None
            return snapshot, usable or self._secret(snapshot.policy, snapshot.now), None
        if next_key is None or not standby_matches(self._store, snapshot.keyset):
            snapshot = self.generate(snapshot, next_key.kid if next_key else None).snapshot
        next_key = next_of(snapshot.keyset)
        private, _ = private_key(self._store, snapshot.keyset, next_key)
        return snapshot, next_key, private


@dataclass(frozen=True, slots=True)
class Operator:
    """
    What a command works with: the store to read, its documents checked, publications, and the effects of what is asked.

    `clock_trust` judges the store's clock, with what the daemon of this host remembers of it.
    """

    store: ArchiveStore
    loader: Loader
    publishing: Publishing
    effects: OperatorEffects
    clock_trust: ClockTrust

    def close(self) -> None:
        """
        Close the connections to the store, to publishers and to Redis.
        """
        self.publishing.close()
        self.store.close()
