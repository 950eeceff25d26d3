"""
What a pass begins with: the keyset as the store shows it, and what happens if that was edited or has gone back in time.
"""

from dataclasses import dataclass, replace

from rotator.documents.jwk import parse_jwks
from rotator.documents.last_seen import last_seen_fields
from rotator.documents.seal import digest_of
from rotator.documents.signing import encode_keyset
from rotator.errors import (
    DocumentError,
    EditedError,
    FrozenError,
    LaggingError,
    RemovedError,
    StoreConflictError,
    StoreError,
)
from rotator.lifecycle.rollback import Contradiction, Edited, Lagging, absent_contradiction, assess
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen, accepted_later
from rotator.model.reasons import AlarmReason
from rotator.ports.clocks import Clocks
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.consent import is_removed, was_given_up
from rotator.reconcile.loading import Loader, edited_text, rolled_back_text
from rotator.reconcile.remains import remains_of
from rotator.reconcile.snapshot import Snapshot, in_force
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.ways_out import way_out

MIN_LAG = 60.0


@dataclass(frozen=True, slots=True)
class Observation:
    """
    The keyset as the store shows it (None if it does not exist yet), the policy it is under, and the store's clock.

    `version` is that of the signing document, which a creation replaces if it was deleted.
    """

    snapshot: Snapshot | None
    policy: Policy
    clock: ClockReading
    version: int = 0


class Observer:
    """
    Loads keysets, and compares what the store shows with what this host saw before (None: it remembers nothing).
    """

    def __init__(
        self, store: DocumentStore, loader: Loader, last_seen: LastSeenStore | None, alarms: Alarms, clocks: Clocks
    ) -> None:
        self._store = store
        self._loader = loader
        self._last_seen = last_seen
        self._alarms = alarms
        self._clocks = clocks

    def observe(self, tracker: Tracker) -> Observation:
        """
        Load the keyset of *tracker*.

        Raises FrozenError if the store contradicts what was seen before (EditedError if another hand changed the document),
        LaggingError while it shows an older sequence, RemovedError for a keyset that a person removed, and any error of
        `DocumentStore.load`.
        """
        name = tracker.name
        seen = self._last_seen.get(name) if self._last_seen else None
        stored = self._store.load(Tree.KEYS, name)
        distrusted = False
        try:
            if stored.fields is None:
                return Observation(None, tracker.policy, self._absent(tracker, seen, stored), stored.version)
            known = tracker.status.keyset if tracker.status else None
            snapshot = self._loader.check(stored, name, tracker.policy, seen, known)
            distrusted = True
            self._compare(tracker, seen, snapshot)
        except (FrozenError, LaggingError, DocumentError) as error:
            if isinstance(error, DocumentError) and error.newer:
                raise
            lagging = tracker.lagging_since is not None
            way = self._way_out(tracker, stored.version, str(error), seen, distrusted=distrusted and not lagging)
            raise type(error)(f"{error}{',' if isinstance(error, LaggingError) else ';'} {way}") from error
        policy = self._policy(tracker, snapshot.keyset)
        return Observation(replace(snapshot, policy=policy), policy, stored.clock, stored.version)

    def _way_out(self, tracker: Tracker, version: int, said: str, seen: LastSeen | None, *, distrusted: bool) -> str:
        """
        Return the one command that mends a frozen keyset. The store is searched once for what is *said* of a *version*.
        """
        if tracker.way_out and tracker.way_out[0] == (version, said):
            return tracker.way_out[1]
        name = tracker.name
        try:
            remains = remains_of(self._store, name, self._loader, denied=seen.document.revoked if seen else ())
        except StoreError:
            return f"run `rotator restore {name}`"
        way = way_out(
            remains,
            configured=tracker.policy.rotates,
            above=seen.sequence if seen else 0,
            epoch=seen.epoch if seen else "",
            distrust_latest=distrusted,
            denied=seen.document.revoked if seen else (),
        )
        tracker.way_out = ((version, said), way)
        return way

    def _absent(self, tracker: Tracker, seen: LastSeen | None, stored: Stored) -> ClockReading:
        """
        Return the store's clock if there is no trace of the keyset, or a person gave it up, so that it may be created.

        A keyset that a person removed is one of which nothing was ever seen; raises RemovedError if it is not configured.
        """
        name = tracker.name
        if is_removed(self._store, name):
            if not tracker.policy.rotates:
                raise RemovedError(f"{name}: was removed for good")
            if self._last_seen:
                self._last_seen.forget(name)
            return stored.clock
        public = self._store.load(Tree.JWKS, name)
        text = absent_contradiction(name, seen, stored.version, public.version)
        if text is not None and not was_given_up(self._store, name, seen, public.fields):
            raise FrozenError(f"{name}: {text}")
        again = self._store.load(Tree.KEYS, name)
        if again.version != stored.version:
            raise StoreConflictError(f"{name}: created while it was looked at")
        return again.clock

    def _compare(self, tracker: Tracker, seen: LastSeen | None, snapshot: Snapshot) -> None:
        """
        Compare what is stored with what was seen; what a person accepted since makes what was seen void.
        """
        compared = (seen, self._loader.digest(tracker.name))
        if tracker.compared is None or tracker.compared[0] is not seen or tracker.compared != compared:
            trouble = self._trouble(tracker, seen, snapshot)
            if trouble is not None:
                raise trouble
        tracker.compared, tracker.lagging_since = compared, None
        self._alarms.clear(tracker.name, AlarmReason.LAGGING)

    def _trouble(self, tracker: Tracker, seen: LastSeen | None, snapshot: Snapshot) -> StoreError | None:
        """
        Return what contradicts what was seen, as the error to be raised.
        """
        name, keyset, sealing = tracker.name, snapshot.keyset, snapshot.sealing
        if (seen is None or tracker.status is None) and (trace := self._loader.later_trace(snapshot)):
            return self._lag(tracker, rolled_back_text(snapshot, trace))
        if seen is None or accepted_later(sealing.thawed_at, seen.thawed_at):
            return None
        if sealing.key and seen.epoch == keyset.epoch:
            if not seen.seal:
                return None  # from before there were seals: it proves nothing any more
            if not sealing.remade_at and not sealing.fits(last_seen_fields(seen)):
                return FrozenError(
                    f"{name}: what this host saw last (keysets/{name}.json in its state_dir) was changed by another hand: "
                    "its seal does not fit; find out who writes there"
                )
        verdict = assess(seen, keyset, digest_of(encode_keyset(keyset)), snapshot.clock.latest)
        if isinstance(verdict, Contradiction):
            return FrozenError(verdict.text)
        if isinstance(verdict, Lagging):
            text = f"{name}: the store shows sequence {keyset.sequence}, lower than was seen before ({seen.sequence})"
            return self._lag(tracker, text)
        what = verdict.what if isinstance(verdict, Edited) else _other_key(seen, snapshot)
        return EditedError(edited_text(name, what, snapshot.version, seen.version)) if what else None

    def _lag(self, tracker: Tracker, text: str) -> StoreError:
        now = self._clocks.monotonic()
        if tracker.lagging_since is None:
            tracker.lagging_since = now
        limit = max(MIN_LAG, tracker.policy.timing.propagation_time.total_seconds() / 4)
        if now - tracker.lagging_since >= limit:
            return FrozenError(f"{text}, for {limit:.0f} s; a backup was restored or the document rolled back")
        return LaggingError(f"{text}; a lagging standby catches up within {limit:.0f} s; if a backup was restored")

    def _policy(self, tracker: Tracker, keyset: Keyset) -> Policy:
        """
        Return the policy in force, and raise an alarm if it is not the one of the configuration.
        """
        policy = tracker.policy
        found = in_force(policy, keyset)
        if found is policy:
            self._alarms.clear(tracker.name, AlarmReason.NOT_CONFIGURED)
            return policy
        detail = (
            f"algorithm {policy.algorithm} cannot follow {keyset.algorithm}: a symmetric and an asymmetric key need two "
            "keysets; name a new one"
            if policy.rotates
            else "served and retired on time, never rotated; put it back into the configuration"
        )
        self._alarms.raise_(tracker.name, AlarmReason.NOT_CONFIGURED, detail)
        return found


def _other_key(seen: LastSeen, snapshot: Snapshot) -> str:
    """
    Return which kid names another public key than it did, in words; "" if there is none.
    """
    before, now = parse_jwks(seen.document.jwks), parse_jwks(snapshot.publication.document.jwks)
    changed = [kid for kid in before.keys() & now.keys() if before[kid] != now[kid]]
    return f"{', '.join(sorted(changed))} names another key than before" if changed else ""
