"""
When a rotation is due, and what holds it. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.model.keys import Kid, OldKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What the stored document cannot say: what this process saw of the world around it.

    `missing_from` is the name of a publisher of ours that did not show `next`; a failed confirmation is not tried again before
    `confirm_after`; `standby_lost` once the standby was seen twice not to match, `standby_doubted` after the first time. `committed_at` is when
    the store committed the version that was read.
    """

    clock_trusted: bool = True
    missing_from: str = ""
    confirm_after: datetime | None = None
    standby_doubted: bool = False
    standby_lost: bool = False
    committed_at: datetime | None = None


GOOD = Evidence()


def may_confirm(evidence: Evidence, now: datetime) -> bool:
    """
    Return whether the back-off after a failed confirmation is over.
    """
    return evidence.confirm_after is None or now >= evidence.confirm_after


def demoted_late(keyset: Keyset, committed_at: datetime | None) -> OldKey | None:
    """
    Return the key that this very save made old later than the document says, by more than a quarter of P.

    A process may be paused between its reading of the clock and the commit, and the store may commit late; until then signers
    went on. They poll within half of P, so less than a quarter is free.
    """
    current, timing = keyset.current, keyset.timing
    if committed_at is None or current is None or keyset.op_id != current.activated_by:
        return None
    for key in keyset.old:
        base = key.retire_at - key.longest_token - timing.propagation_time - timing.clock_skew
        if key.deactivated_at == current.activated_at and committed_at - base > timing.propagation_time / 4:
            return key
    return None


def retirable(keyset: Keyset, policy: Policy, now: datetime) -> tuple[Kid, ...]:
    """
    Return the old keys whose retention is over.
    """
    return () if policy.retain else tuple(key.kid for key in keyset.old if now >= key.retire_at)


def due_at(keyset: Keyset, policy: Policy) -> datetime | None:
    """
    Return when the next activation is due, None when none is planned; a first key is due as soon as it may sign.
    """
    if not policy.rotates:
        return None
    if keyset.current is None:
        return (keyset.next.usable_at or keyset.next.created_at) if keyset.next else None
    scheduled = keyset.current.activated_at + policy.rotation_period
    request = keyset.rotate_requested
    return min(scheduled, request.at) if request else scheduled


@dataclass(frozen=True, slots=True)
class Hold:
    """
    Why `next` must not sign yet, and from when it may (None where no moment is known).
    """

    reason: Reason
    until: datetime | None = None


def activation_hold(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> Hold | None:
    """
    Return what forbids activating `next` now, whoever asks; None when it is safe.
    """
    following = keyset.next
    if not evidence.clock_trusted:
        return Hold(Reason.CLOCK)
    if following is None:
        return Hold(Reason.NO_NEXT)
    if evidence.standby_doubted or evidence.standby_lost:
        return Hold(Reason.STANDBY_LOST)
    if following.usable_at is None or not may_confirm(evidence, now):
        return Hold(Reason.UNCONFIRMED)
    if now < following.usable_at:
        return Hold(Reason.PROPAGATING, following.usable_at)
    if (needed := still_needed(keyset, policy, now)) is not None:
        return Hold(Reason.OLD_NEEDED, needed.retire_at)
    return None


def still_needed(keyset: Keyset, policy: Policy, now: datetime) -> OldKey | None:
    """
    Return the old key that readers of the flat fields would lose by an activation, while live tokens may need it.
    """
    if not policy.one_old_key:
        return None
    return max((key for key in keyset.old if now < key.retire_at), key=lambda key: key.retire_at, default=None)


def overdue(keyset: Keyset, policy: Policy, now: datetime) -> timedelta:
    """
    Return for how long a rotation has been overdue: since a propagation time after it was due, zero before that.
    """
    due = due_at(keyset, policy)
    return timedelta(0) if due is None else max(timedelta(0), now - due - keyset.timing.propagation_time)
