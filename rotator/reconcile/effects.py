"""
One method for each decision: the only place that knows the order of effects.

After a crash between any two effects the next look at the store goes on from what is stored; nothing here resumes anything.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from rotator.documents.jwk import EMPTY
from rotator.documents.public import decode_public, public_document
from rotator.documents.signing import encode_keyset
from rotator.errors import (
    DocumentError,
    NotificationError,
    PublicationError,
    RefusedError,
    StandbyLostError,
    StoreConflictError,
    StoreError,
)
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Requested,
    Retired,
    Revoked,
    Stamp,
    Unconfirmed,
)
from rotator.lifecycle.decisions import Activate
from rotator.lifecycle.evolve import evolve, promoted
from rotator.model.document import ClockReading, Tree
from rotator.model.event import Event, EventType
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import Keyset, RotateRequest
from rotator.model.policy import Policy
from rotator.model.publication import Publication
from rotator.model.reasons import Reason
from rotator.model.secret import SecretText
from rotator.ports.clocks import Clocks
from rotator.ports.keygen import KeyGenerator
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.ports.publisher import JwksPublisher
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.purge import purge_keyset, purge_standby
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import clear_standby, prepare_standby, private_key

MIN_PAUSE = 2.0


def publication_of(keyset: Keyset, policy: Policy) -> Publication:
    """
    Return what publishers are to show of *keyset*.
    """
    return Publication(public_document(keyset), keyset.timing, policy.well_known, keyset.symmetric)


class Effects:
    """
    What a decision does to the world, on the ports given.

    *saved* is told of each publication the store has acknowledged, before it is published; *neighbours* names the other
    keysets whose keys share the combined set. Every method may raise StoreError; StoreConflictError means "look again".
    """

    def __init__(
        self,
        store: DocumentStore,
        publishers: Iterable[JwksPublisher],
        notifier: Notifier | None,
        keygen: KeyGenerator,
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        *,
        saved: Callable[[Snapshot, Policy], None] = lambda _view, _policy: None,
        neighbours: Callable[[str], Iterable[str]] = lambda _name: (),
    ) -> None:
        self.store = store
        self.publishers = tuple(publishers)
        self.keygen = keygen
        self._notifier = notifier
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._saved = saved
        self._neighbours = neighbours
        self.unannounced: set[str] = set()
        self._clean: dict[str, tuple[str, int]] = {}

    # -- the decisions -------------------------------------------------------------------------------------------------

    def bootstrap(self, name: str, policy: Policy, moment: ClockReading) -> Snapshot:
        """
        Create a keyset: HMAC with current and next together, asymmetric with next only (its private half in the standby first).
        """
        if policy.algorithm.symmetric:
            epoch, op_id = self.keygen.epoch(), self.keygen.op_id()
            stamp = Stamp(moment.earliest, moment.latest, op_id, 1)
            first = promoted(self._fresh(policy, moment.earliest), None, policy, stamp)
            create = Create(name, epoch, self._fresh(policy, moment.earliest), first)
        else:
            epoch, key, _ = prepare_standby(self.store, self.keygen, None, name, policy)
            op_id, create = self.keygen.op_id(), Create(name, epoch, key)
        view = self._save(None, create, policy, moment, op_id)
        self._log.info("keyset_created", keyset=name, epoch=view.keyset.epoch, algorithm=view.keyset.algorithm.value)
        self.publish(view, policy)
        self.announce(view, EventType.CHANGED)
        return view

    def import_key(self, name: str, policy: Policy, moment: ClockReading, imported: GeneratedKey) -> Snapshot:
        """
        Create a keyset around an imported key, which signs at once: tokens signed with it are out already.
        """
        stamp = Stamp(moment.earliest, moment.latest, self.keygen.op_id(), 1)
        key = NextKey(
            kid=imported.kid, algorithm=policy.algorithm, material=imported.material, created_at=moment.earliest
        )
        following = self._fresh(policy, moment.earliest) if policy.algorithm.symmetric else None
        create = Create(name, self.keygen.epoch(), following, promoted(key, imported.private, policy, stamp))
        view = self._save(None, create, policy, moment, stamp.op_id)
        self._log.info("key_imported", keyset=name, kid=imported.kid)
        self.publish(view, policy)
        self.announce(view, EventType.ACTIVATED, imported.kid, reason=Reason.IMPORTED)
        return view

    def generate(self, view: Snapshot, policy: Policy, replaces: Kid | None = None) -> Snapshot:
        """
        Make `next`, or adopt the key that a crash or a lost race left in the standby.
        """
        keyset, adopted = view.keyset, False
        if keyset.symmetric:
            key = self._fresh(policy, view.moment.earliest)
        else:
            _, key, adopted = prepare_standby(self.store, self.keygen, keyset, keyset.name, policy)
            self._clean.pop(keyset.name, None)
        view = self._save(view, AddNext(key, replaces), policy, view.moment)
        self._log.info("key_generated", keyset=keyset.name, kid=key.kid, adopted=adopted, replaces=replaces or "")
        self.publish(view, policy)
        self.announce(view, EventType.CHANGED, key.kid)
        self.purge(view, policy)
        return view

    def confirm(self, view: Snapshot, policy: Policy) -> Snapshot:
        """
        Read `next` back everywhere and record the moment; raises PublicationError where it is not to be found.
        """
        self.read_back(view, policy)
        again = self._again(view)
        following = _next(again.keyset)
        published_at = again.committed_at if again.keyset.symmetric else again.moment.latest
        shared = policy.well_known and self._shared(view.keyset.name)
        view = self._save(again, Confirmed(published_at, shared), policy, again.moment)
        usable = _next(view.keyset).usable_at
        self._log.info("key_published", keyset=view.keyset.name, kid=following.kid, usable_at=usable)
        self.announce(view, EventType.PUBLISHED, following.kid)
        return view

    def unconfirm(self, view: Snapshot, policy: Policy, missing_from: str) -> Snapshot:
        """
        Forget when `next` was published, since a publisher of ours did not show it; then repair.
        """
        kid = _next(view.keyset).kid
        view = self._save(view, Unconfirmed(), policy, view.moment)
        self._log.warning("key_unconfirmed", keyset=view.keyset.name, kid=kid, publisher=missing_from)
        self.publish(view, policy)
        self.announce(view, EventType.CHANGED, kid)
        return view

    def activate(self, view: Snapshot, policy: Policy, decision: Activate) -> Snapshot:
        """
        Confirm once more, then make `next` sign; raises PublicationError or StandbyLostError and changes nothing otherwise.
        """
        following, moment = _next(view.keyset), view.moment
        if decision.reason is not Reason.UNSAFE:
            self.read_back(view, policy)
        if not view.loaded:
            moment = self._again(view).moment
        private = None
        if not view.keyset.symmetric:
            private, moment = private_key(self.store, view.keyset, following)
        view = self._save(view, Activated(decision.reason, private), policy, moment, decision.op_id)
        self._log.info(
            "key_activated",
            keyset=view.keyset.name,
            kid=following.kid,
            reason=decision.reason.value,
            note=decision.note,
            sequence=view.keyset.sequence,
            op_id=view.keyset.op_id,
        )
        self.publish(view, policy)
        self.announce(view, EventType.ACTIVATED, following.kid, reason=decision.note or decision.reason)
        self.purge(view, policy)
        return view

    def retire(self, view: Snapshot, policy: Policy, kids: tuple[Kid, ...]) -> Snapshot:
        """
        Drop old keys; they count as retired once their material is destroyed.
        """
        view = self._save(view, Retired(kids), policy, view.moment)
        self.publish(view, policy)
        if self.purge(view, policy):
            self._log.info("key_retired", keyset=view.keyset.name, kids=list(kids), sequence=view.keyset.sequence)
            self.announce(view, EventType.RETIRED, *kids)
        else:
            self._log.warning("key_dropped", keyset=view.keyset.name, kids=list(kids), pending="purge")
            self.announce(view, EventType.CHANGED)
        return view

    def extend(self, view: Snapshot, policy: Policy) -> Snapshot:
        """
        Save longer durations, before any signer may use them.
        """
        view = self._save(view, Extended(), policy, view.moment)
        self._log.info("policy_extended", keyset=view.keyset.name, sequence=view.keyset.sequence)
        self.publish(view, policy)
        self.announce(view, EventType.CHANGED)
        return view

    def request(self, view: Snapshot, policy: Policy, request: RotateRequest) -> Snapshot:
        """
        Leave the activation to whichever daemon finds it safe first.
        """
        view = self._save(view, Requested(request), policy, view.moment)
        self.publish(view, policy)
        self.announce(view, EventType.CHANGED)
        return view

    def revoke(self, view: Snapshot, policy: Policy, kids: tuple[Kid, ...], reason: str) -> Snapshot:
        """
        Take compromised keys out at once. A revoked current is followed by `next`, safe or not; one is made where there is none.
        """
        keyset = view.keyset
        if keyset.current is None:
            raise RefusedError(
                f"{keyset.name}: no key was ever current, so there is none to revoke; let the daemon activate one first"
            )
        following = keyset.next
        if following and following.kid in kids and not keyset.symmetric:
            clear_standby(self.store, keyset, following, view.moment.earliest)
        successor, private = None, None
        if keyset.current.kid in kids:
            view, successor, private = self._successor(view, policy, kids)
        view = self._save(view, Revoked(kids, reason, successor, private), policy, view.moment)
        self._log.warning(
            "key_revoked", keyset=keyset.name, kids=list(kids), reason=reason, sequence=view.keyset.sequence
        )
        self.publish(view, policy)
        self.announce(view, EventType.REVOKED, *kids)
        self.purge(view, policy)
        return view

    # -- what several decisions share ----------------------------------------------------------------------------------

    def publish(self, view: Snapshot, policy: Policy) -> bool:
        """
        Show the keyset on every publisher; a failure raises an alarm, holds the next confirmation, and stops no other.
        """
        publication, failures = publication_of(view.keyset, policy), []
        for publisher in self.publishers:
            try:
                publisher.publish(publication)
            except (PublicationError, StoreError) as error:
                failures.append(f"{publisher.name}: {error}")
        if failures:
            self._alarms.raise_(view.keyset.name, Reason.PUBLISH_FAILED, "; ".join(failures))
        else:
            self._alarms.clear(view.keyset.name, Reason.PUBLISH_FAILED)
        return not failures

    def read_back(self, view: Snapshot, policy: Policy) -> None:
        """
        Return when every publisher shows every key of the keyset; raises PublicationError naming the first that does not.
        """
        if view.keyset.symmetric:
            return
        publication = publication_of(view.keyset, policy)
        for publisher in self.publishers:
            try:
                publisher.read_back(publication)
            except StoreError as error:
                raise PublicationError(f"{publisher.name}: {error}") from error

    def missing_from(self, view: Snapshot, policy: Policy) -> str:
        """
        Return the name of a publisher of ours that serves the keyset without its `next`, "" when all show it.
        """
        following = view.keyset.next
        if following is None or view.keyset.symmetric:
            return ""
        publication = publication_of(view.keyset, policy)
        for publisher in self.publishers:
            try:
                shown = publisher.served_kids(publication)
            except (PublicationError, StoreError):
                continue  # a place that cannot be read proves nothing here; the confirmation will fail and say why
            if shown is not None and following.kid not in shown:
                return publisher.name
        return ""

    def announce(self, view: Snapshot, kind: EventType, *kids: str, reason: str = "") -> bool:
        """
        Tell Redis, one event for each kid; when it cannot be told the keyset is remembered as unannounced and told again later.
        """
        keyset, base = view.keyset, f"{view.keyset.op_id}/{kind.value}"
        return all(
            self.tell(
                Event(
                    kind,
                    f"{base}/{kid}" if index else base,
                    keyset.name,
                    keyset.epoch,
                    keyset.sequence,
                    view.moment.earliest,
                    kid,
                    reason,
                )
            )
            for index, kid in enumerate(kids or ("",))
        )

    def tell(self, event: Event) -> bool:
        """
        Hand *event* to the notifier, if there is one; never raises.
        """
        if self._notifier is None:
            return True
        try:
            self._notifier.announce(event)
        except NotificationError as error:
            if event.keyset not in self.unannounced:
                self._log.warning("notify_pending", keyset=event.keyset, type=event.type.value, detail=str(error))
            self.unannounced.add(event.keyset)
            return False
        self.unannounced.discard(event.keyset)
        return True

    def purge(self, view: Snapshot, policy: Policy) -> bool:
        """
        Destroy what the document dropped and what the standby outlived, once per process and value; False: to be tried again.

        A legal hold keeps everything.
        """
        keyset = view.keyset
        goal = (keyset.epoch, keyset.purge_below)
        if policy.retain or self._clean.get(keyset.name) == goal:
            return True
        try:
            purge_keyset(self.store, keyset)
            if not keyset.symmetric:
                purge_standby(self.store, keyset)
        except StoreError as error:
            self._log.warning("purge_pending", keyset=keyset.name, below=keyset.purge_below, detail=str(error))
            return False
        self._clean[keyset.name] = goal
        return True

    def standby_matches(self, keyset: Keyset) -> bool:
        """
        Whether the standby holds the private half of `next`.
        """
        if keyset.symmetric or keyset.next is None:
            return True
        try:
            private_key(self.store, keyset, keyset.next)
        except StandbyLostError:
            return False
        return True

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _save(
        self, before: Snapshot | None, change: Change, policy: Policy, moment: ClockReading, op_id: str | None = None
    ) -> Snapshot:
        cas = before.version if before else 0
        stamp = Stamp(moment.earliest, moment.latest, op_id or self.keygen.op_id(), cas + 1)
        after = evolve(
            before.keyset if before else None, change, policy, stamp, before.committed_at if before else None
        )
        patience = max(MIN_PAUSE, after.timing.propagation_time.total_seconds() / 8)
        if isinstance(change, Activated | Revoked) and self._clocks.monotonic() - moment.read_at > patience:
            raise StoreConflictError(f"{after.name}: this process was paused since it read the store's clock")
        stored = self.store.save(Tree.KEYS, after.name, encode_keyset(after), cas)
        view = Snapshot(after, stored.version, stored.moment, stored.created_at or stored.moment.latest, loaded=False)
        self._saved(view, policy)
        return view

    def _again(self, view: Snapshot) -> Snapshot:
        again = Snapshot.of(self.store.load(Tree.KEYS, view.keyset.name), view.keyset.name)
        if (again.version, again.keyset.op_id) != (view.version, view.keyset.op_id):
            raise StoreConflictError(f"{view.keyset.name}: changed while it was looked at")
        return again

    def _fresh(self, policy: Policy, created_at: datetime) -> NextKey:
        made = self.keygen.generate(policy.algorithm, policy.rsa_bits)
        return NextKey(kid=made.kid, algorithm=policy.algorithm, material=made.material, created_at=created_at)

    def _successor(
        self, view: Snapshot, policy: Policy, kids: tuple[Kid, ...]
    ) -> tuple[Snapshot, NextKey, SecretText | None]:
        following = view.keyset.next
        if view.keyset.symmetric:
            usable = following is not None and following.kid not in kids
            return view, following if usable and following else self._fresh(policy, view.moment.earliest), None
        if following is None or not self.standby_matches(view.keyset):
            view = self.generate(view, policy, following.kid if following else None)
        following = _next(view.keyset)
        private, _ = private_key(self.store, view.keyset, following)
        return view, following, private

    def _shared(self, name: str) -> bool:
        for neighbour in self._neighbours(name):
            stored = self.store.load(Tree.JWKS, neighbour)
            try:
                if stored.fields is not None and decode_public(stored.fields, neighbour).jwks != EMPTY:
                    return True
            except DocumentError:
                return True
        return False


def _next(keyset: Keyset) -> NextKey:
    if keyset.next is None:
        raise StoreConflictError(f"{keyset.name}: next is gone")
    return keyset.next
