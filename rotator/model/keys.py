"""
The values everything else speaks of: a keyset and its keys, one type for each state.

All are immutable. Times are aware UTC datetimes of whole seconds, sequences and versions are ints.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NewType

from rotator.model.secret import SecretText

Kid = NewType("Kid", str)
KEYSET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Extra = Mapping[str, object]


def _nothing() -> Extra:
    return MappingProxyType({})


class Algorithm(StrEnum):
    """
    A JWS algorithm (RFC 7518 section 3.1) that rotator makes keys for.
    """

    RS256 = "RS256"
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"

    @property
    def symmetric(self) -> bool:
        """
        Whether signing and verifying take the same secret.
        """
        return self.value.startswith("HS")

    @property
    def shortest_secret(self) -> int:
        """
        The fewest bytes that a secret may have: as many as the hash gives (RFC 7518 section 3.2); 0 for key pairs.
        """
        return int(self.value[2:]) // 8 if self.symmetric else 0


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
class PublicHalf:
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
    public: PublicHalf


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """
    Generated and published, signs nothing yet (NIST SP 800-57: pre-activation).

    `published_at` is the moment after its publication was confirmed, `usable_at` when every consumer has had time to notice.
    The private half of a pair is not here: it waits in the standby document.
    """

    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | PublicHalf
    created_at: datetime
    published_at: datetime | None = None
    usable_at: datetime | None = None
    extra: Extra = field(default_factory=_nothing, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentKey:
    """
    The one key that signs (active).

    `longest_token` is the longest max_token_lifetime in force while it was current; `activated_by` the op_id of that save.
    """

    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | KeyPair
    created_at: datetime
    published_at: datetime | None
    usable_at: datetime | None
    activated_at: datetime
    activated_by: str
    longest_token: timedelta
    extra: Extra = field(default_factory=_nothing, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldKey:
    """
    Signs no more, still verifies until `retire_at` (deactivated). Of a pair only the public half is kept.
    """

    kid: Kid
    algorithm: Algorithm
    material: HmacSecret | PublicHalf
    created_at: datetime
    published_at: datetime | None
    usable_at: datetime | None
    activated_at: datetime
    activated_by: str
    longest_token: timedelta
    deactivated_at: datetime
    retire_at: datetime
    extra: Extra = field(default_factory=_nothing, repr=False)


Key = NextKey | CurrentKey | OldKey


def public_half(key: Key) -> PublicHalf | None:
    """
    Return the public half of *key*, None for an HMAC secret.
    """
    match key.material:
        case KeyPair(public=public):
            return public
        case PublicHalf() as public:
            return public
        case HmacSecret():
            return None


@dataclass(frozen=True, slots=True)
class Timing:
    """
    The three durations that signers and verifiers obey; retention is their sum.
    """

    propagation_time: timedelta
    max_token_lifetime: timedelta
    clock_skew: timedelta

    @property
    def retention(self) -> timedelta:
        """
        How long an old key stays after it signed last.
        """
        return self.propagation_time + self.max_token_lifetime + self.clock_skew

    def longest(self, other: "Timing") -> "Timing":
        """
        Return the longer of each duration: what is safe for readers of either.
        """
        return Timing(
            max(self.propagation_time, other.propagation_time),
            max(self.max_token_lifetime, other.max_token_lifetime),
            max(self.clock_skew, other.clock_skew),
        )


@dataclass(frozen=True, slots=True)
class Revocation:
    """
    A compromised kid on the deny-list, until no token signed with it can be alive.
    """

    kid: Kid
    revoked_at: datetime
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class RotateRequest:
    """
    An operator's wish to activate `next` as soon as it is usable, not before `at`; the activating save bears `op_id`.
    """

    op_id: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """
    A named set of keys as of one save.

    `sequence` grows by one with every save; `epoch` is made when the keyset is created; every store version below
    `purge_below` holds material that was dropped. `rotates_at` is when rotation was due by the policy of that save.
    `old` is ordered from the newest to the oldest.
    """

    name: str
    epoch: str
    sequence: int
    op_id: str
    timing: Timing
    purge_below: int = 0
    current: CurrentKey | None = None
    next: NextKey | None = None
    old: tuple[OldKey, ...] = ()
    revoked: tuple[Revocation, ...] = ()
    rotate_requested: RotateRequest | None = None
    rotates_at: datetime | None = None
    extra: Extra = field(default_factory=_nothing, repr=False)

    def keys(self) -> Iterator[Key]:
        """
        Yield every key: current, next, then old from the newest.
        """
        if self.current:
            yield self.current
        if self.next:
            yield self.next
        yield from self.old

    def find(self, kid: str) -> Key | None:
        """
        Return the key named *kid*.
        """
        return next((key for key in self.keys() if key.kid == kid), None)

    def knows(self, kid: str) -> bool:
        """
        Whether *kid* is taken: in the keyset or on its deny-list.
        """
        return self.find(kid) is not None or any(revocation.kid == kid for revocation in self.revoked)

    @property
    def algorithm(self) -> Algorithm:
        """
        The algorithm of the key that signs, or will sign first.
        """
        key = self.current or self.next
        assert key is not None, "a stored keyset holds current or next"  # noqa: S101 - the codec refuses any other
        return key.algorithm

    @property
    def symmetric(self) -> bool:
        """
        Whether its keys are shared secrets; fixed for the life of a keyset.
        """
        return self.algorithm.symmetric
