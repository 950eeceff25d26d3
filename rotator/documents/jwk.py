"""
Public JWKs and JWKS documents (RFC 7517), built from an allow-list of members. Pure.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm, KeyType
from rotator.model.keys import Kid, PublicKey, public_key
from rotator.model.keyset import Keyset
from rotator.model.publication import Jwks

Jwk = Mapping[str, str]
PUBLIC_MEMBERS = frozenset({"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"})
EMPTY = Jwks('{"keys":[]}')


def base64url(data: bytes) -> str:
    """
    Return *data* as base64url without padding (RFC 7515 section 2).
    """
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def base64url_uint(value: int) -> str:
    """
    Return *value*, greater than zero, as Base64urlUInt (RFC 7518 section 2): big-endian, in as few bytes as it takes.
    """
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _rsa_members(key: object) -> dict[str, str] | None:
    # RFC 7518 section 6.3.1. Imported here: a command that only reads documents is spared a tenth of its start-up.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415

    if not isinstance(key, RSAPublicKey):
        return None
    numbers = key.public_numbers()
    return {"kty": KeyType.RSA.value, "n": base64url_uint(numbers.n), "e": base64url_uint(numbers.e)}


# For each kind of key pair, what returns the required members of its JWK, None for a key of another kind.
_MEMBERS: Mapping[KeyType, Callable[[object], dict[str, str] | None]] = {KeyType.RSA: _rsa_members}


def _members_of(public: PublicKey) -> dict[str, str]:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(public.pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError("a public key is not SubjectPublicKeyInfo PEM") from error
    for members_of in _MEMBERS.values():
        if (members := members_of(key)) is not None:
            return members
    raise KeyMaterialError(f"a public key is not of a kind that rotator makes: {', '.join(_MEMBERS)}")


def thumbprint(public: PublicKey) -> Kid:
    """
    Return the SHA-256 thumbprint of a public key (RFC 7638), which is its kid.
    """
    canonical = json.dumps(_members_of(public), separators=(",", ":"), sort_keys=True).encode()
    return Kid(base64url(hashlib.sha256(canonical).digest()))


def public_jwk(kid: Kid, algorithm: Algorithm, public: PublicKey) -> Jwk:
    """
    Return the JWK of a public key: the members a verifier needs, nothing else.

    Raises KeyMaterialError for a key of another kind than *algorithm* takes.
    """
    members = _members_of(public)
    if members["kty"] != algorithm.kty:
        raise KeyMaterialError(f"the public key {kid} is not of kind {algorithm.kty}, which {algorithm} takes")
    return {"kid": kid, "use": "sig", "alg": algorithm.value, **members}


def jwks_of(keyset: Keyset) -> Jwks:
    """
    Return the JWKS of *keyset*: current, next, then old; HMAC secrets never appear. Equal keysets give equal texts.

    Raises KeyMaterialError if the set would be empty, hold a kid twice or hold anything private.
    """
    publics = ((key, public_key(key)) for key in keyset.keys())
    members = [public_jwk(key.kid, key.algorithm, public) for key, public in publics if public is not None]
    if not members and not keyset.symmetric:
        raise KeyMaterialError("the JWKS of an asymmetric keyset would be empty")
    return _render(members)


def combined(sets: Iterable[Jwks]) -> Jwks:
    """
    Return one JWKS holding the keys of all *sets*, in their order; a key that several of them hold appears once.
    """
    members = (member for jwks in sets for member in parse_jwks(jwks).values())
    return _render(list({tuple(sorted(member.items())): member for member in members}.values()))


def _render(members: list[Jwk]) -> Jwks:
    if len({member["kid"] for member in members}) != len(members):
        raise KeyMaterialError("a kid would appear twice in one JWKS")
    text = json.dumps({"keys": members}, separators=(",", ":"))
    parse_jwks(text)
    return Jwks(text)


def parse_jwks(text: str) -> dict[Kid, Jwk]:
    """
    Return the members of a JWKS by kid, in their order; the scan every set passes before it leaves.

    Raises KeyMaterialError for anything but a set of public signature keys: a private or unknown member, a symmetric
    key, a kid missing or twice.
    """
    try:
        document = json.loads(text)
        members: list[dict[str, str]] = document["keys"]
        found = {Kid(member["kid"]): member for member in members}
        clean = all(
            member["kty"] != KeyType.OCT
            and PUBLIC_MEMBERS.issuperset(member)
            and all(isinstance(v, str) for v in member.values())
            for member in members
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyMaterialError("not a JWKS") from error
    if not clean or document.keys() != {"keys"}:
        raise KeyMaterialError("a JWKS holds a member that is not public")
    if len(found) != len(members):
        raise KeyMaterialError("a JWKS holds a kid twice")
    return dict(found)
