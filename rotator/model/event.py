"""
Events: hints that a keyset changed, without key material and without authority.
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
    A hint that a keyset changed: no key material, no authority.
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
    Return what the announced hash holds for *keyset*: epoch and sequence.
    """
    return f"{keyset.epoch}:{keyset.sequence}"
