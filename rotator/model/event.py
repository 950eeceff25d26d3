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

    @property
    def tells_of_save(self) -> bool:
        """
        Whether a save caused it, so that announcing it moves the keyset's announced position.
        """
        return self not in {EventType.HELD, EventType.OVERDUE}


@dataclass(frozen=True, slots=True)
class Event:
    """
    A hint that a keyset changed: consumers read the store again, and believe nothing that the event itself says.

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


@dataclass(frozen=True, slots=True)
class Hint:
    """
    What a message says of a keyset: it may have been saved as *sequence* of *epoch*. Anyone may have written it.
    """

    keyset: str
    epoch: str
    sequence: int


def position(keyset: Keyset) -> str:
    """
    Return "epoch:sequence" of *keyset*, as the Redis hash of announced positions holds it.
    """
    return f"{keyset.epoch}:{keyset.sequence}"
