"""
Keysets: the keys, the deny-list, and what operators asked for, as of one save.
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
    A compromised kid on the deny-list. It stays until `until`, when every token signed with it has expired.
    """

    kid: Kid
    revoked_at: datetime
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class RotateRequest:
    """
    An operator's request to activate the next key as soon as that is safe, at `at` or later.

    The save that activates it gets `op_id` as its own.
    """

    op_id: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """
    A named set of keys as of one save.

    `sequence` grows by one with every save. `epoch` is a random UUID made with the keyset: the same name with another
    epoch is another keyset. Store versions below `purge_below` hold dropped material and are to be destroyed.
    `rotates_at` is when rotation is due by the policy of that save. `old` begins with the key demoted last. `seen_at` is
    when a daemon, or a command, saved it last; with `heartbeat` that is never long ago while a daemon runs.
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
    heartbeat: bool = False
    seen_at: datetime | None = None
    extra: Extra = field(default_factory=no_extra, repr=False)

    def keys(self) -> Iterator[Key]:
        """
        Yield every key: current, next, then the old ones, the last demoted first.
        """
        if self.current:
            yield self.current
        if self.next:
            yield self.next
        yield from self.old

    def find(self, kid: str) -> Key | None:
        """
        Return the key named *kid*, None if there is none.
        """
        return next((key for key in self.keys() if key.kid == kid), None)

    def knows(self, kid: str) -> bool:
        """
        Whether *kid* is in the keyset or on its deny-list, and so may not be given to a new key.
        """
        return self.find(kid) is not None or any(revocation.kid == kid for revocation in self.revoked)

    def purge_limit(self, version: int) -> int:
        """
        Return the store version below which all material is to be destroyed, if the keyset is stored as *version*.

        That is `purge_below`, unless the store's counter restarted: the document was put back, or copied to another
        store. Then it is *version* itself.
        """
        return min(self.purge_below, version)

    @property
    def algorithm(self) -> Algorithm:
        """
        The algorithm of the key that signs, or of the one that will sign first.
        """
        key = self.current or self.next
        assert key is not None, "a stored keyset holds current or next"  # noqa: S101 - `decode_keyset` refuses any other
        return key.algorithm

    @property
    def symmetric(self) -> bool:
        """
        Whether its keys are shared secrets; fixed for the life of a keyset.
        """
        return self.algorithm.symmetric
