"""
Keysets that the configuration forgot: found in the store or in our memory, served and retired on time, never rotated.
"""

import threading
from collections.abc import Mapping, MutableSequence
from datetime import timedelta

from rotator.documents.jwk import parse_jwks
from rotator.documents.public import is_well_known
from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError, FrozenError, StoreDeniedError, StoreError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keyset import KEYSET_NAME
from rotator.model.policy import Policy, Timing
from rotator.model.publication import LastSeen
from rotator.model.reasons import AlarmReason
from rotator.model.times import MAX_BACKOFF
from rotator.ports.clocks import Clocks
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.log import Log
from rotator.ports.publication_cache import PublicationCache
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.seals import Seals
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.work_queue import WorkQueue

# Of a document that cannot be read: the durations of the default configuration.
_UNKNOWN = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))


def remembered(configured: Mapping[str, Policy], last_seen: LastSeenStore, log: Log) -> Mapping[str, Policy]:
    """
    Return the policy of each keyset that this host has seen, and *configured* does not name.

    Raises FrozenError if what was seen cannot be listed.
    """
    policies = {}
    for name in last_seen.names():
        if name in configured:
            continue
        try:
            seen = last_seen.get(name)
        except FrozenError as error:
            log.error("memory_damaged", keyset=name, detail=str(error))  # noqa: TRY400 - the text says it all
            continue
        if seen is not None:
            policies[name] = _policy(_algorithm(seen), seen.timing, well_known=seen.well_known)
    return policies


class Forgotten:
    """
    Finds keysets in the store that nothing tracks, at the beginning and every *period* seconds, and adds them to the queue.

    *sharing*, the names of those in the combined set, grows with them. Safe to use from several threads.
    """

    def __init__(
        self,
        store: DocumentStore,
        seals: Seals,
        queue: WorkQueue,
        cache: PublicationCache,
        sharing: MutableSequence[str],
        alarms: Alarms,
        log: Log,
        clocks: Clocks,
        period: float,
    ) -> None:
        self._store = store
        self._seals = seals
        self._queue = queue
        self._cache = cache
        self._sharing = sharing
        self._alarms = alarms
        self._log = log
        self._clocks = clocks
        self._period = period
        self._lock = threading.Lock()
        self._due = clocks.monotonic()

    def find(self) -> None:
        """
        Look for them if that is due. Raises nothing; call it at each pass.
        """
        if self._clocks.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return
        wait = self._period
        try:
            self._find()
            self._alarms.clear("", AlarmReason.NOT_LISTED)
        except StoreError as error:
            if isinstance(error, StoreDeniedError) and any(tracker.status for tracker in self._queue.trackers):
                detail = f"if there are keysets that the configuration does not name, they are not served: {error}"
                self._alarms.raise_("", AlarmReason.NOT_LISTED, detail)
            else:  # nothing can be read, for which every keyset raises its own alarm
                self._log.warning("keysets_not_listed", detail=str(error))
                wait = min(MAX_BACKOFF.total_seconds(), wait / 8)
        finally:
            self._due = self._clocks.monotonic() + wait
            self._lock.release()

    def _find(self) -> None:
        tracked = {tracker.name for tracker in self._queue.trackers}
        for name in self._store.names():
            if name in tracked or not KEYSET_NAME.fullmatch(name):
                continue
            policy = self._policy_of(name)
            if policy is None:
                continue
            self._log.warning("keyset_found", keyset=name, detail="in the store, and not in the configuration")
            if policy.well_known:
                self._sharing.append(name)
                self._cache.expect(name)
            self._queue.add(Tracker(name, policy))

    def _policy_of(self, name: str) -> Policy | None:
        """
        Return what the documents of a keyset say, None if it was deleted.

        One that cannot be read is tracked as well: its first pass raises the alarm.
        """
        try:
            stored = self._store.load(Tree.KEYS, name)
            if stored.fields is None:
                return None
            keyset = decode_keyset(stored.fields, name)
            public = self._store.load(Tree.JWKS, name).fields or {}
            # Whoever could add a keyset to the combined set could let its tokens pass where they should not.
            well_known = is_well_known(public) and self._seals.read(name).fits(public)
        except (DocumentError, StoreDeniedError):
            return _policy(Algorithm.HS256, _UNKNOWN, well_known=False)
        return _policy(keyset.algorithm, keyset.timing, well_known=well_known)


def _policy(algorithm: Algorithm, timing: Timing, *, well_known: bool) -> Policy:
    return Policy(
        algorithm=algorithm,
        rotation_period=2 * timing.propagation_time,
        timing=timing,
        well_known=well_known and not algorithm.symmetric,
        rotates=False,
    )


def _algorithm(seen: LastSeen) -> Algorithm:
    """
    Return that of the published keys. Which one shared secrets have, only the signing document says, at the first pass.
    """
    named = {member.get("alg") for member in parse_jwks(seen.document.jwks).values()}
    known = [algorithm for algorithm in Algorithm if algorithm in named]
    return known[0] if known else Algorithm.HS256 if seen.symmetric else Algorithm.RS256
