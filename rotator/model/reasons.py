"""
Why something is held, alarmed or done: the same words in logs, metrics, events, the command line and tests.
"""

from enum import StrEnum


class Reason(StrEnum):
    """
    Why something is held, alarmed or done: the same words in logs, metrics, events, the command line and tests.
    """

    UNCONFIRMED = "publication not confirmed"
    PROPAGATING = "next still propagating"
    OLD_NEEDED = "old still needed"
    NO_NEXT = "no next key"
    CLOCK = "clock not trusted"
    STANDBY_LOST = "standby does not match next"
    PUBLISHER_LACKED = "publisher lacked next"
    OVERDUE = "rotation overdue"
    FROZEN = "frozen"
    LAGGING = "store shows an older sequence"
    UNAVAILABLE = "store unavailable"
    DENIED = "store denied"
    PUBLISH_FAILED = "publisher failed"
    PURGE_PENDING = "purge pending"
    INVARIANT = "invariant"
    STATE_DIR = "state_dir not writable"
    NOT_CONFIGURED = "not in the configuration"
    INTERNAL = "internal error"
    FIRST = "first key"
    IMPORTED = "imported"
    SCHEDULED = "scheduled"
    REQUESTED = "requested"
    COMMAND = "rotate-now"
    UNSAFE = "rotate-now --unsafe-now"
    REVOKED = "revoked"

    @property
    def stalls(self) -> bool:
        """
        Whether an alarm for this reason means that rotation does not go on by itself.
        """
        return self in {
            Reason.FROZEN,
            Reason.DENIED,
            Reason.UNAVAILABLE,
            Reason.OVERDUE,
            Reason.INVARIANT,
            Reason.INTERNAL,
        }
