"""
When a rotation is due, what holds it, and when an old key may leave. Pure.

What `activation_hold` holds, the guard refuses a second time. P is the propagation time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.model.keys import Kid, OldKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import HoldReason


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What the stored document cannot say: what this process saw of the world around it.

    `converged`: this process has compared publishers and standby with this document. `missing_from`: the name of a
    publisher of ours that serves the keyset without its `next`. `confirm_after`: the end of the back-off after a failed
    confirmation. `standby_doubted`: the last reading of the standby did not match `next`; `standby_lost`: two readings
    at least P/8 apart did not. `committed_at`: when the store committed the version that was read. `waiting` and
    `over`: keys whose deadline, after a step of the clock, counts by the clock that dated it (`clock_steps.py`): those
    that it did not reach yet, and the old ones that it did, whatever the clock shows now. `heartbeat_share`: after which
    part of P/4 this process beats, so that two do not at the same moment; None if it does not beat.
    """

    clock_trusted: bool = True
    converged: bool = True
    missing_from: str = ""
    confirm_after: datetime | None = None
    standby_doubted: bool = False
    standby_lost: bool = False
    committed_at: datetime | None = None
    waiting: frozenset[Kid] = frozenset()
    over: frozenset[Kid] = frozenset()
    heartbeat_share: float | None = None


GOOD = Evidence()


@dataclass(frozen=True, slots=True)
class Hold:
    """
    Why `next` must not sign yet, and from when it may (None if no moment is known).
    """

    reason: HoldReason
    until: datetime | None = None


def activation_hold(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> Hold | None:
    """
    Return what forbids activating `next` now, whether the schedule or an operator asks; None if it is safe.
    """
    next_key = keyset.next
    if not evidence.clock_trusted:
        return Hold(HoldReason.CLOCK)
    if next_key is None:
        return Hold(HoldReason.NO_NEXT)
    if evidence.standby_doubted or evidence.standby_lost:
        return Hold(HoldReason.STANDBY_LOST)
    if next_key.usable_at is None or not may_confirm(evidence, now):
        return Hold(HoldReason.UNCONFIRMED)
    if now < next_key.usable_at:
        return Hold(HoldReason.PROPAGATING, next_key.usable_at)
    if next_key.kid in evidence.waiting:
        return Hold(HoldReason.PROPAGATING)
    if (needed := still_needed(keyset, policy, evidence, now)) is not None:
        return Hold(HoldReason.OLD_NEEDED, needed.retire_at if now < needed.retire_at else None)
    return None


def may_confirm(evidence: Evidence, now: datetime) -> bool:
    """
    Return whether the back-off after a failed confirmation is over.
    """
    return evidence.confirm_after is None or now >= evidence.confirm_after


def still_needed(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> OldKey | None:
    """
    Return the old key that live tokens may need and that readers of the flat fields would lose by an activation.
    """
    if not policy.one_old_key:
        return None
    needed = (key for key in keyset.old if _needed(key, evidence, now))
    return max(needed, key=lambda key: key.retire_at, default=None)


def due_at(keyset: Keyset, policy: Policy, now: datetime) -> datetime | None:
    """
    Return when the next activation is due, None if none is planned.

    A first key is due as soon as it may sign, and so is the successor of a key that has signed since a future moment.
    """
    if not policy.rotates:
        return None
    ready = (keyset.next.usable_at or keyset.next.created_at) if keyset.next else None
    if keyset.current is None:
        return ready
    if misdated(keyset.current.activated_at, keyset, now):
        return min(ready or now, now)
    scheduled = keyset.current.activated_at + policy.rotation_period
    request = keyset.rotate_requested
    return min(scheduled, request.at) if request else scheduled


def misdated(at: datetime | None, keyset: Keyset, now: datetime) -> bool:
    """
    Return whether *at* lies so far in the future that a clock which was wrong wrote it.

    Such a date says nothing: a `next` that bears one is replaced, and a current key that does is due.
    """
    return at is not None and at > now + keyset.timing.clock_skew + keyset.timing.propagation_time


def overdue(keyset: Keyset, policy: Policy, now: datetime) -> timedelta:
    """
    Return how long ago a rotation became overdue: one propagation time after it was due. Zero if it is not.

    One that an operator asked for with `--when-ready` is due once it is safe, as its hold says.
    """
    request = keyset.rotate_requested
    dues = [due_at(replace(keyset, rotate_requested=None), policy, now)]
    if policy.rotates and keyset.current and request:
        dues.append(max([request.at, *_safe_from(keyset, policy)]))
    late = (now - due - keyset.timing.propagation_time for due in dues if due is not None)
    return max([timedelta(0), *late])


def _safe_from(keyset: Keyset, policy: Policy) -> Iterator[datetime]:
    if keyset.next and keyset.next.usable_at:
        yield keyset.next.usable_at
    if policy.one_old_key:
        yield from (key.retire_at for key in keyset.old)


def retirable(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> tuple[Kid, ...]:
    """
    Return the old keys whose retention is over; none under a legal hold.
    """
    if policy.retain:
        return ()
    return tuple(key.kid for key in keyset.old if not _needed(key, evidence, now))


def _needed(key: OldKey, evidence: Evidence, now: datetime) -> bool:
    """
    Whether a live token may have been signed with *key*.
    """
    return key.kid not in evidence.over and (now < key.retire_at or key.kid in evidence.waiting)


def demoted_late(keyset: Keyset, committed_at: datetime | None) -> OldKey | None:
    """
    Return the key that this very save made old more than P/4 later than the document says.

    A process may be paused between its reading of the clock and the commit, and the store may commit late; until then
    signers use the key. They poll within P/2, so less than P/4 of delay is covered by the propagation time.
    """
    current, timing = keyset.current, keyset.timing
    if committed_at is None or current is None or keyset.op_id != current.activated_by:
        return None
    if keyset.seen_at not in (None, current.activated_at):
        return None  # a heartbeat saved it again since, and *committed_at* is that save's
    for key in keyset.old:
        base = key.retire_at - timing.retention_of(key.longest_token)
        if key.deactivated_at == current.activated_at and committed_at - base > timing.propagation_time / 4:
            return key
    return None
