"""
Private keys: PEM to and from the pair that documents hold. Pure.
"""

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
from rotator.model.keys import GeneratedKey, PublicKey
from rotator.model.secret import SecretText

MIN_RSA = 2048


def pair_of(key: rsa.RSAPrivateKey) -> GeneratedKey:
    """
    Return *key* as the two halves that documents hold, after it signed and verified once.

    Raises KeyMaterialError for a key that is too small or does not work.
    """
    if key.key_size < MIN_RSA:
        raise KeyMaterialError(f"an RSA key of {key.key_size} bits is too small; use at least {MIN_RSA}")
    probe = b"rotator"
    try:
        signature = key.sign(probe, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, probe, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        raise KeyMaterialError("a key pair does not verify what it signs") from error
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = PublicKey(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    return GeneratedKey(thumbprint(public), public, SecretText(private))


def load_pair(private: SecretText, *, ours: bool = False) -> GeneratedKey:
    """
    Return the pair of a private key in PEM, in our own form.

    A key that is *ours* was checked when it was made; that it signs what its public half verifies is enough (20 ms are saved).

    Raises KeyMaterialError when it is no unencrypted RSA private key, or unfit.
    """
    try:
        key = load_pem_private_key(private.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=ours)
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("not an unencrypted private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyMaterialError("the private key is not an RSA key")
    return pair_of(key)
