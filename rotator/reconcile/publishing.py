"""
Showing a keyset to the world: on every publisher, and in the feed of changes.
"""

from collections.abc import Iterable

from rotator.documents.jwk import EMPTY
from rotator.documents.public import decode_public
from rotator.errors import (
    DocumentError,
    NotificationError,
    OutrunError,
    PrivateKeyPublishedError,
    PublicationError,
    StoreError,
)
from rotator.model.document import Tree
from rotator.model.event import Event, EventType
from rotator.model.reasons import AlarmReason
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.ports.publisher import JwksPublisher
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.snapshot import Snapshot


class Publishing:
    """
    Every publisher and the notifier, if there is one, as one. Safe to use from several threads.
    """

    def __init__(
        self, publishers: Iterable[JwksPublisher], notifier: Notifier | None, alarms: Alarms, log: Log
    ) -> None:
        self._publishers = tuple(publishers)
        self._notifier = notifier
        self._alarms = alarms
        self._log = log
        self._feed_lost = False
        self._leaks: dict[str, dict[str, str]] = {}
        self._outrun: dict[str, OutrunError] = {}

    @property
    def feed_fault(self) -> str | None:
        """
        Why the feed could not be reached lately, "" if it could; None if there is none.
        """
        return None if self._notifier is None else self._notifier.fault

    def watch_feed(self) -> None:
        """
        Log when the feed is lost, why, and when it is back. Call it about once a second; it asks nothing.
        """
        fault = self.feed_fault or ""
        if fault and not self._feed_lost:
            self._log.warning("redis_down", detail=fault)
        elif self._feed_lost and not fault:
            self._log.info("redis_up")
        self._feed_lost = bool(fault)

    def close(self) -> None:
        """
        Give back connections and file locks.
        """
        for publisher in self._publishers:
            publisher.close()
        if self._notifier is not None:
            self._notifier.close()

    def take_over(self, before: "Publishing") -> None:
        """
        Go on with what *before* knew of private keys that were seen.
        """
        self._leaks = {name: dict(leaks) for name, leaks in before._leaks.items()}  # noqa: SLF001 - of this class

    def publish(self, snapshot: Snapshot) -> tuple[str, ...]:
        """
        Show the keyset on every publisher, and return what failed: empty if all of them show it.

        What another hand had changed is overwritten, with an alarm. One failure stops no other publisher. It raises an
        alarm, which the next publication without a failure clears. `outrun_by` says whether a save must come first.
        """
        failures, outrun = [], []
        self._report_leaks(snapshot)
        for publisher in self._publishers:
            try:
                repaired = publisher.publish(snapshot.publication)
            except PrivateKeyPublishedError as error:
                self._report_leaks(snapshot, error)
                failures.append(f"{publisher.name}: {error}")
            except OutrunError as error:
                self.outran(snapshot.name, error)
                outrun.append(str(error))
            except (PublicationError, StoreError) as error:
                failures.append(f"{publisher.name}: {error}")
            else:
                if repaired:
                    self._alarms.raise_(snapshot.name, AlarmReason.PUBLIC_EDITED, repaired)
                elif repaired == "":
                    self._alarms.clear(snapshot.name, AlarmReason.PUBLIC_EDITED)
        if failures:
            self._alarms.raise_(snapshot.name, AlarmReason.PUBLISH_FAILED, "; ".join(failures))
        else:
            self._alarms.clear(snapshot.name, AlarmReason.PUBLISH_FAILED)
        return (*failures, *outrun)

    def outran(self, name: str, error: OutrunError) -> None:
        """
        Note what another hand showed, until the keyset is saved above its sequence.
        """
        self._outrun[name] = error

    def outrun_by(self, snapshot: Snapshot) -> OutrunError | None:
        """
        Return what another hand showed to consumers, if its sequence is not below that of *snapshot*.
        """
        outrun = self._outrun.get(snapshot.name)
        if outrun is not None and outrun.sequence < snapshot.keyset.sequence:
            del self._outrun[snapshot.name]
            return None
        return outrun

    def read_back(self, snapshot: Snapshot) -> None:
        """
        Read the keyset back from every publisher; raises PublicationError naming the first that lacks one of its keys.

        Shared secrets are not published, so there is nothing to read. PublicationPendingError means that all is well
        so far, and the rest is on its way.
        """
        if snapshot.keyset.symmetric:
            return
        for publisher in self._publishers:
            try:
                publisher.read_back(snapshot.publication)
            except PrivateKeyPublishedError as error:
                self._report_leaks(snapshot, error)
                raise
            except StoreError as error:
                raise PublicationError(f"{publisher.name}: {error}") from error

    def _report_leaks(self, snapshot: Snapshot, error: PrivateKeyPublishedError | None = None) -> None:
        """
        Raise the alarm for a private key that was seen, until its kid has left the keyset: taking it away is no cure.
        """
        alive = {key.kid for key in snapshot.keyset.keys()}
        leaks = self._leaks.setdefault(snapshot.name, {})
        if error is not None:
            leaks |= {kid: leak_detail(snapshot.name, kid, error) for kid in error.kids}
        for kid in leaks.keys() - alive:
            del leaks[kid]
        if leaks:
            self._alarms.raise_(snapshot.name, AlarmReason.PRIVATE_KEY, "; ".join(leaks[kid] for kid in sorted(leaks)))
        else:
            self._alarms.clear(snapshot.name, AlarmReason.PRIVATE_KEY)

    def missing_from(self, snapshot: Snapshot) -> str:
        """
        Return the name of a publisher of ours that serves the keyset without its `next`, "" if there is none.
        """
        next_key = snapshot.keyset.next
        if next_key is None or snapshot.keyset.symmetric:
            return ""
        for publisher in self._publishers:
            try:
                served = publisher.served_kids(snapshot.publication)
            except (PublicationError, StoreError):
                continue  # a place that cannot be read proves nothing here; the confirmation will fail and say why
            if served is not None and next_key.kid not in served:
                return publisher.name
        return ""

    def announce(
        self, snapshot: Snapshot, kind: EventType, *kids: str, reason: str = "", event_id: str | None = None
    ) -> bool:
        """
        Append one event for each of *kids* to the feed, or one without a kid; return whether all of them are there.

        Never raises: an event that could not be told is logged, and the keyset's position in the feed shows the gap.
        *event_id* is the save's op_id and the type by default.
        """
        keyset, base = snapshot.keyset, event_id or f"{snapshot.keyset.op_id}/{kind.value}"
        events = (
            Event(
                kind,
                f"{base}/{kid}" if index else base,
                keyset.name,
                keyset.epoch,
                keyset.sequence,
                snapshot.now,
                kid,
                reason,
            )
            for index, kid in enumerate(kids or ("",))
        )
        return all(self._append(event) for event in events)

    def position(self, name: str) -> str:
        """
        Return the announced position of a keyset, "" if there is none or the feed cannot be read.
        """
        if self._notifier is None:
            return ""
        try:
            return self._notifier.announced([name]).get(name, "")
        except NotificationError:
            return ""

    def withdraw(self, name: str) -> None:
        """
        Stop showing a keyset that was removed for good. What fails is logged: a later publication mends it.
        """
        for publisher in self._publishers:
            try:
                publisher.withdraw(name)
            except (PublicationError, StoreError) as error:
                self._log.warning("withdrawal_failed", keyset=name, publisher=publisher.name, detail=str(error))

    def forget(self, event: Event) -> bool:
        """
        Tell the feed of a removal, drop the position of its keyset, and return whether both worked.
        """
        told = self._append(event)
        if self._notifier is not None:
            try:
                self._notifier.forget(event.keyset)
            except NotificationError:
                return False
        return told

    def _append(self, event: Event) -> bool:
        if self._notifier is None:
            return True
        try:
            self._notifier.announce(event)
        except NotificationError as error:
            self._log.warning("notify_pending", keyset=event.keyset, type=event.type.value, detail=str(error))
            return False
        return True


def leak_detail(keyset: str, kid: str, error: PrivateKeyPublishedError) -> str:
    """
    Return what to say of a private key that was seen.
    """
    return (
        f"{error}; whoever read it can sign tokens: run `rotator revoke {keyset} {kid}`, and see to it that this place "
        "gets public keys only"
    )


def may_be_cached(store: DocumentStore, sharing: Iterable[str], snapshot: Snapshot) -> bool:
    """
    Return whether verifiers may have cached the combined set: it holds keys of another keyset of *sharing*.

    A document that cannot be understood counts as one with keys.
    """
    if not snapshot.policy.well_known:
        return False
    for neighbour in sharing:
        if neighbour == snapshot.name:
            continue
        stored = store.load(Tree.JWKS, neighbour)
        try:
            if stored.fields is not None and decode_public(stored.fields, neighbour).jwks != EMPTY:
                return True
        except DocumentError:
            return True
    return False
