"""
The versions of a signing document that may be brought back: which are to be believed, and which is the best. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError
from rotator.model.document import Fields, Stored
from rotator.model.keys import OldKey
from rotator.model.keyset import Keyset, Revocation
from rotator.model.times import message_time


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


def judged(stored: Stored, name: str, epoch: str, fault: str) -> Candidate:
    """
    Return a version, with its trouble if it is not of *epoch*, or for the *fault* that its seal or its shape shows.
    """
    if stored.fields is None:
        return Candidate(stored.version, None, None, stored.created_at, "")
    try:
        keyset = decode_keyset(stored.fields, name)
    except DocumentError as error:
        return Candidate(stored.version, stored.fields, None, stored.created_at, str(error))
    if epoch and keyset.epoch != epoch:
        fault = f"it has epoch {keyset.epoch}, and {epoch} is the keyset's"
    return Candidate(stored.version, stored.fields, keyset, stored.created_at, fault, believed=not fault)


def without_gone(candidates: Iterable[Candidate], revoked: Iterable[Revocation]) -> tuple[Candidate, ...]:
    """
    Return *candidates* with a trouble for each whose current key was revoked, or signs no more in a later one.

    The sequence of a believed document says which is later: an old one that was put back has the newer version.
    """
    candidates, denied = tuple(candidates), {revocation.kid for revocation in revoked}
    return tuple(
        replace(found, trouble=trouble) if (trouble := _gone(found, candidates, denied)) else found
        for found in candidates
    )


def preferred(candidates: Iterable[Candidate], latest: int, known: int) -> tuple[Candidate, ...]:
    """
    Return those that may be restored, the best first: the highest sequence wins, whatever the number of its version.

    A soft-deleted one counts as one save later than what is readable before it. The version *latest* comes last if a
    higher sequence is *known*: it was put back.
    """
    found = [candidate for candidate in candidates if not candidate.trouble]

    def rank(candidate: Candidate) -> tuple[bool, int, int]:
        own = candidate.keyset.sequence if candidate.keyset else 1 + _sequence_before(found, candidate.version)
        put_back = candidate.version == latest and candidate.keyset is not None and own < known
        return not put_back, own, candidate.version

    return tuple(sorted(found, key=rank, reverse=True))


def _gone(candidate: Candidate, others: Iterable[Candidate], denied: Iterable[str]) -> str:
    keyset = candidate.keyset
    kid = keyset.current.kid if keyset and keyset.current else None
    if keyset is None or kid is None or candidate.trouble:
        return ""
    if kid in denied:
        return f"its current key {kid} was revoked"
    place = keyset.sequence, candidate.version
    later = (c.keyset for c in others if c.keyset and c.believed and (c.keyset.sequence, c.version) > place)
    return f"its current key {kid} was replaced since" if any(not _may_sign(other, kid) for other in later) else ""


def _sequence_before(candidates: Iterable[Candidate], version: int) -> int:
    return max((c.keyset.sequence for c in candidates if c.keyset and c.version < version), default=0)


def _may_sign(keyset: Keyset, kid: str) -> bool:
    key = keyset.find(kid)
    return key is not None and not isinstance(key, OldKey)


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
