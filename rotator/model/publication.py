"""
What verifiers are shown of a keyset. Nothing in it is secret.
"""

from dataclasses import dataclass
from typing import NewType

from rotator.model.keyset import Revocation
from rotator.model.policy import Timing

Jwks = NewType("Jwks", str)


@dataclass(frozen=True, slots=True)
class PublicDocument:
    """
    What verifiers read: the exact JWKS that is served, and the deny-list of kids.
    """

    keyset: str
    epoch: str
    sequence: int
    jwks: Jwks
    revoked: tuple[Revocation, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What a publisher shows of one keyset; `shown` holds the kids of next, current and old. Nothing in it is secret.
    """

    document: PublicDocument
    timing: Timing
    well_known: bool
    symmetric: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSeen:
    """
    A keyset as it was last seen and verified; nothing in it is secret.
    """

    epoch: str
    sequence: int
    op_id: str
    well_known: bool
    symmetric: bool
    timing: Timing
    document: PublicDocument
