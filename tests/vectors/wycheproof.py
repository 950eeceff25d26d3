"""
Vectors in the JSON form of Wycheproof (C2SP/wycheproof, testvectors_v1/json_web_*.json), judged by rotator.client.

A file has groups of one key or one set of keys, `public` or else `private`. Their tests have a token under `jws` or
`jwe`, and the result it should have: valid, invalid, or acceptable, for which either is right.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.client import InvalidTokenError, Keys, Rejection
from rotator.client.jose.compact import decode_segment
from rotator.client.jose.jws import JwsVerifier
from rotator.client.jose.keys import VerifyingKey, keys_of_jwks, keys_of_served, secret_key
from rotator.documents.served_jwks import PRIVATE_MEMBERS, read_jwks
from rotator.errors import RotatorError
from rotator.model.algorithms import Algorithm

TYPES = frozenset({"JsonWebSignature", "JsonWebKey", "JsonWebCrypto", "JsonWebEncryption"})
VALID, INVALID, ACCEPTABLE = "valid", "invalid", "acceptable"
_NO_KID = "a key without a name"
_REASONS = {
    Rejection.MALFORMED: "not a compact JWS in canonical base64url and plain JSON",
    Rejection.HEADER: "a header that asks for something",
    Rejection.UNKNOWN_KEY: "a kid that is not the key's",
    Rejection.SIGNATURE: "a signature that does not verify",
}


class UnusableKeyError(Exception):
    """
    The keys of a group cannot be used; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Vector:
    """
    One test: *keys* is the JWK or the set it is to be verified with, *claimed* how many tests its file says it has.
    """

    file: str
    number: int
    comment: str
    expected: str
    keys: Mapping[str, Any]
    token: object
    encrypted: bool
    claimed: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The result of a vector; *reason* is "" if it was accepted. *disputed*: its file gives the same input both results.
    """

    vector: Vector
    accepted: bool
    reason: str
    disputed: bool

    @property
    def false_accept(self) -> bool:
        """
        Whether it was accepted and should not have been.
        """
        return self.accepted and self.vector.expected == INVALID and not self.disputed

    @property
    def false_reject(self) -> bool:
        """
        Whether it was rejected and should not have been.
        """
        return not self.accepted and self.vector.expected == VALID and not self.disputed


def vectors_of(path: Path, name: str) -> list[Vector] | None:
    """
    Return the vectors of the file at *path*, called *name*; None where it holds no JOSE vectors.
    """
    try:
        document = json.loads(path.read_bytes())
        groups = [group for group in document["testGroups"] if group["type"] in TYPES]
    except (ValueError, KeyError, TypeError):
        return None
    if not groups:
        return None
    return [
        Vector(
            name,
            test["tcId"],
            test.get("comment", ""),
            test["result"],
            group.get("public") or _public_keys(group["private"]),
            test["jws"] if "jws" in test else test["jwe"],
            "jws" not in test,
            document.get("numberOfTests"),
        )
        for group in groups
        for test in group["tests"]
    ]


def verdicts_of(vectors: list[Vector]) -> list[Verdict]:
    """
    Return what rotator.client says to the vectors of one file.
    """
    results: dict[str, set[str]] = {}
    for vector in vectors:
        results.setdefault(_input(vector), set()).add(vector.expected)
    return [
        Verdict(vector, not reason, reason, {VALID, INVALID} <= results[_input(vector)])
        for vector in vectors
        for reason in [_reason(vector)]
    ]


def _public_keys(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the public keys of private *keys*, which a verifier would have; shared secrets as they are.
    """
    if "keys" in keys:
        return {"keys": [_public_keys(member) for member in keys["keys"]]}
    if keys.get("kty") == "oct":
        return keys
    return {name: value for name, value in keys.items() if name not in PRIVATE_MEMBERS}


def _input(vector: Vector) -> str:
    return json.dumps([vector.keys, vector.token], sort_keys=True)


def _reason(vector: Vector) -> str:
    """
    Return why *vector* is refused, "" where it is accepted.
    """
    try:
        # The kid of a token counts; one without a kid is tried with every key.
        verifier = JwsVerifier(None, kid_optional=True)
        for _ in verifier.open(vector.token, Keys(verifying=_verifying(vector.keys))):
            pass  # a search for an unknown kid, in vain
    except (UnusableKeyError, RotatorError) as error:
        if vector.encrypted:
            return "a JWE, which rotator does not decrypt"
        return _REASONS[error.reason] if isinstance(error, InvalidTokenError) else str(error)
    return ""


def _verifying(keys: Mapping[str, Any]) -> Mapping[str, VerifyingKey]:
    members = keys.get("keys", [keys])
    secrets = [member for member in members if member.get("kty") == "oct"]
    if len(secrets) not in {0, len(members)}:
        raise UnusableKeyError("shared secrets and public keys in one set")
    if not secrets:
        return _public(keys)
    found: dict[str, VerifyingKey] = {}
    for member in members:
        key = _secret(member)
        if key.kid in found:
            raise UnusableKeyError("a set holds a kid twice")
        found[key.kid] = key
    return found


def _public(keys: Mapping[str, Any]) -> Mapping[str, VerifyingKey]:
    if "keys" in keys:
        return keys_of_jwks(json.dumps(keys))
    jwk = {"kid": _NO_KID, **keys}
    served = read_jwks(json.dumps({"keys": [jwk]}))
    if not served.keys and not served.leaked:
        raise UnusableKeyError(_why_not(jwk))
    return keys_of_served(served)


def _secret(jwk: Mapping[str, Any]) -> VerifyingKey:
    """
    Return the shared secret that *jwk* is, as strictly as rotator.client reads a public key.
    """
    algorithm = jwk.get("alg")
    if algorithm not in {"HS256", "HS384", "HS512"} or not _for_signatures(jwk):
        raise UnusableKeyError(_why_not(jwk))
    try:
        secret = decode_segment(jwk["k"])
    except (KeyError, ValueError):
        raise UnusableKeyError("a secret that is not base64url") from None
    return secret_key(jwk.get("kid", _NO_KID), Algorithm(algorithm), secret)[0]


def _for_signatures(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _why_not(jwk: Mapping[str, Any]) -> str:
    if not _for_signatures(jwk):
        return "a key that is not for verifying signatures"
    algorithm = jwk.get("alg")
    if algorithm is None:
        return "a key that does not say its algorithm"
    if algorithm not in set(Algorithm):
        return f"{algorithm} is not an algorithm of rotator"
    return f"{algorithm} does not go with a key of kind {jwk.get('kty')}"
