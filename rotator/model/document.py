"""
Stored documents, and the store's clock as a reply showed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

Fields = Mapping[str, Any]


class Tree(StrEnum):
    """
    The three trees of documents below the prefix, so that a policy can tell readers apart.
    """

    KEYS = "keys"
    JWKS = "jwks"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """
    The store's clock as one reply showed it.

    `earliest` is whole seconds, at or before the true moment; `latest` whole seconds, at or after it. `offset` is by how much the
    local clock was ahead, `tolerance` how much of that the reading itself may explain; `read_at` monotonic seconds.
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

    `version` counts the saves of this document, 0 when it was never written. `fields` is None where there is nothing to read:
    never written, or (with a version) deleted or destroyed. `created_at` is when that version was committed, by the store's clock.
    """

    version: int
    fields: Fields | None = field(repr=False)
    created_at: datetime | None
    clock: ClockReading
