"""
What can change a keyset, as values.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.model.keys import CurrentKey, Kid, NextKey
from rotator.model.keyset import RotateRequest
from rotator.model.reasons import Reason
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
    A new keyset: `next` alone (asymmetric), current and next together (HMAC), or an imported current.
    """

    name: str
    epoch: str
    next: NextKey | None
    first: CurrentKey | None = None


@dataclass(frozen=True, slots=True)
class AddNext:
    """
    A new `next`, in place of *replaces* where that one can never sign.
    """

    key: NextKey
    replaces: Kid | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    `next` was read back everywhere by *published_at*; *shared* when it came into a set that verifiers may have cached.
    """

    published_at: datetime
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """
    A publisher lacked `next`.
    """


@dataclass(frozen=True, slots=True)
class Activated:
    """
    `next` signs from now on; *private* is its private half from the standby, None for a secret.
    """

    reason: Reason
    private: SecretText | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """
    Old keys leave.
    """

    kids: tuple[Kid, ...]


@dataclass(frozen=True, slots=True)
class Extended:
    """
    Longer durations come into force.
    """


@dataclass(frozen=True, slots=True)
class Revoked:
    """
    Compromised keys leave at once. Where current is among them *successor* signs next: the present `next`, or a fresh key.
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


Change = Create | AddNext | Confirmed | Unconfirmed | Activated | Retired | Extended | Revoked | Requested
