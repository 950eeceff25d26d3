"""
The keys in hand: read from a source, refused if they cannot follow from those before, served until they are too old.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from rotator.client.errors import KeysUnavailableError
from rotator.client.jose.keys import Keys
from rotator.client.log import StdlibLog
from rotator.client.sources.document import Source
from rotator.errors import RotatorError

MAX_STALE = timedelta(days=1)
READ_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class CachedKeys:
    """
    Keys and the moments (of `clock.now()`) until which they verify and sign; `change` counts how often they were others.

    One value, so that nobody sees half of a change.
    """

    keys: Keys
    verify_until: float
    sign_until: float
    change: int


@dataclass(slots=True)
class _Subscriber:
    """
    Somebody who wants to be told of changes, and the last one told.
    """

    call: Callable[[Keys], object]
    told: int = 0


class KeyCache:
    """
    What one reader holds of *source*: `held`, None before the first good reading, and `fault` of the last one or "".
    """

    # GeneratedKey anew in a process forked from this one.
    _reading: threading.Lock  # held by whoever uses the source
    _telling: threading.RLock  # held while somebody is told

    def __init__(self, source: Source, max_stale: timedelta | None) -> None:
        self._source, self._max_stale = source, max_stale
        self._log = StdlibLog()
        self._wishes: list[_Subscriber] = []
        self._changes = 0
        self.held: CachedKeys | None = None
        self.fault = ""
        self.renew()

    def renew(self) -> None:
        """
        Make the locks anew: after a fork they may be held for ever.
        """
        self._reading, self._telling = threading.Lock(), threading.RLock()

    @property
    def watched(self) -> bool:
        """
        Whether somebody wants to be told of changes.
        """
        return bool(self._wishes)

    def read(self, began: float, *, fresh: bool) -> tuple[CachedKeys | None, timedelta | None]:
        """
        Read once, whatever happens; return what is good, to be taken, and for how long its place lets it be kept.
        """
        before = self.held
        known = before.keys if before else None
        try:
            with self._reading:
                keys, may_keep = self._source.read(known, READ_TIMEOUT, fresh=fresh)
            _require_successor(known, keys, self._source.place)
            change = self._changes + (keys is not known)
            found = _held(replace(keys, read_at=began), self._max_stale, change)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread must live and the last good keys stay
            self._failed(error)
            return None, None
        if self.fault:
            self._log.info("keys_read_again", place=self._source.place)
        self.fault = ""
        return found, may_keep

    def take(self, found: CachedKeys | None) -> bool:
        """
        Hold what was *found*, if anything; return whether that is a change, to be told.
        """
        before = self.held
        self.held = found or before
        self._changes = self.held.change if self.held else self._changes
        return found is not None and (before is None or found.change != before.change)

    def forget(self) -> None:
        """
        Hold nothing any more: what comes next need not follow from what was before.
        """
        self.held = None

    def look(self) -> bool:
        """
        Return whether the source says that something may have changed.
        """
        try:
            with self._reading:
                return self._source.look()
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(error)
            return False

    def on_change(self, call: Callable[[Keys], object]) -> None:
        """
        Have *call* told now where there are keys, and at each `tell` after a change.
        """
        with self._telling:
            wish = _Subscriber(call)
            self._wishes.append(wish)
            if self.held is not None:
                wish.told = self.held.change
                call(self.held.keys)

    def tell(self) -> None:
        """
        Tell the keys in hand to everybody who was not told them yet.
        """
        with self._telling:
            held = self.held
            for wish in tuple(self._wishes):
                if held is not None and wish.told != held.change:
                    wish.told = held.change
                    try:
                        wish.call(held.keys)
                    except BaseException as error:  # noqa: BLE001 - their fault is not the reader's
                        self._log.error("on_change_failed", error=type(error).__name__)

    def _failed(self, error: BaseException) -> None:
        fault = str(error) if isinstance(error, RotatorError) else f"{self._source.place}: {type(error).__name__}"
        if fault != self.fault:
            self._log.warning("keys_not_read", fault=fault)
        self.fault = fault


def _held(keys: Keys, max_stale: timedelta | None, change: int) -> CachedKeys:
    """
    Return *keys* with their ends, counted from when they were read.

    Signing ends at the propagation time whatever *max_stale* says: from then on others may have retired the key.
    """
    timing = keys.timing
    stale = max_stale or min(timing.retention, MAX_STALE)
    return CachedKeys(
        keys,
        verify_until=keys.read_at + stale.total_seconds(),
        sign_until=keys.read_at + min(stale, timing.propagation_time).total_seconds(),
        change=change,
    )


def _require_successor(known: Keys | None, found: Keys, place: str) -> None:
    """
    Refuse what cannot be, or cannot follow from the keys in hand; the latter only a restart, by somebody who looked, accepts.
    """
    if not found.verifying:
        raise KeysUnavailableError(f"{place} holds no keys")
    if known is None or found is known:
        return
    what = ""
    if found.epoch != known.epoch:
        what = f"has epoch {found.epoch}, and {known.epoch} was read before: created anew, or another store"
    elif found.sequence < known.sequence:
        what = f"has sequence {found.sequence}, lower than {known.sequence} that was read before: a lagging or restored store"
    elif found.epoch and found.sequence == known.sequence:
        what = f"has sequence {found.sequence} from two saves: an older document was put back and changed"
    if what:
        raise KeysUnavailableError(f"{place} {what}; restart this service to accept it")
