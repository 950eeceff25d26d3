"""
What is left of a keyset in the store: every version and trace that can still be read, and what may be brought back.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from rotator.documents.header import MAX_SEQUENCE
from rotator.documents.public import decode_public
from rotator.documents.standby import Standby, decode_standby
from rotator.errors import DocumentError
from rotator.model.document import ClockReading, Fields, Stored, Tree
from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.publication import PublicDocument
from rotator.ports.store import DocumentStore
from rotator.reconcile.candidates import Candidate, judged, preferred, without_gone
from rotator.reconcile.loading import Loader

MAX_CANDIDATES = 20
MAX_AHEAD = 1000
T = TypeVar("T")
_POSITION = re.compile(r"([0-9A-Za-z-]{1,64}):([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Remains:
    """
    A keyset as the store still knows it.

    `version` is that of the latest signing document, 0 if there is none, and `fields` its content, None if it is
    gone; `damaged`: it is a file that holds none. `epoch` is that of the keyset's life, "" if nothing tells it;
    `sequence` the highest one that consumers may have seen, `known` the highest that is sealed or was told; `revoked`
    the deny-list of everything that is believed, and of what was told. `candidates` begins with the newest,
    `preferred` with the best of those that may be restored.
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
    known: int
    revoked: tuple[Revocation, ...]
    candidates: tuple[Candidate, ...]
    preferred: tuple[Candidate, ...]
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
        The best version that may be restored; what a soft-deleted one holds is only known once it is undeleted.
        """
        return next(iter(self.preferred), None)

    def signs_revoked(self, candidate: Candidate) -> bool:
        """
        Return whether the key that signs in a version was revoked, which cannot come back.
        """
        current = candidate.keyset.current if candidate.keyset else None
        return current is not None and any(revocation.kid == current.kid for revocation in self.revoked)

    @property
    def absent(self) -> bool:
        """
        Whether the signing document cannot be read, and none of its versions can be brought back.
        """
        return self.fields is None and self.restorable is None


def remains_of(
    store: DocumentStore,
    name: str,
    loader: Loader | None,
    *,
    announced: str = "",
    above: int = 0,
    denied: Iterable[Revocation] = (),
    revoked: Collection[str] = (),
) -> Remains:
    """
    Read all that is left of the keyset *name*. *loader* says whose seal fits; None believes every document.

    *announced* is its position in the feed, where strangers may write: one more than MAX_AHEAD above all else counts as
    none. *above* is the highest sequence that somebody told, *denied* what a daemon remembers of the deny-list, and
    *revoked* are the kids that somebody told of.
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
    shown = public.sequence if public and public.epoch == epoch else 0
    told = max(above, shown, *(_sequence(stored, epoch, latest.version) for stored in readable))
    if feed and feed[1] == epoch and int(feed[2]) <= told + MAX_AHEAD:
        told = max(told, int(feed[2]))
    found = [judged(stored, name, epoch, loader.fault(stored, name) if loader else "") for stored in readable]
    good = [candidate.keyset for candidate in found if candidate.keyset and candidate.believed]
    sealed = public if _is_sealed(loaded[Tree.JWKS], name, loader) else None
    lists = [sealed.revoked if sealed else (), tuple(denied), *(keyset.revoked for keyset in good)]
    unknown = {*revoked} - {revocation.kid for some in lists for revocation in some}
    deny_list = _union([*lists, _told(sorted(unknown), good, clock)], clock.earliest)
    candidates = without_gone(found, deny_list)
    known = max((above, shown if sealed else 0, *(keyset.sequence for keyset in good)))
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
        sequence=told,
        known=known,
        revoked=deny_list,
        candidates=candidates,
        preferred=preferred(candidates, latest.version, known),
        keeps_versions=store.keeps_versions,
    )


def _is_sealed(stored: Stored | None, name: str, loader: Loader | None) -> bool:
    """
    Return whether rotator wrote the public document: what another hand wrote there denies no key.
    """
    fields = stored.fields if stored else None
    return fields is not None and (loader is None or loader.seals.get(name).fits(fields))


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
    return stored or announced


def _sequence(stored: Stored, epoch: str, latest: int) -> int:
    """
    Return the highest sequence of *epoch* that a version tells of: each later version was one save more.
    """
    if stored.fields is None or stored.fields.get("epoch") != epoch:
        return 0
    told = str(stored.fields.get("sequence", ""))
    own = int(told) if told.isascii() and told.isdecimal() and len(told) < len(str(MAX_SEQUENCE)) else 0
    return own + latest - stored.version


def _told(revoked: Iterable[str], good: Iterable[Keyset], clock: ClockReading) -> tuple[Revocation, ...]:
    """
    Return entries of the deny-list for kids that an operator tells: as long as a token of theirs may live.
    """
    timings = [keyset.timing for keyset in good]
    longest = [key.longest_token for keyset in good for key in keyset.keys() if not isinstance(key, NextKey)]
    stays = [timing.retention_of(max((timing.max_token_lifetime, *longest))) for timing in timings]
    until = clock.latest + max(stays, default=timedelta(days=1))
    return tuple(Revocation(Kid(kid), clock.earliest, "", until) for kid in revoked)


def _union(lists: Iterable[tuple[Revocation, ...]], now: datetime) -> tuple[Revocation, ...]:
    """
    Return every revocation that is still needed, each kid once: with the latest end, and with its reason if one has it.
    """
    found: dict[str, Revocation] = {}
    for revocation in sorted((r for some in lists for r in some), key=lambda r: (r.until, r.reason)):
        found[revocation.kid] = revocation
    return tuple(revocation for revocation in found.values() if revocation.until > now)
