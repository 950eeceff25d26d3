"""
A store in memory that behaves as KV version 2 does, and fuses that break it where a test wants it broken.
"""

import json
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from rotator.errors import StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import ClockReading, Fields, Stored, Tree


class Crash(BaseException):
    """
    The process dies here.
    """


class Clock(Protocol):
    """
    The clocks of the store's host.
    """

    def monotonic(self) -> float:
        """
        Return seconds since some fixed moment.
        """
        ...

    def now(self) -> datetime:
        """
        Return the moment, aware, UTC.
        """
        ...


@dataclass(slots=True)
class Fuses:
    """
    Counts effects (writes, publications, announcements) and blows at the one a test chose; fakes may share one.

    A fuse blows once; `done` holds the names of all effects that happened.
    """

    done: list[str] = field(default_factory=list)
    _left: int = 0
    _after: bool = False
    _with: type[BaseException] | None = None

    def blow(self, nth: int, *, after: bool = False, with_: type[BaseException] = Crash) -> None:
        """
        Raise at the *nth* effect from now on (1: the next), before it happens or after.

        An error after the effect is a lost reply: it happened and looks as if it had not.
        """
        self._left, self._after, self._with = nth, after, with_

    def disarm(self) -> None:
        """
        Forget what was armed.
        """
        self._left, self._with = 0, None

    @property
    def armed(self) -> bool:
        """
        Whether a fuse is waiting to blow.
        """
        return self._with is not None

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """
        Wrap one effect.
        """
        self._left -= 1
        blown = self._with if self._with is not None and self._left == 0 else None
        if blown:
            self._with = None
            if not self._after:
                raise blown(f"before {name}")
        yield
        self.done.append(name)
        if blown:
            raise blown(f"after {name}")


@dataclass(slots=True)
class _Version:
    text: str | None
    created_at: datetime
    deleted: bool = False


class MemoryStore:
    """
    A DocumentStore that keeps every version.

    `away` and `denied` make each call fail; `offset` is by how much the local clock is ahead.
    """

    def __init__(self, clock: Clock, fuses: Fuses | None = None) -> None:
        self.fuses = fuses or Fuses()
        self.away = False
        self.denied = False
        self.offset = timedelta(0)
        self.reads = self.maintained = self.closed = 0
        self.mark: object = None
        self.trouble = ""
        self.limited = False
        self._clock = clock
        self._lock = threading.RLock()
        self._documents: dict[tuple[Tree, str], list[_Version]] = {}

    # -- the port ------------------------------------------------------------------------------------------------------

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the latest version.
        """
        with self._lock:
            self._reachable()
            self.reads += 1
            return self._stored(tree, keyset)

    def load_version(self, tree: Tree, keyset: str, version: int) -> Stored:
        """
        Return one version.
        """
        with self._lock:
            self._reachable()
            self.reads += 1
            return self._stored(tree, keyset, version)

    def names(self) -> Collection[str]:
        """
        Return the names of all signing documents.
        """
        with self._lock:
            self._reachable()
            return tuple(sorted(keyset for tree, keyset in self._documents if tree is Tree.KEYS))

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Append a version when the latest is *cas*.
        """
        with self._lock:
            self._reachable()
            versions = self._documents.get((tree, keyset), [])
            if len(versions) != cas:
                raise StoreConflictError(f"{tree}/{keyset}: version {len(versions)}, not {cas}")
            text = json.dumps(fields)
            with self.fuses.effect(f"save {tree}/{keyset}"):
                versions.append(_Version(text, self._clock.now()))
                self._documents[tree, keyset] = versions
            return self._stored(tree, keyset)

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the versions whose data exists.
        """
        with self._lock:
            self._reachable()
            return tuple(number for number, version in self._numbered(tree, keyset) if version.text is not None)

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Destroy the data of *versions*, the latest included, as KV version 2 would.
        """
        with self._lock:
            self._reachable()
            with self.fuses.effect(f"destroy {tree}/{keyset}"):
                for number, version in self._numbered(tree, keyset):
                    if number in versions:
                        version.text = None

    @property
    def keeps_versions(self) -> bool:
        """
        Always true.
        """
        return True

    def undelete(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Bring soft-deleted *versions* back.
        """
        with self._lock:
            self._reachable()
            with self.fuses.effect(f"undelete {tree}/{keyset}"):
                for number, version in self._numbered(tree, keyset):
                    version.deleted = version.deleted and number not in versions

    def remove(self, tree: Tree, keyset: str) -> None:
        """
        Remove a document with all its versions, so that it answers a bare 404.
        """
        with self._lock:
            self._reachable()
            with self.fuses.effect(f"remove {tree}/{keyset}"):
                self._documents.pop((tree, keyset), None)

    @property
    def token_expires_at(self) -> datetime | None:
        """
        Always None.
        """
        return None

    def maintain(self) -> str:
        """
        Count the call; return what a test has set in `trouble`.
        """
        self.maintained += 1
        return self.trouble

    def fingerprint(self) -> object:
        """
        Return None, or what a test has set in `mark`.
        """
        return self.mark

    def close(self) -> None:
        """
        Count the call.
        """
        self.closed += 1

    # -- what people and disasters do ----------------------------------------------------------------------------------

    def delete(self, tree: Tree, keyset: str) -> None:
        """
        Soft-delete the latest version.
        """
        self._documents[tree, keyset][-1].deleted = True

    def forget_metadata(self, tree: Tree, keyset: str) -> None:
        """
        Remove a document with all its versions, so that it answers a bare 404.
        """
        self._documents.pop((tree, keyset), None)

    def put(self, tree: Tree, keyset: str, fields: dict[str, Any]) -> None:
        """
        Write a version without compare-and-set, as a human's `vault kv put` does.
        """
        self._documents.setdefault((tree, keyset), []).append(_Version(json.dumps(fields), self._clock.now()))

    def history(self, tree: Tree, keyset: str) -> list[dict[str, Any] | None]:
        """
        Return the data of every version from the first, None where it is destroyed.
        """
        return [None if v.text is None else json.loads(v.text) for _, v in self._numbered(tree, keyset)]

    def snapshot(self) -> object:
        """
        Return a backup of everything.
        """
        return deepcopy(self._documents)

    def restore(self, snapshot: object) -> None:
        """
        Go back to a backup.
        """
        assert isinstance(snapshot, dict)
        self._documents = deepcopy(snapshot)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _reachable(self) -> None:
        if self.away:
            raise StoreUnavailableError("the store is away")
        if self.denied:
            raise StoreDeniedError("the store denies")

    def _numbered(self, tree: Tree, keyset: str) -> list[tuple[int, _Version]]:
        return list(enumerate(self._documents.get((tree, keyset), []), start=1))

    def _stored(self, tree: Tree, keyset: str, version: int | None = None) -> Stored:
        now = self._clock.now()
        earliest = now.replace(microsecond=0)
        latest = earliest if earliest == now else earliest + timedelta(seconds=1)
        moment = ClockReading(earliest, latest, self.offset, read_at=self._clock.monotonic())
        numbered = [n for n in self._numbered(tree, keyset) if version in (None, n[0])]
        if not numbered:
            return Stored(0, None, None, moment)
        number, found = numbered[-1]
        gone = found.text is None or found.deleted
        return Stored(number, None if gone else json.loads(found.text or ""), found.created_at, moment)
