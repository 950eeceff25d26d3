"""
The only randomness: secrets, key pairs, kids, epochs and op_ids.
"""

import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from rotator.documents.jwk import thumbprint
from rotator.errors import VerificationKeyError
from rotator.model.keys import Algorithm, HmacSecret, Kid, PublicHalf
from rotator.model.secret import SecretText

SMALLEST_RSA = 2048
UUID_VERSION = 7


@dataclass(frozen=True, slots=True)
class Made:
    """
    A key just made: `half` is what a `next` holds, `private` the private half of a pair (PKCS#8 PEM), None for a secret.
    """

    kid: Kid
    half: HmacSecret | PublicHalf
    private: SecretText | None


class KeyMaker(Protocol):
    """
    Makes keys and names; tests bring their own, cheap and repeatable.
    """

    def make(self, algorithm: Algorithm, rsa_bits: int) -> Made:
        """
        Return a new key, proved fit for use.
        """
        ...

    def op_id(self) -> str:
        """
        Return a name for a save.
        """
        ...

    def epoch(self) -> str:
        """
        Return a name for a new keyset's life.
        """
        ...


class Keygen:
    """
    The KeyMaker that draws on the operating system's randomness.
    """

    def make(self, algorithm: Algorithm, rsa_bits: int) -> Made:
        """
        Return 256 random bits as 64 hex digits under a random kid, or an RSA pair (e = 65537) under its thumbprint.

        A kid is never computed from a secret.
        """
        if algorithm.symmetric:
            return Made(Kid(secrets.token_hex(16)), HmacSecret(fresh_secret()), None)
        return pair_of(rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits))

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
    Return 256 random bits as 64 hex digits.
    """
    return SecretText(secrets.token_hex(32))


def pair_of(key: rsa.RSAPrivateKey) -> Made:
    """
    Return *key* as the two halves that documents hold, after it signed and verified once.

    Raises VerificationKeyError for a key that is too small or does not work.
    """
    if key.key_size < SMALLEST_RSA:
        raise VerificationKeyError(f"an RSA key of {key.key_size} bits is too small; use at least {SMALLEST_RSA}")
    probe = b"rotator"
    try:
        signature = key.sign(probe, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, probe, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        raise VerificationKeyError("a key pair does not verify what it signs") from error
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = PublicHalf(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    return Made(thumbprint(public), public, SecretText(private))


def load_pair(private: SecretText, *, ours: bool = False) -> Made:
    """
    Return the pair of a private key in PEM, in our own form.

    A key that is *ours* was checked when it was made; that it signs what its public half verifies is enough (20 ms are saved).

    Raises VerificationKeyError when it is no unencrypted RSA private key, or unfit.
    """
    try:
        key = load_pem_private_key(private.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=ours)
    except (ValueError, TypeError) as error:
        raise VerificationKeyError("not an unencrypted private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise VerificationKeyError("the private key is not an RSA key")
    return pair_of(key)


def milliseconds_of(op_id: str) -> int | None:
    """
    Return when an op_id was made, in milliseconds since 1970 by its maker's clock; None for one that does not say.
    """
    try:
        value = uuid.UUID(op_id)
    except ValueError:
        return None
    return value.int >> 80 if value.version == UUID_VERSION else None
