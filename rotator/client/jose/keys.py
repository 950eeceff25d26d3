"""
Keys as a service uses them: each has one algorithm, which comes with the key and never from a token.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OctKey, RSAKey
from joserfc.jws import JWSRegistry

from rotator.documents.jwk import PUBLIC_MEMBERS, base64url
from rotator.errors import KeyMaterialError, WeakSecretError
from rotator.model.algorithms import MIN_RSA_BITS, Algorithm
from rotator.model.keys import HmacSecret, KeyPair, NextKey, public_key
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.secret import SecretText

# The defaults of the daemon.
DEFAULT_TIMING = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))
MIN_EXPONENT = 3
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
MAX_JWKS = 1 << 20
_SIGN = JWSRegistry.algorithms
# Modulus residues of RSA keys from the flawed generator of CVE-2017-15361 ("ROCA") lie in the group that 65537
# generates.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA = {prime: frozenset(pow(65537, power, prime) for power in range(prime)) for prime in _ROCA_PRIMES}


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
    Return the keys of a JWKS (RFC 7517) by kid, in its order.

    Members of kinds that rotator does not make are ignored (section 5). Raises KeyMaterialError for a damaged set:
    not JSON, a private or symmetric member, a kid twice, an RS256 key that is unfit, or no key at all.
    """
    try:
        members = json.loads(data)["keys"]
        if not isinstance(members, list):
            raise TypeError  # noqa: TRY301
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeyMaterialError("no JWKS") from None
    found: dict[str, VerifyingKey] = {}
    for member in members:
        key = key_of_jwk(member) if isinstance(member, dict) else None
        if key is None:
            continue
        if key.kid in found:
            raise KeyMaterialError("a JWKS holds a kid twice")
        found[key.kid] = key
    if not found:
        raise KeyMaterialError("a JWKS without any key that can be used")
    return found


def key_of_jwk(member: Mapping[str, Any]) -> VerifyingKey | None:
    """
    Return the public key that one member of a JWKS is, None for a kind of key that rotator does not make.

    Raises KeyMaterialError if it is private or symmetric, or an RS256 key that is unfit.
    """
    if not PRIVATE_MEMBERS.isdisjoint(member) or member.get("kty") == "oct":
        raise KeyMaterialError("a JWKS holds a member that is not public")
    operations = member.get("key_ops", ["verify"])
    if (
        member.get("kty") != "RSA"
        or member.get("alg") != Algorithm.RS256
        or member.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    kid = member.get("kid")
    if not isinstance(kid, str) or not kid:
        raise KeyMaterialError("a JWKS holds a key without a kid")
    public = {name: member[name] for name in PUBLIC_MEMBERS & member.keys()}
    return VerifyingKey(kid, Algorithm.RS256, _rsa(public, f"the key {kid!r} of a JWKS"))


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


def _rsa(value: str | dict[str, Any], what: str) -> RSAKey:
    try:
        key = RSAKey.import_key(value)
        numbers = key.public_key.public_numbers()
    except (ValueError, TypeError, KeyError, OverflowError, JoseError, SecurityWarning):
        # Not chained: such errors quote their input. Warnings are exceptions if Python is run with -W error.
        raise KeyMaterialError(f"{what} is no RSA key") from None
    if numbers.n.bit_length() < MIN_RSA_BITS or numbers.e < MIN_EXPONENT or numbers.n % 2 == 0:
        raise KeyMaterialError(f"{what} is too weak: RSA takes {MIN_RSA_BITS} bits and an exponent of 3 or more")
    if all(numbers.n % prime in _ROCA[prime] for prime in _ROCA_PRIMES):
        raise KeyMaterialError(f"{what} comes from a generator known to be flawed (CVE-2017-15361)")
    return key
