"""
What is left of a keyset in the store: every version and trace that can still be read, and what may be brought back.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from rotator.documents.public import decode_public
from rotator.documents.signing import decode_keyset
from rotator.documents.standby import Standby, decode_standby
from rotator.errors import DocumentError
from rotator.model.document import ClockReading, Fields, Stored, Tree
from rotator.model.keys import OldKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.publication import PublicDocument
from rotator.model.times import message_time
from rotator.ports.store import DocumentStore

MAX_CANDIDATES = 20
MAX_SEQUENCE = 2**53
T = TypeVar("T")
_POSITION = re.compile(r"([0-9A-Za-z-]{1,64}):([0-9]{1,15})")
# Says why a version of the signing document is not to be believed, "" if it is.
Check = Callable[[Stored], str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    One version of the signing document that was not destroyed; `trouble` says why it cannot be restored, "" if it can.

    `fields` is None if it is soft-deleted, and `keyset` also if it is not rotator's. `believed`: rotator wrote it, in this
    life of the keyset.
    """

    version: int
    fields: Fields | None = field(repr=False)
    keyset: Keyset | None
    at: datetime | None
    trouble: str
    believed: bool = False

    @property
    def deleted(self) -> bool:
        """
        Whether it must be undeleted to be read.
        """
        return self.fields is None


@dataclass(frozen=True, slots=True)
class Remains:
    """
    A keyset as the store still knows it.

    `version` is that of the latest signing document, 0 if there is none, and `fields` its content, None if it is gone;
    `damaged`: it is a file that holds none. `epoch` is that of the keyset's life, "" if nothing tells it; `sequence` the
    highest one that consumers may have seen; `revoked` the deny-list of everything that could be read. `candidates`
    begins with the newest.
    """

    name: str
    version: int
    fields: Fields | None = field(repr=False)
    damaged: bool
    clock: ClockReading
    public: PublicDocument | None
    public_version: int
    standby: Standby | None
    standby_version: int
    epoch: str
    sequence: int
    revoked: tuple[Revocation, ...]
    candidates: tuple[Candidate, ...]
    keeps_versions: bool

    @property
    def latest(self) -> Candidate | None:
        """
        The latest version, if it was not destroyed.
        """
        return next((found for found in self.candidates if found.version == self.version), None)

    @property
    def restorable(self) -> Candidate | None:
        """
        The newest version that may be restored; what a soft-deleted one holds is only known once it is undeleted.
        """
        return next((found for found in self.candidates if not found.trouble), None)

    @property
    def absent(self) -> bool:
        """
        Whether the signing document cannot be read, and none of its versions can be brought back.
        """
        return self.fields is None and self.restorable is None


def remains_of(store: DocumentStore, name: str, check: Check, *, announced: str = "", above: int = 0) -> Remains:
    """
    Read all that is left of the keyset *name*.

    *announced* is its position in the feed, which may be anything; *above* the highest sequence that somebody told.
    Raises StoreError if the store cannot be read.
    """
    loaded = {tree: _load(store, tree, name) for tree in Tree}
    clock = next((stored.clock for stored in loaded.values() if stored is not None), None)
    if clock is None:
        raise DocumentError(f"{name}: every document of it is damaged; put one of the three back from a backup")
    keys = loaded[Tree.KEYS]
    latest = keys or Stored(0, None, None, clock)
    standby, standby_version = _decoded(loaded[Tree.STANDBY], name, decode_standby)
    public, public_version = _decoded(loaded[Tree.JWKS], name, decode_public)
    feed = _POSITION.fullmatch(announced)
    readable = list(_readable(store, name, latest))
    epoch = _epoch(standby, public, feed[1] if feed else "", readable)
    told = (
        above,
        public.sequence if public and public.epoch == epoch else 0,
        int(feed[2]) if feed and feed[1] == epoch else 0,
        *(_sequence(stored, epoch, latest.version) for stored in readable),
    )
    denied = _union((public.revoked if public else (), *_deny_lists(readable, name)), latest.clock.earliest)
    candidates = _never_back([_candidate(stored, name, epoch, denied, check) for stored in readable])
    return Remains(
        name=name,
        version=latest.version,
        fields=latest.fields,
        damaged=keys is None,
        clock=latest.clock,
        public=public,
        public_version=public_version,
        standby=standby,
        standby_version=standby_version,
        epoch=epoch,
        sequence=max(told),
        revoked=denied,
        candidates=candidates,
        keeps_versions=store.keeps_versions,
    )


def _load(store: DocumentStore, tree: Tree, name: str) -> Stored | None:
    """
    Return the latest version of a document, None if it is a file that holds none.
    """
    try:
        return store.load(tree, name)
    except DocumentError:
        return None


def _decoded(stored: Stored | None, name: str, decode: Callable[[Fields, str], T]) -> tuple[T | None, int]:
    """
    Return a document and its version; None for one that is gone, or not ours.
    """
    if stored is None:
        return None, 0
    try:
        return (decode(stored.fields, name) if stored.fields is not None else None), stored.version
    except DocumentError:
        return None, stored.version


def _readable(store: DocumentStore, name: str, latest: Stored) -> Iterator[Stored]:
    """
    Yield every version that was not destroyed, the newest first, at most MAX_CANDIDATES.
    """
    numbers = sorted(store.versions(Tree.KEYS, name), reverse=True) if latest.version else []
    for number in numbers[:MAX_CANDIDATES]:
        found = latest if number == latest.version else store.load_version(Tree.KEYS, name, number)
        if found.version:
            yield found


def _epoch(standby: Standby | None, public: PublicDocument | None, announced: str, readable: Iterable[Stored]) -> str:
    """
    Return the epoch of the keyset's life. The standby, which only the daemon and operators may write, says it first.
    """
    if standby is not None:
        return standby.epoch
    if public is not None:
        return public.epoch
    stored = next((str(s.fields.get("epoch", "")) for s in readable if s.fields), "")
    return announced or stored


def _sequence(stored: Stored, epoch: str, latest: int) -> int:
    """
    Return the highest sequence of *epoch* that a version tells of: each later version was one save more.
    """
    if stored.fields is None or stored.fields.get("epoch") != epoch:
        return 0
    told = str(stored.fields.get("sequence", ""))
    own = int(told) if told.isascii() and told.isdecimal() and len(told) < len(str(MAX_SEQUENCE)) else 0
    return own + latest - stored.version


def _deny_lists(readable: Iterable[Stored], name: str) -> Iterator[tuple[Revocation, ...]]:
    for stored in readable:
        try:
            yield decode_keyset(stored.fields, name).revoked if stored.fields is not None else ()
        except DocumentError:
            continue


def _union(lists: Iterable[tuple[Revocation, ...]], now: datetime) -> tuple[Revocation, ...]:
    """
    Return every revocation that is still needed, each kid once: with the latest end, and with its reason if one has it.
    """
    found: dict[str, Revocation] = {}
    for revocation in sorted((r for some in lists for r in some), key=lambda r: (r.until, r.reason)):
        found[revocation.kid] = revocation
    return tuple(revocation for revocation in found.values() if revocation.until > now)


def _candidate(stored: Stored, name: str, epoch: str, revoked: tuple[Revocation, ...], check: Check) -> Candidate:
    if stored.fields is None:
        return Candidate(stored.version, None, None, stored.created_at, "")
    try:
        keyset = decode_keyset(stored.fields, name)
    except DocumentError as error:
        return Candidate(stored.version, stored.fields, None, stored.created_at, str(error))
    unbelieved = trouble = check(stored)
    if epoch and keyset.epoch != epoch:
        unbelieved = trouble = f"it has epoch {keyset.epoch}, and {epoch} is the keyset's"
    elif keyset.current and any(r.kid == keyset.current.kid for r in revoked):
        trouble = f"its current key {keyset.current.kid} was revoked"
    return Candidate(stored.version, stored.fields, keyset, stored.created_at, trouble, believed=not unbelieved)


def _never_back(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """
    Return *candidates*, the newest first, with a trouble for each whose current key signs no more in a later good one.
    """
    found: list[Candidate] = []
    for candidate in candidates:
        later = [c.keyset for c in found if c.keyset and c.believed]
        kid = candidate.keyset.current.kid if candidate.keyset and candidate.keyset.current else None
        if kid and not candidate.trouble and any(not _may_sign(keyset, kid) for keyset in later):
            found.append(replace(candidate, trouble=f"its current key {kid} was replaced since"))
        else:
            found.append(candidate)
    return tuple(found)


def _may_sign(keyset: Keyset, kid: str) -> bool:
    key = keyset.find(kid)
    return key is not None and not isinstance(key, OldKey)


def believe(_stored: Stored) -> str:
    """
    Believe every document.
    """
    return ""


def describe(candidate: Candidate) -> str:
    """
    Return one line on a version, for a person who chooses.
    """
    at = message_time(candidate.at)
    if candidate.deleted:
        return f"version {candidate.version}, saved {at}: deleted; what it holds shows once it is undeleted"
    if candidate.keyset is None:
        return f"version {candidate.version}, saved {at}: {candidate.trouble}"
    kid = candidate.keyset.current.kid if candidate.keyset.current else "none"
    said = f"version {candidate.version}, saved {at}: sequence {candidate.keyset.sequence}, current {kid}"
    return f"{said}; not to be restored: {candidate.trouble}" if candidate.trouble else said
