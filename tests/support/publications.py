"""
Publications of real keys, cheap enough to make many: each key pair is generated once.
"""

import functools
import json
from datetime import UTC, datetime, timedelta

from rotator.adapters.keygen import Keygen
from rotator.documents.jwk import EMPTY, public_jwk
from rotator.model.algorithms import Algorithm
from rotator.model.keys import GeneratedKey, Kid, PublicKey
from rotator.model.keyset import Revocation
from rotator.model.policy import Timing
from rotator.model.publication import Jwks, Publication, PublicDocument

P = timedelta(seconds=100)


@functools.cache
def pair(number: int) -> GeneratedKey:
    """Return the key pair of that number."""
    del number
    return Keygen().generate(Algorithm.RS256, 2048)


def jwks(*numbers: int) -> Jwks:
    """Return the JWKS of the key pairs with these numbers."""
    members = []
    for number in numbers:
        made = pair(number)
        assert isinstance(made.material, PublicKey)
        members.append(public_jwk(made.kid, Algorithm.RS256, made.material))
    return Jwks(json.dumps({"keys": members}, separators=(",", ":")))


def kid(number: int) -> Kid:
    """Return the kid of the key pair of that number."""
    return pair(number).kid


def publication(
    keyset: str,
    *numbers: int,
    sequence: int = 1,
    epoch: str = "epoch-1",
    well_known: bool = True,
    propagation: timedelta = P,
    revoked: tuple[Kid, ...] = (),
) -> Publication:
    """Return what is published of a keyset with these key pairs; without any it is one of shared secrets."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    document = PublicDocument(
        keyset,
        epoch,
        sequence,
        jwks(*numbers) if numbers else EMPTY,
        tuple(Revocation(kid, now, "", now + P) for kid in revoked),
    )
    timing = Timing(propagation, timedelta(minutes=15), timedelta(seconds=1))
    return Publication(document, timing, well_known, symmetric=not numbers)
