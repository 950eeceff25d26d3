"""
The values everything else speaks of: a keyset and its keys, one type for each state.

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
    A shared secret: the UTF-8 bytes of the text are the HMAC key. It has no public half.
    """

    secret: SecretText


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    The public half of a key pair, SubjectPublicKeyInfo PEM.
    """

    pem: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    Both halves: PKCS#8 PEM and SubjectPublicKeyInfo PEM.
    """

    private: SecretText
    public: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """
    Generated and published, signs nothing yet (NIST SP 800-57: pre-activation).

    `published_at` is the moment after its publication was confirmed, `usable_at` when every consumer has had time to notice.
    The private half of a pair is not here: it waits in the standby document.
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

    `longest_token` is the longest max_token_lifetime in force while it was current; `activated_by` the op_id of that save.
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
    Signs no more, still verifies until `retire_at` (deactivated). Of a pair only the public half is kept.
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
    Return the public half of *key*, None for an HMAC secret.
    """
    match key.material:
        case KeyPair(public=public):
            return public
        case PublicKey() as public:
            return public
        case HmacSecret():
            return None


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """
    A key just made: `material` is what a `next` holds, `private` the private half of a pair (PKCS#8 PEM), None for a secret.
    """

    kid: Kid
    material: HmacSecret | PublicKey
    private: SecretText | None
