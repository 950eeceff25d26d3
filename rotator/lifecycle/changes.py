"""
What can change a keyset, as values.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Revocation, RotateRequest
from rotator.model.reasons import ActivationReason
from rotator.model.secret import SecretText


@dataclass(frozen=True, slots=True)
class Stamp:
    """
    When and as what a change is saved.

    `earliest` and `latest` bound the moment, in whole seconds; `version` is the store version that the save will be.
    """

    earliest: datetime
    latest: datetime
    op_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """
    A new keyset: `next` alone (asymmetric), *first* and `next` together (HMAC), or *first* alone (an imported pair).

    *first* signs at once; *private* is its private key, None for a secret.
    """

    name: str
    epoch: str
    next: NextKey | None
    first: NextKey | None = None
    private: SecretText | None = None


@dataclass(frozen=True, slots=True)
class AddNext:
    """
    A new `next`. *replaces* names the present one if that can never sign.
    """

    key: NextKey
    replaces: Kid | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    `next` was read back everywhere by *published_at*. *shared*: verifiers may have cached the set that it came into.
    """

    published_at: datetime
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """
    A publisher served the keyset without `next`, so its propagation starts again.
    """


@dataclass(frozen=True, slots=True)
class Activated:
    """
    `next` signs from now on. *private* is its private key from the standby, None for a secret.
    """

    reason: ActivationReason
    private: SecretText | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """
    Old keys leave the keyset. *over* names those whose retention is over though the clock, set back, shows less.
    """

    kids: tuple[Kid, ...]
    over: frozenset[Kid] = frozenset()


@dataclass(frozen=True, slots=True)
class Extended:
    """
    Longer durations come into force.
    """


@dataclass(frozen=True, slots=True)
class Revoked:
    """
    Compromised keys leave at once. If current is among them, *successor* signs from now on: `next`, or a fresh key.
    """

    kids: tuple[Kid, ...]
    reason: str
    successor: NextKey | None = None
    private: SecretText | None = None


@dataclass(frozen=True, slots=True)
class Requested:
    """
    An operator asks for an activation as soon as it is safe.
    """

    request: RotateRequest


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A daemon that could change the keyset has looked at it, and nothing is to change but `seen_at`: a heartbeat.
    """

    at: datetime


@dataclass(frozen=True, slots=True)
class Resaved:
    """
    A person accepted a stored keyset (`rotator restore`, `rotator thaw`): it is saved again, *above* every sequence seen.

    *revoked* is the deny-list of everything that could be read; keys on it leave, and so do the old keys *retired*, whose
    retention is over. All other versions are destroyed.
    """

    above: int
    revoked: tuple[Revocation, ...] = ()
    retired: tuple[Kid, ...] = ()


@dataclass(frozen=True, slots=True)
class Outrun:
    """
    Another hand showed consumers a sequence that was not reached yet: the keyset is saved *above* it, else unchanged.
    """

    above: int


Update = AddNext | Confirmed | Unconfirmed | Activated | Retired | Extended | Revoked | Requested | Resaved | Outrun
Change = Create | Update | Seen
