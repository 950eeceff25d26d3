"""
When a keyset is saved only to show that it is alive, and when that begins and ends. Pure.

A node of the store that is cut off, or deposed without knowing it, goes on answering reads. What it shows is whole and
consistent, and the past. Only a moment in the document tells: `seen_at`, which a daemon renews at least every P/4. Signers
stop once it is older than P, the propagation time.
"""

from datetime import datetime

from rotator.lifecycle.holds import Evidence
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy


def beats_at(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> datetime | None:
    """
    Return when the next heartbeat is due, None if there is to be none.

    It is due at once if the last one bears a later moment than *now*: a clock that was ahead has been set right.
    """
    if not (policy.heartbeat and keyset.heartbeat) or keyset.seen_at is None or evidence.heartbeat_share is None:
        return None
    if keyset.seen_at > now + keyset.timing.clock_skew:
        return now
    return keyset.seen_at + keyset.timing.propagation_time / 4 * evidence.heartbeat_share


def must_switch(keyset: Keyset, policy: Policy, now: datetime) -> bool:
    """
    Return whether the document must say otherwise than it does whether a heartbeat is kept up.

    It is begun at once. It is ended when none came for P/2: another daemon may still have it in its configuration, and
    the two must not undo each other's saves. Signers stop at P only.
    """
    if policy.heartbeat:
        return not keyset.heartbeat or keyset.seen_at is None
    if not keyset.heartbeat:
        return False
    return keyset.seen_at is None or now - keyset.seen_at >= keyset.timing.propagation_time / 2
