"""
What a pass begins with: the keyset as the store shows it, and whether that may be believed.
"""

from dataclasses import dataclass, replace

from rotator.errors import FrozenError, StoreConflictError, StoreUnavailableError
from rotator.lifecycle.rollback import Contradiction, Lagging, absent_contradiction, assess
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.model.reasons import AlarmReason
from rotator.ports.clocks import Clocks
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.loading import Loader
from rotator.reconcile.snapshot import Snapshot, in_force
from rotator.reconcile.tracker import Tracker

MIN_LAG = 60.0


@dataclass(frozen=True, slots=True)
class Observation:
    """
    The keyset as the store shows it (None if it does not exist yet), the policy it is under, and the store's clock.
    """

    snapshot: Snapshot | None
    policy: Policy
    clock: ClockReading


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

        Raises FrozenError if the store contradicts what was seen before, StoreUnavailableError while it shows an older
        sequence, and any error of `DocumentStore.load`.
        """
        name = tracker.name
        seen = self._last_seen.get(name) if self._last_seen else None
        stored = self._store.load(Tree.KEYS, name)
        if stored.fields is None:
            clock = self._absent(name, seen, stored)
            return Observation(None, tracker.policy, clock)
        snapshot = self._loader.check(stored, name, tracker.policy)
        self._compare(tracker, seen, snapshot.keyset)
        policy = self._policy(tracker, snapshot.keyset)
        return Observation(replace(snapshot, policy=policy), policy, stored.clock)

    def _absent(self, name: str, seen: LastSeen | None, stored: Stored) -> ClockReading:
        """
        Return the store's clock if there is no trace of the keyset, so that it may be created.
        """
        public = self._store.load(Tree.JWKS, name)
        text = absent_contradiction(seen, stored.version, public.version)
        if text is not None:
            raise FrozenError(f"{name}: {text}")
        again = self._store.load(Tree.KEYS, name)
        if again.version != stored.version:
            raise StoreConflictError(f"{name}: created while it was looked at")
        return again.clock

    def _compare(self, tracker: Tracker, seen: LastSeen | None, keyset: Keyset) -> None:
        verdict = assess(seen, keyset)
        if isinstance(verdict, Contradiction):
            raise FrozenError(verdict.text)
        if isinstance(verdict, Lagging):
            self._wait_for_lag(tracker, keyset)
        tracker.lagging_since = None
        self._alarms.clear(tracker.name, AlarmReason.LAGGING)

    def _wait_for_lag(self, tracker: Tracker, keyset: Keyset) -> None:
        now = self._clocks.monotonic()
        if tracker.lagging_since is None:
            tracker.lagging_since = now
        limit = max(MIN_LAG, tracker.policy.timing.propagation_time.total_seconds() / 4)
        text = f"{tracker.name}: the store shows sequence {keyset.sequence}, lower than was seen before"
        if now - tracker.lagging_since >= limit:
            raise FrozenError(
                f"{text}, for {limit:.0f} s; a backup was restored or the document rolled back. Put the latest version "
                "back, or to accept this one stop the daemon, move its file in state_dir/keysets away and start it again"
            )
        self._alarms.raise_(tracker.name, AlarmReason.LAGGING, text)
        raise StoreUnavailableError(text)

    def _policy(self, tracker: Tracker, keyset: Keyset) -> Policy:
        """
        Return the policy in force, and raise an alarm if it is not the one of the configuration.
        """
        policy = tracker.policy
        found = in_force(policy, keyset)
        if found is policy:
            return policy
        detail = (
            f"algorithm {policy.algorithm} cannot follow {keyset.algorithm}: a symmetric and an asymmetric key need two "
            "keysets; name a new one"
            if policy.rotates
            else "served and retired on time, never rotated; put it back into the configuration"
        )
        self._alarms.raise_(tracker.name, AlarmReason.NOT_CONFIGURED, detail)
        return found
