"""
Tokens made by hand, to the letter, and with cryptography alone: well-formed ones, and what an attacker would send.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from rotator.client import ACCESS, Claims, InvalidTokenError, Keys, Rejection, Timing, Verifier
from rotator.client.jose.keys import keys_of_jwks, secret_key
from rotator.model.algorithms import Algorithm

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://login.example", "api"
KID = "2026-key_1"
SECRET = "5f0c1e6b9d8a47324f7be1905cc2d3a8e6470b1f92d85ac3b07e4f6618d92ca5"
TIMING = Timing(timedelta(hours=2), timedelta(hours=1), timedelta(minutes=1))
# As the value of a claim or of a header's member: leave it out.
ABSENT = object()


def encode(data: bytes) -> str:
    """
    Return *data* as base64url without padding.
    """
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """
    Return the bytes of base64url without padding.
    """
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def json_of(members: Mapping[str, object]) -> bytes:
    """
    Return *members* as JSON, without those that are ABSENT.
    """
    kept = {name: value for name, value in members.items() if value is not ABSENT}
    return json.dumps(kept, separators=(",", ":")).encode()


def good_claims(**changes: object) -> dict[str, object]:
    """
    Return claims that a verifier accepts at NOW, with *changes*.
    """
    claims: dict[str, object] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 900,
        "jti": "8c9d5b0e-token",
    }
    return claims | changes


@dataclass(frozen=True)
class Forge:
    """
    A holder of a key who signs anything with it; *public* is the public key, None for a shared secret.
    """

    algorithm: str
    mac: Callable[[bytes], bytes]
    public: rsa.RSAPublicKey | None = None

    def header(self, **changes: object) -> dict[str, object]:
        """
        Return the header of a good token, with *changes*.
        """
        return {"alg": self.algorithm, "kid": KID, "typ": ACCESS} | changes

    def sign(self, header: str, payload: str) -> str:
        """
        Sign two segments just as they are written.
        """
        return f"{header}.{payload}.{encode(self.mac(f'{header}.{payload}'.encode()))}"

    def raw(self, payload: bytes, header: bytes | None = None) -> str:
        """
        Return a token of any bytes, correctly signed; the header is a good one unless given.
        """
        return self.sign(encode(json_of(self.header()) if header is None else header), encode(payload))

    def token(self, claims: Mapping[str, object] | None = None, **header: object) -> str:
        """
        Return a token of *claims* (good ones unless given), correctly signed, with changes in its *header*.
        """
        return self.raw(json_of(good_claims() if claims is None else claims), json_of(self.header(**header)))

    def claiming(self, **changes: object) -> str:
        """
        Return a token of good claims with *changes*.
        """
        return self.token(good_claims(**changes))


def private_key(number: int = 0) -> rsa.RSAPrivateKey:
    """
    Return an RSA key, the same for the same *number* as long as the process lives.
    """
    return _made(number)


@cache
def _made(_: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def hmac_forge(secret: bytes = SECRET.encode(), algorithm: str = "HS256") -> Forge:
    """
    Return a forge with a shared secret.
    """
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return Forge(algorithm, lambda data: hmac.digest(secret, data, digest))


def rsa_forge(number: int = 0) -> Forge:
    """
    Return a forge with a key pair.
    """
    key = private_key(number)
    return Forge("RS256", lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()), key.public_key())


def jwk_of(public: rsa.RSAPublicKey, **changes: object) -> dict[str, Any]:
    """
    Return the JWK of a public key as rotator publishes it, with *changes*.
    """
    numbers = public.public_numbers()
    jwk = {
        "kty": "RSA",
        "kid": KID,
        "use": "sig",
        "alg": "RS256",
        "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
        "e": encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
    } | changes
    return {name: value for name, value in jwk.items() if value is not ABSENT}


def keys_for(forge: Forge, **more: Any) -> Keys:
    """
    Return the keys of a verifier that trusts *forge* under KID.
    """
    if forge.public is None:
        verifying = {KID: secret_key(KID, Algorithm(forge.algorithm), SECRET.encode())[0]}
    else:
        verifying = keys_of_jwks(json.dumps({"keys": [jwk_of(forge.public)]}))
    given: dict[str, Any] = {"verifying": verifying, "timing": TIMING, "epoch": "e", "sequence": 1}
    return Keys(**given | more)


class FixedKeys:
    """
    A Provider of the keys given to it. It records the kids that it was asked to search for, and then has *later*.
    """

    def __init__(self, keys: Keys, later: Keys | None = None) -> None:
        self.searched: list[str] = []
        self.refreshed = 0
        self._keys, self._later = keys, later

    def verifying(self, *, wait: bool = True) -> Keys:
        """
        Return them.
        """
        del wait
        return self._keys

    def signing(self) -> Keys:
        """
        Return them.
        """
        return self._keys

    def search(self, kid: str) -> Keys | None:
        """
        Remember *kid*, and return what came later.
        """
        self.searched.append(kid)
        return self._later

    def refresh(self) -> Keys:
        """
        Count it, and return what came later, or the same.
        """
        self.refreshed += 1
        return self._later or self._keys

    async def asearch(self, kid: str) -> Keys | None:
        """
        Do as `search` does.
        """
        return self.search(kid)

    async def arefresh(self) -> Keys:
        """
        Do as `refresh` does.
        """
        return self.refresh()


def verifier_of(forge: Forge, **options: Any) -> Verifier:
    """
    Return a verifier that trusts *forge*, at NOW, with *options*.
    """
    given: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "now": lambda: NOW} | options
    return Verifier(given.pop("keys", FixedKeys(keys_for(forge))), **given)


def outcome(verifier: Verifier, token: Any) -> Claims | Rejection:
    """
    Return the claims, or why *token* was refused; it may fail in no other way, and says nothing about the reason.
    """
    try:
        return verifier.verify(token)
    except InvalidTokenError as error:
        refused = error
    assert (type(refused), str(refused)) == (InvalidTokenError, "invalid token")
    return refused.reason
