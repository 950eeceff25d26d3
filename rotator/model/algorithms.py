"""
The JWS algorithms that rotator makes keys for: one table, a row each.

A new algorithm, such as ES256, begins here, with a row, and leaves `_LATER` in `config/validators.py`. A new kind of
key (`kty`) needs code in `documents/jwk.py`, `documents/private_key.py`, `documents/served_jwks.py`,
`adapters/keygen.py` and `client/jose/keys.py`; docs/architecture.md has the steps.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

RSA_SIZES = (2048, 3072, 4096)
MIN_RSA_BITS = min(RSA_SIZES)


class KeyType(StrEnum):
    """
    The member `kty` of a JWK (RFC 7518 section 6.1).
    """

    RSA = "RSA"
    OCT = "oct"


class Row(NamedTuple):
    """
    What one algorithm needs.

    `hash` is named as in RFC 7518 section 3.1. `sizes` holds the sizes of new key pairs in bits, `min_secret` the fewest
    bytes of a shared secret: as many as the hash gives (RFC 7518 section 3.2).
    """

    kty: KeyType
    hash: str
    sizes: tuple[int, ...] = ()
    min_secret: int = 0


class Algorithm(StrEnum):
    """
    A JWS algorithm (RFC 7518 section 3.1) that rotator makes keys for.
    """

    RS256 = "RS256"
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"

    @property
    def row(self) -> Row:
        """
        The row of the table for this algorithm.
        """
        return TABLE[self]

    @property
    def kty(self) -> KeyType:
        """
        The kind of key that it signs with.
        """
        return TABLE[self].kty

    @property
    def symmetric(self) -> bool:
        """
        Whether signing and verifying use the same secret.
        """
        return self.kty is KeyType.OCT

    @property
    def min_secret(self) -> int:
        """
        The fewest bytes that a shared secret may have; 0 for key pairs.
        """
        return TABLE[self].min_secret


TABLE: Mapping[Algorithm, Row] = {
    Algorithm.RS256: Row(KeyType.RSA, "SHA-256", sizes=RSA_SIZES),
    Algorithm.HS256: Row(KeyType.OCT, "SHA-256", min_secret=32),
    Algorithm.HS384: Row(KeyType.OCT, "SHA-384", min_secret=48),
    Algorithm.HS512: Row(KeyType.OCT, "SHA-512", min_secret=64),
}
