"""
Events: hints that a keyset changed. They hold no key material, and nothing is decided by them.
"""

import re
from dataclasses import dataclass, field
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

    `source` names who announced it, "" if that was judged already.
    """

    keyset: str
    epoch: str
    sequence: int
    source: str = field(default="", compare=False)


def position(keyset: Keyset) -> str:
    """
    Return "epoch:sequence" of *keyset*, as the Redis hash of announced positions holds it.
    """
    return f"{keyset.epoch}:{keyset.sequence}"


def covers(announced: str, keyset: Keyset) -> bool:
    """
    Return whether the position that Redis holds is that of *keyset*, or a later one of its epoch. It may be any text.
    """
    epoch, _, sequence = announced.rpartition(":")
    if epoch != keyset.epoch or not re.fullmatch(r"[0-9]{1,18}", sequence):
        return False
    return int(sequence) >= keyset.sequence
