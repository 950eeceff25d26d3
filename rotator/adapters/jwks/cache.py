"""
The public documents that this process knows: what its listener serves and its JWKS file holds.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from rotator.documents.jwk import Jwk, combined, parse_jwks
from rotator.errors import KeyMaterialError, PublicationError
from rotator.model.keys import Kid
from rotator.model.policy import max_age
from rotator.model.publication import Jwks, Publication


@dataclass(frozen=True, slots=True)
class Combined:
    """
    The keys of all well-known keysets in one set; `max_age` is the shortest of its members', in seconds.
    """

    jwks: Jwks
    max_age: int


@dataclass(frozen=True, slots=True)
class _Entry:
    publication: Publication
    members: Mapping[Kid, Jwk]
    remembered: bool

    @property
    def shared(self) -> bool:
        return self.publication.well_known and not self.publication.symmetric

    def hidden(self) -> "_Entry":
        return replace(self, publication=replace(self.publication, well_known=False))


class JwksCache:
    """
    The latest publication of each keyset, in memory. Safe to use from several threads.

    The combined set is withheld until every keyset in *well_known* has been put or marked absent: a set that lacks a
    keyset's keys would make good tokens fail.
    """

    def __init__(self, well_known: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._absent: set[str] = set()
        self._combined: Combined | None = None
        self._changed = True
        self._expected = frozenset(well_known)

    @property
    def has_combined(self) -> bool:
        """
        Whether there is a combined set, complete or not: a well-known keyset is configured, or was put.
        """
        return bool(self._expected) or self.combined() is not None

    def put(self, publication: Publication, *, remembered: bool = False) -> None:
        """
        Keep *publication*, unless a later one of the same epoch is already there.

        One that is only *remembered* was not compared with the store: it takes no other's place, and any other takes its.

        Raises PublicationError for a text that may not leave, which is then not kept, and while two well-known keysets
        use one kid for different keys: then the combined set stays as it last was.
        """
        document = publication.document
        try:
            entry = _Entry(publication, parse_jwks(document.jwks), remembered)
        except KeyMaterialError as error:
            raise PublicationError(f"{document.keyset}: {error}") from error
        if bool(entry.members) is publication.symmetric:
            raise PublicationError(f"{document.keyset}: a JWKS is empty for shared secrets, and for no other keyset")
        with self._lock:
            known = self._entries.get(document.keyset)
            if known is None or not _stays(known, entry):
                self._entries[document.keyset] = entry
                self._changed = True
            self._refuse_shared_kid(document.keyset)

    def expect(self, name: str) -> None:
        """
        Withhold the combined set until *name* has been put or marked absent, unless it was complete before.
        """
        with self._lock:
            self._expected |= {name}
            self._changed = True

    def withdraw(self, name: str) -> None:
        """
        Forget the publication of a keyset if it was only remembered, and the combined set with it.
        """
        with self._lock:
            known = self._entries.get(name)
            if known and known.remembered:
                del self._entries[name]
                self._changed, self._combined = True, None

    def mark_absent(self, name: str) -> None:
        """
        Record that a keyset contributes nothing for now: it does not exist yet, or cannot be read. What was put stays.
        """
        with self._lock:
            self._absent.add(name)
            self._changed = True

    def drop(self, name: str) -> None:
        """
        Stop serving a keyset that was removed for good.
        """
        with self._lock:
            self._entries.pop(name, None)
            self._absent.add(name)
            self._combined, self._changed = None, True

    def get(self, name: str) -> Publication | None:
        """
        Return the latest publication of a keyset.
        """
        entry = self._entries.get(name)
        return entry.publication if entry else None

    def missing(self) -> tuple[str, ...]:
        """
        Return the well-known keysets that the combined set still waits for, in order.
        """
        with self._lock:
            return self._missing()

    def combined(self) -> Combined | None:
        """
        Return the union of all well-known asymmetric keysets, in the order of their names; None until it is complete.

        Keysets that left the configuration stay in it as long as they are put. It becomes None again only by `withdraw`,
        and when the last of them is dropped.
        """
        with self._lock:
            if self._changed and not self._missing():
                self._combined = self._union() or self._combined
                self._changed = False
            return self._combined

    def take_over(self, before: "JwksCache", names: Collection[str]) -> None:
        """
        Serve what *before* served, and its combined set until this one is complete.

        Of the keysets called *names* only those that this cache expects are in the combined set from now on.
        """
        combined, known = before.combined(), before._entries  # noqa: SLF001 - of this class
        with self._lock:
            hidden = set(names) - self._expected
            inherited = {name: entry.hidden() if name in hidden else entry for name, entry in known.items()}
            self._entries = inherited | self._entries
            self._combined = combined if any(entry.shared for entry in self._entries.values()) else None
            self._changed = True

    def _missing(self) -> tuple[str, ...]:
        return tuple(sorted(self._expected - self._entries.keys() - self._absent))

    def _union(self) -> Combined | None:
        shared = [entry.publication for _, entry in sorted(self._entries.items()) if entry.shared]
        if not shared:
            return None
        try:
            union = combined(publication.document.jwks for publication in shared)
        except KeyMaterialError:  # one kid for two keys, which `put` has raised
            return None
        return Combined(union, min(max_age(publication.timing) for publication in shared))

    def _refuse_shared_kid(self, name: str) -> None:
        ours = self._entries[name]
        for other, entry in self._entries.items() if ours.shared else ():
            for kid in ours.members.keys() & entry.members.keys() if entry.shared else ():
                if entry.members[kid] != ours.members[kid]:
                    raise PublicationError(
                        f"{name}: its kid {kid} names another key in {other}; set well_known = false for one of the two"
                    )


def _stays(known: _Entry, offered: _Entry) -> bool:
    if known.remembered != offered.remembered:
        return offered.remembered
    now, new = known.publication.document, offered.publication.document
    return now.epoch == new.epoch and now.sequence > new.sequence
