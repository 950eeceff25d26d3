"""
What keeps a keyset from being reconciled: which alarm an error raises, and what it means for services.
"""

from datetime import datetime

from rotator.errors import (
    DocumentError,
    EditedError,
    FrozenError,
    InvariantError,
    LaggingError,
    StoreDeniedError,
    StoreUnavailableError,
)
from rotator.model.policy import Timing
from rotator.model.reasons import CONTRADICTIONS, AlarmReason
from rotator.model.times import format_time
from rotator.reconcile.tracker import Tracker

# The first that fits; each error's own kind comes before what it is a kind of.
_REASONS: tuple[tuple[type[Exception], AlarmReason], ...] = (
    (LaggingError, AlarmReason.LAGGING),
    (StoreDeniedError, AlarmReason.DENIED),
    (StoreUnavailableError, AlarmReason.UNAVAILABLE),
    (EditedError, AlarmReason.EDITED),
    (FrozenError, AlarmReason.FROZEN),
    (DocumentError, AlarmReason.FROZEN),
    (InvariantError, AlarmReason.INVARIANT),
)
TROUBLE = (*dict.fromkeys(reason for _, reason in _REASONS), AlarmReason.INTERNAL)
# The store did not answer, so it is tried again more and more gently.
OUTAGE = frozenset({AlarmReason.UNAVAILABLE, AlarmReason.DENIED})
# The store answered, and only a person mends what it said; that counts within seconds.
FROZEN = CONTRADICTIONS
FROZEN_INTERVAL = 4.0
# What keeps services from reading the keyset, too.
_UNREADABLE = FROZEN | {AlarmReason.UNAVAILABLE}


def reason_of(error: Exception) -> AlarmReason:
    """
    Return the reason of the alarm that *error* raises.
    """
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), AlarmReason.INTERNAL)


def signing_ends(tracker: Tracker, reason: AlarmReason, remembered: Timing | None, now: datetime) -> str:
    """
    Return from when on no service can sign, since none reads the keyset: the most important moment in an outage.

    That is a propagation time after the last look that succeeded, or after the last heartbeat if signers go by it.
    Without a look, the durations *remembered* bound it: at this process's first look, at *now*, the keyset could not be
    read any more.
    """
    if reason not in _UNREADABLE:
        return ""
    if tracker.status is not None:
        keyset, read = tracker.status.keyset, tracker.status.clock.earliest
        last = min(read, keyset.seen_at) if keyset.heartbeat and keyset.seen_at else read
        ends = last + keyset.timing.propagation_time
        return f"; no service can sign from {format_time(ends)} on"
    if remembered is None:
        return ""
    tracker.unread_since = tracker.unread_since or now
    ends = tracker.unread_since + remembered.propagation_time
    return f"; no service can sign from {format_time(ends)} on, at the latest"
