"""
Keys: one type for each state, after the key states of NIST SP 800-57 part 1 section 7.

All are immutable. Times are aware UTC datetimes of whole seconds, sequences and versions are ints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, NewType

from rotator.model.algorithms import Algorithm
from rotator.model.secret import SecretText

Kid = NewType("Kid", str)
Extra = Mapping[str, object]


def no_extra() -> Extra:
    """
    Return the empty mapping of unknown fields.
    """
    return MappingProxyType({})


class State(StrEnum):
    """
    The state of a key in a keyset, as stored.
    """

    NEXT = "next"
    CURRENT = "current"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class HmacSecret:
    """
    A shared secret: the UTF-8 bytes of the text are the HMAC key. It has no public key.
    """

    secret: SecretText


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    The public key of a pair, as SubjectPublicKeyInfo PEM (RFC 5280 section 4.1.2.7).
    """

    pem: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    A private key as PKCS#8 PEM (RFC 5208), and its public key.
    """

    private: SecretText
    public: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """
    The key that will sign after the current one (pre-activation): verifiers get it early, and it signs nothing yet.

    `published_at` is the first whole second after its publication was confirmed, None before. `usable_at` is when every
    consumer has had time to notice it. The private key of a pair is not here: it waits in the standby document.
    """

    state: ClassVar[State] = State.NEXT
    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | PublicKey
    created_at: datetime
    published_at: datetime | None = None
    usable_at: datetime | None = None
    extra: Extra = field(default_factory=no_extra, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentKey:
    """
    The one key that signs (active).

    `longest_token` is the longest max_token_lifetime in force while it was current; `activated_by` is the op_id of the
    save that made it current. `published_at` is None for an imported key.
    """

    state: ClassVar[State] = State.CURRENT
    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | KeyPair
    created_at: datetime
    published_at: datetime | None
    usable_at: datetime | None
    activated_at: datetime
    activated_by: str
    longest_token: timedelta
    extra: Extra = field(default_factory=no_extra, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldKey:
    """
    A key that signed before (deactivated): it verifies until `retire_at`. Only the public key of a pair is kept.
    """

    state: ClassVar[State] = State.OLD
    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | PublicKey
    created_at: datetime
    published_at: datetime | None
    usable_at: datetime | None
    activated_at: datetime
    activated_by: str
    longest_token: timedelta
    deactivated_at: datetime
    retire_at: datetime
    extra: Extra = field(default_factory=no_extra, repr=False)


Key = NextKey | CurrentKey | OldKey


def public_key(key: Key) -> PublicKey | None:
    """
    Return the public key of *key*, None for an HMAC secret.
    """
    if isinstance(key.material, KeyPair):
        return key.material.public
    return key.material if isinstance(key.material, PublicKey) else None


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """
    A key just made: `material` is what a NextKey holds; `private` is the private key of a pair, None for a secret.
    """

    kid: Kid
    material: HmacSecret | PublicKey
    private: SecretText | None
