"""
JWKS documents (RFC 7517) as anyone serves them: the keys that a verifier can use, and what is wrong with the rest. Pure.

Services (`rotator.client`) and the daemon, which reads back what it published, both read with this module. So what the
daemon confirms is what services can use. Entries that are not for us are passed over (section 5), whatever is wrong
with them.
"""

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotator.errors import KeyMaterialError
from rotator.model.algorithms import MIN_RSA_BITS, Algorithm, KeyType

MAX_JWKS = 1 << 20
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
MIN_EXPONENT = 3
# Above these OpenSSL verifies nothing, or takes long for it.
MAX_RSA_BITS, MAX_EXPONENT_BITS = 16384, 256
_RSA_ALGORITHMS = [algorithm.value for algorithm in Algorithm if algorithm.kty is KeyType.RSA]
_PRIVATE_PEM = "PRIVATE KEY-----"
_MAX_FAULTS = 3
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
# Modulus residues of RSA keys from the flawed generator of CVE-2017-15361 ("ROCA") lie in the group that 65537
# generates.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA = {prime: frozenset(pow(65537, power, prime) for power in range(prime)) for prime in _ROCA_PRIMES}


@dataclass(frozen=True, slots=True)
class ServedKey:
    """
    A public key with its one algorithm: RSA's modulus and exponent.
    """

    algorithm: Algorithm
    n: int
    e: int


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One entry of a set: its kid ("" if it has none), and its key or the `fault` that makes it useless for verifiers.

    `private`: it shows what only the signer may know. `members` are as they were served; never show them.
    """

    kid: str
    members: Mapping[str, Any]
    key: ServedKey | None
    fault: str
    private: bool

    @property
    def modulus(self) -> int | None:
        """
        The modulus of an RSA key, be it usable or not; it tells which key this is.
        """
        return _number(self.members.get("n"))


@dataclass(frozen=True, slots=True)
class ServedJwks:
    """
    A set as it was served: every entry that is an object, and the usable keys by kid, in its order.

    A key that is listed twice counts once. `ambiguous` are kids that name different keys, of which none is usable.
    `leaked` are the kids of keys whose private part is shown, in the same entry or another: those are not usable, too.
    """

    entries: tuple[Entry, ...]
    keys: Mapping[str, ServedKey]
    ambiguous: frozenset[str]
    leaked: frozenset[str]

    @property
    def faults(self) -> str:
        """
        What is wrong with the entries that cannot be used: the first few, by kid.
        """
        found = [f"{_named(entry.kid)} {entry.fault}" for entry in self.entries if entry.fault]
        found += [f"{_named(kid)} names two keys" for kid in sorted(self.ambiguous)]
        more = f", and {len(found) - _MAX_FAULTS} more" if len(found) > _MAX_FAULTS else ""
        return "; ".join(found[:_MAX_FAULTS]) + more


def read_jwks(data: str | bytes) -> ServedJwks:
    """
    Return the set that *data* is; raises KeyMaterialError if it is no JWKS.
    """
    try:
        members = json.loads(data)["keys"]
        if not isinstance(members, list):
            raise TypeError  # noqa: TRY301
    except (ValueError, KeyError, TypeError, RecursionError):
        # Not chained: such errors quote their input.
        raise KeyMaterialError("no JWKS") from None
    entries = tuple(_entry(member) for member in members if isinstance(member, dict))
    keys: dict[str, ServedKey] = {}
    ambiguous = set()
    for entry in entries:
        if entry.key is not None and keys.setdefault(entry.kid, entry.key) != entry.key:
            ambiguous.add(entry.kid)
    exposed = {entry.modulus for entry in entries if entry.private} - {None}
    leaked = {entry.kid for entry in entries if entry.private or (exposed and entry.modulus in exposed)} - {""}
    usable = {kid: key for kid, key in keys.items() if kid not in ambiguous | leaked}
    return ServedJwks(entries, usable, frozenset(ambiguous), frozenset(leaked))


def rsa_fault(n: int, e: int) -> str:
    """
    Return what makes an RSA public key unfit to verify with, "" if nothing does.
    """
    if n.bit_length() < MIN_RSA_BITS or e < MIN_EXPONENT or n % 2 == 0 or e % 2 == 0:
        return f"is too weak: RSA takes {MIN_RSA_BITS} bits and an odd exponent of 3 or more"
    if n.bit_length() > MAX_RSA_BITS or e.bit_length() > MAX_EXPONENT_BITS:
        return "is too large"
    if all(n % prime in _ROCA[prime] for prime in _ROCA_PRIMES):
        return "comes from a generator known to be flawed (CVE-2017-15361)"
    return ""


def _entry(members: Mapping[str, Any]) -> Entry:
    kid = members.get("kid")
    named = kid if isinstance(kid, str) else ""
    private = any(members.get(name) for name in PRIVATE_MEMBERS) or any(
        isinstance(value, str) and _PRIVATE_PEM in value for value in members.values()
    )
    fault = _fault(members, named, private=private)
    n, e = (0, 0) if fault else (_number(members.get("n")) or 0, _number(members.get("e")) or 0)
    fault = fault or rsa_fault(n, e)
    return Entry(named, members, None if fault else ServedKey(Algorithm(members["alg"]), n, e), fault, private)


def _fault(members: Mapping[str, Any], kid: str, *, private: bool) -> str:
    """
    Return why an entry is not for us, "" if it may be an RSA key to verify with.
    """
    kty, alg, operations = members.get("kty"), members.get("alg"), members.get("key_ops", ["verify"])
    if kty == KeyType.OCT:
        return "is a shared secret"
    if private:
        return "shows a private key"
    if kty != KeyType.RSA:
        return f"is of no kind that can be used ({KeyType.RSA.value})"
    if alg is None:
        return 'does not say its algorithm ("alg")'
    if alg not in _RSA_ALGORITHMS:
        return f"is for another algorithm than {', '.join(_RSA_ALGORITHMS)}"
    if members.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return "is not for verifying signatures"
    if not kid:
        return "has no kid"
    if _number(members.get("n")) is None or _number(members.get("e")) is None:
        return "is no RSA key"
    return ""


def _number(value: object) -> int | None:
    """
    Return the number that a member is (RFC 7518 section 2), None if it is none.
    """
    if not isinstance(value, str) or not _BASE64URL.fullmatch(text := value.rstrip("=")):
        return None
    try:
        return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except binascii.Error:
        return None


def _named(kid: str) -> str:
    return f"kid {kid[:64]!r}" if kid else "an entry without a kid"
