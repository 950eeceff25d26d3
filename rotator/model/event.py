"""
Events: hints that a keyset changed. They hold no key material, and nothing is decided by them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rotator.model.keyset import Keyset


class EventType(StrEnum):
    """
    The types of events, as the CloudEvents attribute `type` names them.
    """

    PUBLISHED = "rotator.key.published"
    ACTIVATED = "rotator.key.activated"
    RETIRED = "rotator.key.retired"
    REVOKED = "rotator.key.revoked"
    CHANGED = "rotator.keyset.changed"
    HELD = "rotator.rotation.held"
    OVERDUE = "rotator.rotation.overdue"


@dataclass(frozen=True, slots=True)
class Event:
    """
    A hint that a keyset changed: readers look at the store, and believe nothing else in it.

    `id` is unique to a save, a type and a kid, so a repeated event can be recognised. `kid` and `reason` may be empty.
    """

    type: EventType
    id: str
    keyset: str
    epoch: str
    sequence: int
    at: datetime
    kid: str = ""
    reason: str = ""


def position(keyset: Keyset) -> str:
    """
    Return "epoch:sequence" of *keyset*, as the Redis hash of announced positions holds it.
    """
    return f"{keyset.epoch}:{keyset.sequence}"
