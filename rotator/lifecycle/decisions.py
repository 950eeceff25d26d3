"""
What should happen to a keyset now: one decision, from stored times and evidence alone. Pure.

The order of the rules in `decide` is the specification; every rule may be asked again at any time with the same answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rotator.lifecycle.holds import Evidence, activation_hold, demoted_late, due_at, may_confirm, retirable
from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import Reason


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
    if policy.timing.longest(keyset.timing) != keyset.timing or demoted_late(keyset, evidence.committed_at):
        return Extend()
    if evidence.clock_trusted and (kids := retirable(keyset, policy, now)):
        return Retire(kids)
    if keyset.next is None and policy.rotates:
        return Generate()
    if keyset.next and policy.rotates and evidence.standby_lost:
        return Generate(replaces=keyset.next.kid)
    if keyset.next and keyset.next.published_at is None and may_confirm(evidence, now):
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
    if not evidence.missing_from or following.published_at is None:
        return False
    return now - following.published_at > keyset.timing.propagation_time / 4


def _activation(keyset: Keyset, policy: Policy, now: datetime) -> Activate:
    request = keyset.rotate_requested
    if keyset.current is None:
        return Activate(Reason.FIRST)
    if request and now >= request.at:
        return Activate(Reason.REQUESTED, request.op_id, request.reason)
    assert now >= keyset.current.activated_at + policy.rotation_period  # noqa: S101 - nothing else makes it due
    return Activate(Reason.SCHEDULED)


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
