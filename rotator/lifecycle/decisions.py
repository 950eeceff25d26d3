"""
What should happen to a keyset now: one decision, from stored times and evidence alone. Pure.

The order of the rules in `decide` is the specification; every rule may be asked again at any time with the same answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rotator.model.keys import Keyset, Kid, NextKey, OldKey
from rotator.model.policy import Policy


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What the stored document cannot say: what this process saw of the world around it.

    `lacked` is the name of a publisher of ours that did not show `next`; a failed confirmation is not tried again before
    `confirm_after`; `standby_lost` once the standby was seen twice not to match, `standby_doubted` after the first time. `committed_at` is when
    the store committed the version that was read.
    """

    clock_trusted: bool = True
    lacked: str = ""
    confirm_after: datetime | None = None
    standby_doubted: bool = False
    standby_lost: bool = False
    committed_at: datetime | None = None


GOOD = Evidence()


@dataclass(frozen=True, slots=True)
class Generate:
    """
    Make a new `next`; where the keyset does not exist, create it. `replaces` names a `next` that can never sign.
    """

    replaces: Kid | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """
    Save the policy's longer durations, and move recorded deadlines later to match.
    """


@dataclass(frozen=True, slots=True)
class Confirm:
    """
    Read back every place where consumers find `next`, and record the moment.
    """


@dataclass(frozen=True, slots=True)
class Unconfirm:
    """
    Forget the confirmation of `next`: propagation starts anew.
    """


@dataclass(frozen=True, slots=True)
class Activate:
    """
    Make `next` the key that signs; *op_id* names the save where an operator asked for it, *note* is why they did.
    """

    reason: Reason
    op_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Retire:
    """
    Drop the old keys that no live token can need.
    """

    kids: tuple[Kid, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Nothing to do before *until* (None: before something changes). *held* is set when an activation is due and must not be yet.
    """

    until: datetime | None
    held: Reason | None = None


Decision = Generate | Extend | Confirm | Unconfirm | Activate | Retire | Wait


def decide(keyset: Keyset | None, policy: Policy, evidence: Evidence, now: datetime) -> Decision:
    """
    Return the one thing to do now.

    What protects tokens comes before what is merely due, and Retire before Activate.
    """
    if keyset is None:
        return Generate() if evidence.clock_trusted else Wait(None, Reason.CLOCK)
    if keyset.next and _lacked_for_long(keyset, keyset.next, evidence, now):
        return Unconfirm()
    if policy.timing.longest(keyset.timing) != keyset.timing or belated(keyset, evidence.committed_at):
        return Extend()
    if evidence.clock_trusted and (kids := retirable(keyset, policy, now)):
        return Retire(kids)
    if keyset.next is None and policy.rotates:
        return Generate()
    if keyset.next and policy.rotates and evidence.standby_lost:
        return Generate(replaces=keyset.next.kid)
    if keyset.next and keyset.next.published_at is None and _may_confirm(evidence, now):
        return Confirm()
    due = due_at(keyset, policy)
    if due is None or now < due:
        return Wait(_next_deadline(keyset, policy, evidence, now))
    hold = activation_hold(keyset, policy, evidence, now)
    if hold is not None:
        return Wait(_next_deadline(keyset, policy, evidence, now), hold.reason)
    return _activation(keyset, policy, now)


def _lacked_for_long(keyset: Keyset, following: NextKey, evidence: Evidence, now: datetime) -> bool:
    """
    Whether consumers may have missed *following* for so long that its propagation proves nothing.
    """
    if not evidence.lacked or following.published_at is None:
        return False
    return now - following.published_at > keyset.timing.propagation_time / 4


def _may_confirm(evidence: Evidence, now: datetime) -> bool:
    return evidence.confirm_after is None or now >= evidence.confirm_after


def _activation(keyset: Keyset, policy: Policy, now: datetime) -> Activate:
    request = keyset.rotate_requested
    if keyset.current is None:
        return Activate(Reason.FIRST)
    if request and now >= request.at:
        return Activate(Reason.REQUESTED, request.op_id, request.reason)
    assert now >= keyset.current.activated_at + policy.rotation_period  # noqa: S101 - nothing else makes it due
    return Activate(Reason.SCHEDULED)


def belated(keyset: Keyset, committed_at: datetime | None) -> OldKey | None:
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
    if following.usable_at is None or not _may_confirm(evidence, now):
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


def _deadlines(keyset: Keyset, policy: Policy, evidence: Evidence) -> Iterator[datetime]:
    if (due := due_at(keyset, policy)) is not None:
        yield due
    if keyset.next and keyset.next.usable_at:
        yield keyset.next.usable_at
    if evidence.confirm_after:
        yield evidence.confirm_after
    yield from (key.retire_at for key in keyset.old)


def _next_deadline(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> datetime | None:
    return min((at for at in _deadlines(keyset, policy, evidence) if at > now), default=None)
