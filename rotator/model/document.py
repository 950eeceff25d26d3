"""
Stored documents, and the reading of the store's clock that came with a reply.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

Fields = Mapping[str, Any]


class Tree(StrEnum):
    """
    The three kinds of documents, a path each below the prefix: a Vault policy grants each reader only those it needs.
    """

    KEYS = "keys"
    JWKS = "jwks"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """
    What one reply told of the store's clock: the true moment lies between `earliest` and `latest`.

    Both are whole seconds in UTC. `offset` says how far the local clock was ahead, `tolerance` how much of that the
    reading itself may explain. `read_at` is the local monotonic clock, in seconds, at the time of the reading.
    """

    earliest: datetime
    latest: datetime
    offset: timedelta = timedelta(0)
    tolerance: timedelta = timedelta(0)
    read_at: float = field(kw_only=True, compare=False)

    def trusted(self, clock_skew: timedelta) -> bool:
        """
        Whether the local clock agrees with the store's within *clock_skew*.
        """
        return abs(self.offset) <= clock_skew + self.tolerance


@dataclass(frozen=True, slots=True)
class Stored:
    """
    One reply to a load or save.

    `version` counts the saves of this document; 0 means never written. `fields` is None if there is nothing to read:
    never written, or (with a version) deleted or destroyed. `created_at` is when that version was committed, by the
    store's clock.
    """

    version: int
    fields: Fields | None = field(repr=False)
    created_at: datetime | None
    clock: ClockReading

    @property
    def committed_at(self) -> datetime:
        """
        When this version was committed; the moment of the reply if the store does not say, which is later.
        """
        return self.created_at or self.clock.latest
