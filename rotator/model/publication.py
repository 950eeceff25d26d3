"""
What verifiers get to see of a keyset. Nothing in it is secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

from rotator.model.keyset import Revocation
from rotator.model.policy import Timing

Jwks = NewType("Jwks", str)


@dataclass(frozen=True, slots=True)
class PublicDocument:
    """
    What verifiers read of one keyset: the exact text of the JWKS that is served, and the deny-list.

    `sequence` is that of the keyset's save which it was made from. `well_known`: its keys are in the combined JWKS, which a
    daemon without a memory learns here of a keyset that its configuration does not name. `seal` is "" if the keyset was
    never sealed.
    """

    keyset: str
    epoch: str
    sequence: int
    jwks: Jwks
    revoked: tuple[Revocation, ...] = ()
    well_known: bool = False
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What a publisher needs to show one keyset.

    `timing` bounds how long it may be cached. Publishers of the combined JWKS accept only `well_known` keysets, and none
    that is `symmetric`: shared secrets have no public keys.
    """

    document: PublicDocument
    timing: Timing
    well_known: bool
    symmetric: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSeen:
    """
    A keyset as a daemon last saw and accepted it: its trusted local state, in the sense of TUF.

    It is served while the store is away, and what the store holds later must follow from it. `version` is the store's,
    `digest` that of the document's content ("" if it was recorded before there were seals), `stay_until` says until when
    which key cannot leave. `thawed_at` is when a person last accepted what was there; `seal` proves that rotator wrote
    all this.
    """

    epoch: str
    sequence: int
    op_id: str
    well_known: bool
    symmetric: bool
    timing: Timing
    document: PublicDocument
    version: int = 0
    digest: str = ""
    stay_until: Mapping[str, datetime] = field(default_factory=dict)
    thawed_at: datetime | None = None
    seal: str = ""

    def supersedes(self, known: "LastSeen | None") -> bool:
        """
        Whether this is to replace what is *known*.

        The sequence of an epoch never falls unless a person accepted that; what bears no seal gives way to what does.
        """
        if known is None or known.epoch != self.epoch or self.sequence >= known.sequence:
            return True
        return accepted_later(self.thawed_at, known.thawed_at) or bool(self.seal and not known.seal)


def accepted_later(thawed_at: datetime | None, than: datetime | None) -> bool:
    """
    Return whether a person accepted what the store held after the moment *than*.
    """
    return thawed_at is not None and (than is None or thawed_at > than)
