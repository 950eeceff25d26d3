"""
The cached keys: fetched from a source, rejected if they contradict those before, served until they are too old.

Signing ends sooner than verifying: at the propagation time, since others may have retired the key after that.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.client.errors import KeysUnavailableError
from rotator.client.freshness import left_to_sign
from rotator.client.jose.keys import Keys
from rotator.client.log import StdlibLog
from rotator.client.sources.document import Source
from rotator.documents.header import MAX_OUTRUN
from rotator.errors import RotatorError

MAX_STALE = timedelta(days=1)
READ_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class CachedKeys:
    """
    Keys, and until when (in seconds of `clock.now()`) they verify and sign; `generation` counts the changes up to them.

    `seen_bounds`: it is the last heartbeat that bounds signing. One immutable value, so that no thread sees half of a
    change.
    """

    keys: Keys
    verify_until: float
    sign_until: float
    generation: int
    seen_bounds: bool = False


@dataclass(slots=True)
class _Subscriber:
    """
    A callback for changes, and the generation that it was last called with; 0 before the first call.
    """

    call: Callable[[Keys], object]
    generation: int = 0


class KeyCache:
    """
    The keys of one reader.

    `cached` is None before the first good fetch; `fault` says why the last fetch failed, or is "".
    """

    # Replaced in a forked process.
    _fetching: threading.Lock  # held while the source is used
    _notifying: threading.RLock  # held while subscribers are called

    def __init__(self, source: Source, max_stale: timedelta | None, wall: Callable[[], float] = time.time) -> None:
        self._source, self._max_stale, self._wall = source, max_stale, wall
        self._log = StdlibLog()
        self._subscribers: list[_Subscriber] = []
        self._generation = 0
        self.cached: CachedKeys | None = None
        self.fault = ""
        self.reset_locks()

    def reset_locks(self) -> None:
        """
        Replace the locks: in a forked process, those of the parent may stay locked for ever.
        """
        self._fetching, self._notifying = threading.Lock(), threading.RLock()

    @property
    def keys(self) -> Keys | None:
        """
        The cached keys, however old.
        """
        return self.cached.keys if self.cached else None

    @property
    def has_subscribers(self) -> bool:
        """
        Whether `on_change` was called.
        """
        return bool(self._subscribers)

    def fetch(self, began: float, *, fresh: bool) -> tuple[CachedKeys | None, timedelta | None]:
        """
        Fetch once; never raises.

        Return the new keys (None on failure) for `accept`, and how long the source lets them be kept.
        """
        known, wall = self.keys, self._wall()
        try:
            with self._fetching:
                keys, may_keep = self._source.read(known, READ_TIMEOUT, fresh=fresh)
            _require_consistent(known, keys, self._source.place)
            generation = self._generation + (not _same_save(known, keys))
            keys = replace(keys, read_at=began, seen_at=_latest(known, keys))
            fetched = _cached(keys, self._max_stale, generation, wall)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread must live and the last good keys stay
            self._failed(error)
            return None, None
        if self.fault:
            self._log.info("keys_read_again", place=self._source.place)
        self.fault = ""
        return fetched, may_keep

    def accept(self, fetched: CachedKeys | None) -> bool:
        """
        Serve *fetched* from now on, unless it is None; return whether the keys changed, so that `notify` is due.
        """
        if fetched is None:
            return False
        cached, self.cached, self._generation = self.cached, fetched, fetched.generation
        return cached is None or fetched.generation != cached.generation

    def clear(self) -> None:
        """
        Forget the keys. The next ones are accepted whatever their epoch and sequence.
        """
        self.cached = None

    def source_changed(self) -> bool:
        """
        Whether the source says that something may have changed; never raises.
        """
        try:
            with self._fetching:
                return self._source.changed()
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(error)
            return False

    def on_change(self, call: Callable[[Keys], object]) -> None:
        """
        Subscribe *call*: it is called at once if there are keys, and by `notify` after each change.
        """
        with self._notifying:
            subscriber = _Subscriber(call)
            self._subscribers.append(subscriber)
            if self.cached is not None:
                subscriber.generation = self.cached.generation
                call(self.cached.keys)

    def notify(self) -> None:
        """
        Call each subscriber that was not called with the cached keys yet.
        """
        with self._notifying:
            cached = self.cached
            for subscriber in tuple(self._subscribers):
                if cached is not None and subscriber.generation != cached.generation:
                    subscriber.generation = cached.generation
                    try:
                        subscriber.call(cached.keys)
                    except BaseException as error:  # noqa: BLE001 - their fault is not the reader's
                        self._log.error("on_change_failed", error=type(error).__name__)

    def _failed(self, error: BaseException) -> None:
        fault = str(error) if isinstance(error, RotatorError) else f"{self._source.place}: {type(error).__name__}"
        if fault != self.fault:
            self._log.warning("keys_not_read", fault=fault)
        self.fault = fault


def _cached(keys: Keys, max_stale: timedelta | None, generation: int, wall: float) -> CachedKeys:
    """
    Return *keys* with their ends, counted from `keys.read_at`, which was *wall* by this host's clock.

    Signing ends at the propagation time at the latest, whatever *max_stale* says: after that, others may have retired
    the key. It ends sooner if a heartbeat is promised and stays away.
    """
    timing, left = keys.timing, left_to_sign(keys, wall)
    stale = max_stale or min(timing.retention, MAX_STALE)
    sign_for = min(stale, timing.propagation_time).total_seconds()
    return CachedKeys(
        keys,
        verify_until=keys.read_at + stale.total_seconds(),
        sign_until=keys.read_at + (sign_for if left is None else min(sign_for, left)),
        generation=generation,
        seen_bounds=left is not None and left < sign_for,
    )


def _same_save(known: Keys | None, found: Keys) -> bool:
    """
    Whether a source returned *known*, or *known* with the moment of another heartbeat.
    """
    return known is not None and found.verifying is known.verifying


def _latest(known: Keys | None, found: Keys) -> datetime | None:
    """
    Return the later `seen_at` of one save: a node that lags proves nothing against what another one showed before.
    """
    if known is None or not _same_save(known, found) or known.seen_at is None or found.seen_at is None:
        return found.seen_at
    return max(known.seen_at, found.seen_at)


def _require_consistent(known: Keys | None, found: Keys, place: str) -> None:
    """
    Reject an empty set, and one that contradicts the cached keys (other epoch, lower sequence).

    Only a restart accepts the latter. A known sequence that no saves lead to was another hand's: any may follow it.
    """
    if not found.verifying:
        raise KeysUnavailableError(f"{place} holds no keys")
    if known is None or _same_save(known, found):
        return
    what = ""
    if found.epoch != known.epoch:
        what = f"has epoch {found.epoch}, and {known.epoch} was read before: the keyset was created again, or this is another store"
    elif known.sequence >= MAX_OUTRUN:
        return
    elif found.sequence < known.sequence:
        what = f"has sequence {found.sequence}, lower than {known.sequence} that was read before: a lagging or restored store"
    elif found.epoch and found.sequence == known.sequence:
        what = f"has sequence {found.sequence} from two saves: an older document was put back and changed"
    if what:
        raise KeysUnavailableError(f"{place} {what}; restart this service to accept it")
