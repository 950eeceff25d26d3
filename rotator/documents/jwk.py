"""
Public JWKs and JWKS documents (RFC 7517), built from an allow-list of members. Pure.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping

from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm
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


def _rsa_members(public: PublicKey) -> dict[str, str]:
    # Imported here: a command that only reads documents is spared a tenth of its start-up.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(public.pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError("a public half is not SubjectPublicKeyInfo PEM") from error
    if not isinstance(key, RSAPublicKey):
        raise KeyMaterialError("a public half is not an RSA key")
    numbers = key.public_numbers()

    def uint(value: int) -> str:
        return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))

    return {"kty": "RSA", "n": uint(numbers.n), "e": uint(numbers.e)}


def thumbprint(public: PublicKey) -> Kid:
    """
    Return the SHA-256 thumbprint of a public half (RFC 7638), which is its kid.
    """
    members = _rsa_members(public)
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return Kid(base64url(hashlib.sha256(canonical).digest()))


def public_jwk(kid: Kid, algorithm: Algorithm, public: PublicKey) -> Jwk:
    """
    Return the JWK of a public half: the members a verifier needs, nothing else.
    """
    return {"kid": kid, "use": "sig", "alg": algorithm.value, **_rsa_members(public)}


def jwks_of(keyset: Keyset) -> Jwks:
    """
    Return the JWKS of *keyset*: current, next, then old. The same keyset gives the same text; HMAC secrets never appear.

    Raises KeyMaterialError when the set would be empty, hold a kid twice or hold anything private.
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

    Raises KeyMaterialError for anything that is no set of public signature keys: a private or unknown member, a
    symmetric key, a kid missing or twice.
    """
    try:
        document = json.loads(text)
        members: list[dict[str, str]] = document["keys"]
        found = {Kid(member["kid"]): member for member in members}
        clean = all(
            member["kty"] != "oct"
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
