"""
A keyset as of one save: its keys, its deny-list, and what operators asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rotator.model.algorithms import Algorithm
from rotator.model.keys import CurrentKey, Extra, Key, Kid, NextKey, OldKey, no_extra
from rotator.model.policy import Timing

KEYSET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


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
    extra: Extra = field(default_factory=no_extra, repr=False)

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
