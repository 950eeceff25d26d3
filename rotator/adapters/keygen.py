"""
New keys and names: secrets, key pairs, kids, epochs and op_ids.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric import rsa

from rotator.documents.private_key import pair_of
from rotator.model.algorithms import Algorithm, KeyType
from rotator.model.keys import GeneratedKey, HmacSecret, Kid
from rotator.model.secret import SecretText


def _rsa_pair(algorithm: Algorithm, rsa_bits: int) -> GeneratedKey:
    return pair_of(rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits), algorithm)


def _secret(_algorithm: Algorithm, _rsa_bits: int) -> GeneratedKey:
    # A kid is never computed from a secret.
    return GeneratedKey(Kid(secrets.token_hex(16)), HmacSecret(fresh_secret()), None)


_GENERATE: Mapping[KeyType, Callable[[Algorithm, int], GeneratedKey]] = {
    KeyType.RSA: _rsa_pair,
    KeyType.OCT: _secret,
}


class Keygen:
    """
    The KeyGenerator that draws on the operating system's randomness.
    """

    def generate(self, algorithm: Algorithm, rsa_bits: int) -> GeneratedKey:
        """
        Return 256 random bits as 64 hex digits under a random kid, or an RSA pair (e = 65537) under its thumbprint.
        """
        return _GENERATE[algorithm.kty](algorithm, rsa_bits)

    def seal_key(self) -> SecretText:
        """
        Return 256 random bits as 64 hex digits.
        """
        return fresh_secret()

    def op_id(self) -> str:
        """
        Return a UUID version 7 (RFC 9562 section 5.7), whose first 48 bits are the milliseconds of the local clock.
        """
        milliseconds = time.time_ns() // 1_000_000
        value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=value))

    def epoch(self) -> str:
        """
        Return a random UUID.
        """
        return str(uuid.uuid4())


def fresh_secret() -> SecretText:
    """
    Return 256 random bits as 64 hex digits: 64 bytes, as many as HS512 asks for.
    """
    return SecretText(secrets.token_hex(32))
