"""
Reasons: the same words in logs, metrics, events, the command line and tests.
"""

from enum import StrEnum


class HoldReason(StrEnum):
    """
    Why an activation that is due must wait.
    """

    UNCONFIRMED = "publication not confirmed"
    PROPAGATING = "next still propagating"
    OLD_NEEDED = "old still needed"
    NO_NEXT = "no next key"
    CLOCK = "clock not trusted"
    STANDBY_LOST = "standby does not match next"


class AlarmReason(StrEnum):
    """
    Why a keyset needs a person, or with an empty name the daemon.
    """

    UNCONFIRMED = "publication not confirmed"
    CLOCK = "clock not trusted"
    STANDBY_LOST = "standby does not match next"
    PUBLISHER_LACKED = "publisher lacked next"
    OVERDUE = "rotation overdue"
    FROZEN = "frozen"
    EDITED = "document edited"
    LAGGING = "store shows an older sequence"
    UNAVAILABLE = "store unavailable"
    DENIED = "store denied"
    PUBLISH_FAILED = "publisher failed"
    PUBLIC_EDITED = "public document edited"
    PRIVATE_KEY = "private key published"
    PURGE_PENDING = "purge pending"
    INVARIANT = "invariant"
    STATE_DIR = "state_dir not writable"
    NOT_CONFIGURED = "not in the configuration"
    NOT_LISTED = "keysets not listed"
    TOKEN = "vault token not renewed"  # noqa: S105 - a reason
    HANGS = "pass hangs"
    INTERNAL = "internal error"
    CONFIG_REFUSED = "configuration refused"

    @property
    def stalls(self) -> bool:
        """
        Whether rotation does not go on by itself while this alarm is active.
        """
        return self in {
            AlarmReason.FROZEN,
            AlarmReason.EDITED,
            AlarmReason.DENIED,
            AlarmReason.UNAVAILABLE,
            AlarmReason.OVERDUE,
            AlarmReason.INVARIANT,
            AlarmReason.HANGS,
            AlarmReason.INTERNAL,
        }


# The store contradicts what a daemon saw; it remembers more than a command can see.
CONTRADICTIONS = frozenset({AlarmReason.FROZEN, AlarmReason.EDITED, AlarmReason.LAGGING})


class ActivationReason(StrEnum):
    """
    Why a key began to sign.
    """

    FIRST = "first key"
    IMPORTED = "imported"
    SCHEDULED = "scheduled"
    REQUESTED = "requested"
    COMMAND = "rotate-now"
    UNSAFE = "rotate-now --unsafe-now"
    REVOKED = "revoked"
