"""
Keys as a service uses them: each has one algorithm, which comes with the key and never from a token.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OctKey, RSAKey
from joserfc.jws import JWSRegistry

from rotator.documents.jwk import base64url, base64url_uint
from rotator.documents.served_jwks import ServedJwks, ServedKey, read_jwks, rsa_fault
from rotator.errors import KeyMaterialError, WeakSecretError
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, KeyPair, NextKey, public_key
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.secret import SecretText

# The defaults of the daemon.
DEFAULT_TIMING = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))
_SIGN = JWSRegistry.algorithms


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """
    A key that verifies signatures of one kid, made with one algorithm.

    `longest_token` is the longest life of a token that it signed under an earlier policy; zero if the source does not
    say.
    """

    kid: str
    algorithm: Algorithm
    _key: OctKey | RSAKey = field(repr=False)
    longest_token: timedelta = timedelta(0)

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """
        Whether *signature* was made over *signing_input* with this key; HMACs are compared in constant time.
        """
        return _SIGN[self.algorithm].verify(signing_input, signature, self._key)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    The key that signs, with one algorithm.
    """

    kid: str
    algorithm: Algorithm
    _key: OctKey | RSAKey = field(repr=False)

    def signed(self, typ: str, payload: bytes) -> str:
        """
        Return *payload* as a compact JWS with the header members alg, kid (unless it has none) and typ.
        """
        named = {"kid": self.kid} if self.kid else {}
        members = {"alg": self.algorithm, **named, "typ": typ}
        header = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
        signing_input = f"{base64url(header)}.{base64url(payload)}"
        signature = _SIGN[self.algorithm].sign(signing_input.encode(), self._key)
        return f"{signing_input}.{base64url(signature)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """
    The keys of one keyset as of one fetch.

    `verifying` maps kids to keys in the order current, next, old, which are either all secrets or all public keys. If
    they are not *named*, a token's kid means nothing, and each key is tried. `signing` is None if the source has no
    private keys, or none signs yet. `epoch` is "" and `sequence` 0 for a JWKS, which has neither. `timing` is the
    policy that signers and readers obey, and `policy_known` whether the source says it. `secrets` are the texts of an
    HMAC keyset, current first. `read_at` is when the fetch began, in seconds of the reader's clock. `seen_at` is when a
    daemon saved the document last, None if it does not promise to save it again and again.
    """

    verifying: Mapping[str, VerifyingKey]
    signing: SigningKey | None = None
    revoked: frozenset[str] = frozenset()
    timing: Timing = DEFAULT_TIMING
    policy_known: bool = False
    keyset: str = ""
    epoch: str = ""
    sequence: int = 0
    op_id: str = ""
    secrets: tuple[SecretText, ...] = field(default=(), repr=False)
    read_at: float = 0.0
    seen_at: datetime | None = None
    named: bool = True

    @property
    def longest_token(self) -> timedelta:
        """
        The longest life of a token that one of these keys signed.
        """
        return max([self.timing.max_token_lifetime, *(key.longest_token for key in self.verifying.values())])

    def __post_init__(self) -> None:
        # Each key has one algorithm. That no set holds both kinds is the second guard against using one as the other.
        if len({key.algorithm.symmetric for key in self.verifying.values()}) > 1:
            raise KeyMaterialError(f"{self.keyset or 'a keyset'}: shared secrets and public keys in one set")


def keys_of(keyset: Keyset) -> Keys:
    """
    Return the keys of a signing document.

    Raises KeyMaterialError for an unfit key, and WeakSecretError for a short secret.
    """
    verifying, secrets = {}, []
    for key in keyset.keys():
        if isinstance(key.material, HmacSecret):
            secrets.append(key.material.secret)
            what = f"{keyset.name}: the secret {key.kid}"
            imported: OctKey | RSAKey = _oct(key.material.secret.reveal().encode(), key.algorithm, what)
        else:
            public = public_key(key)
            imported = _rsa(public.pem if public else "", f"{keyset.name}: the public key {key.kid}")
        longest = timedelta(0) if isinstance(key, NextKey) else key.longest_token
        verifying[str(key.kid)] = VerifyingKey(key.kid, key.algorithm, imported, longest)
    current, signing = keyset.current, None
    if current:
        material = current.material
        signer = _rsa(material.private.reveal(), keyset.name) if isinstance(material, KeyPair) else None
        signing = SigningKey(current.kid, current.algorithm, signer or verifying[current.kid]._key)  # noqa: SLF001
    return Keys(
        verifying=verifying,
        signing=signing,
        revoked=frozenset(str(revocation.kid) for revocation in keyset.revoked),
        timing=keyset.timing,
        policy_known=True,
        keyset=keyset.name,
        epoch=keyset.epoch,
        sequence=keyset.sequence,
        op_id=keyset.op_id,
        secrets=tuple(secrets),
        seen_at=keyset.seen_at if keyset.heartbeat else None,
    )


def keys_of_jwks(data: str | bytes) -> dict[str, VerifyingKey]:
    """
    Return the keys of a JWKS by kid, in its order; raises KeyMaterialError if it is none, or has none for us.
    """
    return keys_of_served(read_jwks(data))


def keys_of_served(served: ServedJwks) -> dict[str, VerifyingKey]:
    """
    Return the keys of a JWKS that was read; raises KeyMaterialError, which says why, if none can be used.
    """
    if not served.keys:
        why = f": {served.faults}" if served.faults else ""
        raise KeyMaterialError(f"a JWKS without any key that can be used{why}")
    return {kid: VerifyingKey(kid, key.algorithm, _served_rsa(key)) for kid, key in served.keys.items()}


def secret_key(kid: str, algorithm: Algorithm, secret: bytes) -> tuple[VerifyingKey, SigningKey]:
    """
    Return a shared secret as the pair that verifies and signs; raises WeakSecretError if it is too short.
    """
    key = _oct(secret, algorithm, "the secret")
    return VerifyingKey(kid, algorithm, key), SigningKey(kid, algorithm, key)


def _oct(secret: bytes, algorithm: Algorithm, what: str) -> OctKey:
    shortest = algorithm.min_secret
    if len(secret) < shortest:
        raise WeakSecretError(
            f"{what} has {len(secret)} bytes, fewer than the {shortest} that {algorithm} needs: too weak to sign with; "
            "make one with `rotator generate` (256 random bits as 64 hex digits)"
        )
    try:
        return OctKey.import_key(secret)
    except (ValueError, SecurityWarning):
        raise KeyMaterialError(f"{what} is a public key, and no shared secret") from None


def _served_rsa(key: ServedKey) -> RSAKey:
    return RSAKey.import_key({"kty": "RSA", "n": base64url_uint(key.n), "e": base64url_uint(key.e)})


def _rsa(pem: str, what: str) -> RSAKey:
    try:
        key = RSAKey.import_key(pem)
        numbers = key.public_key.public_numbers()
    except (ValueError, TypeError, KeyError, OverflowError, JoseError, SecurityWarning):
        # Not chained: such errors quote their input. Warnings are exceptions if Python is run with -W error.
        raise KeyMaterialError(f"{what} is no RSA key") from None
    if fault := rsa_fault(numbers.n, numbers.e):
        raise KeyMaterialError(f"{what} {fault}")
    return key
