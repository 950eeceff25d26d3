"""
Private keys: PEM to and from the pair that documents hold. Pure.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

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
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm, KeyType
from rotator.model.keys import GeneratedKey, PublicKey
from rotator.model.secret import SecretText

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes  # it imports every kind of key

_HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "SHA-256": hashes.SHA256,
    "SHA-384": hashes.SHA384,
    "SHA-512": hashes.SHA512,
}
_PROBE = b"rotator"


def _prove_rsa(key: "PrivateKeyTypes", algorithm: Algorithm) -> None:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyMaterialError("the private key is not an RSA key")
    smallest, hash_ = min(algorithm.row.sizes), _HASHES[algorithm.row.hash]()
    if key.key_size < smallest:
        raise KeyMaterialError(f"an RSA key of {key.key_size} bits is too small; use at least {smallest}")
    signature = key.sign(_PROBE, padding.PKCS1v15(), hash_)
    key.public_key().verify(signature, _PROBE, padding.PKCS1v15(), hash_)


# For each kind of key pair, what raises unless a private key is of that kind, long enough, and signs what it verifies.
_PROVE: "Mapping[KeyType, Callable[[PrivateKeyTypes, Algorithm], None]]" = {KeyType.RSA: _prove_rsa}


def pair_of(key: "PrivateKeyTypes", algorithm: Algorithm) -> GeneratedKey:
    """
    Return *key* as the public and private key that documents hold, after it signed and verified once.

    Raises KeyMaterialError for a key that *algorithm* cannot use, that is too small or does not work.
    """
    prove = _PROVE.get(algorithm.kty)
    if prove is None:
        raise KeyMaterialError(f"{algorithm} takes a shared secret, not a private key")
    try:
        prove(key, algorithm)
    except (InvalidSignature, ValueError) as error:
        raise KeyMaterialError("a key pair does not verify what it signs") from error
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = PublicKey(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    return GeneratedKey(thumbprint(public), public, SecretText(private))


def load_pair(private: SecretText, algorithm: Algorithm, *, ours: bool = False) -> GeneratedKey:
    """
    Return the pair of a private key in PEM, in our own form.

    A key that is *ours* was checked when it was made: here it only signs and verifies once, which saves 20 ms.
    Raises KeyMaterialError unless it is an unencrypted private key that *algorithm* can use.
    """
    try:
        key = load_pem_private_key(private.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=ours)
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("not an unencrypted private key in PEM") from error
    return pair_of(key, algorithm)
