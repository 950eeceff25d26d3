"""
What should happen to a keyset now: one decision, from stored times and evidence alone. Pure.

The rules, in the order in which `decide` asks them. The first that applies is the decision; asked again on the same
facts, each gives the same answer.

1. A keyset that does not exist is created (`Generate`), if the clock is trusted.
2. If a publisher of ours serves the keyset without a `next` that was confirmed more than P/4 ago, its confirmation is
   forgotten (`Unconfirm`): consumers may have missed it, so propagation starts again.
3. Once a pass, publishers are made to show what is stored (`Converge`). One that fails holds back only what needs a
   confirmation.
4. Longer durations of the policy come into force at once, an `old` key that was demoted late gets a later deadline, and
   a heartbeat is begun, or ended once none beats any more (`Extend`).
5. Old keys whose retention is over leave (`Retire`), if the clock is trusted. Retire comes before Activate.
6. If there is no `next`, its private key is lost, or its dates are those of a clock that was wrong, a new one is made
   (`Generate`), if the clock is trusted.
7. A `next` that was not confirmed yet is confirmed (`Confirm`), if the clock is trusted and the last attempt did not
   fail just now.
8. If an activation is due, `next` becomes `current` (`Activate`), unless something holds it: see `holds`.
9. If the document was saved so long ago that signers would soon doubt it, it is saved as it is (`Heartbeat`), whether
   the clock is trusted or not: nothing is dated by it, and no signer is to stop for a clock that is wrong here.
10. Otherwise there is nothing to do until the next deadline (`Wait`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rotator.lifecycle.heartbeat import beats_at, must_switch
from rotator.lifecycle.holds import Evidence, activation_hold, demoted_late, due_at, may_confirm, misdated, retirable
from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason, HoldReason


@dataclass(frozen=True, slots=True)
class Generate:
    """
    Make a new `next`, and the keyset itself if it does not exist. `replaces` names a `next` that can never sign.
    """

    replaces: Kid | None = None


@dataclass(frozen=True, slots=True)
class Converge:
    """
    Make publishers show what is stored.
    """


@dataclass(frozen=True, slots=True)
class Extend:
    """
    Save the policy's longer durations, and move recorded deadlines later to match.
    """


@dataclass(frozen=True, slots=True)
class Confirm:
    """
    Read `next` back from every place where consumers find it, and record the moment.
    """


@dataclass(frozen=True, slots=True)
class Unconfirm:
    """
    Forget the confirmation of `next`: its propagation starts again.
    """


@dataclass(frozen=True, slots=True)
class Activate:
    """
    Make `next` the key that signs.

    If an operator asked for it, *op_id* names the save and *note* says why they asked.
    """

    reason: ActivationReason
    op_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Retire:
    """
    Drop the old keys that no live token can need. *over* names those that the clock, set back, would still keep.
    """

    kids: tuple[Kid, ...]
    over: frozenset[Kid] = frozenset()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """
    Save the keyset as it is, so that signers see that what they read is not the past. *at* is the moment it will bear.
    """

    at: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Do nothing before *until* (None: before something changes).

    *held* says why an activation that is due must wait, and *held_until* for how long, if that is known.
    """

    until: datetime | None
    held: HoldReason | None = None
    held_until: datetime | None = None


Step = Generate | Converge | Extend | Confirm | Unconfirm | Activate | Retire | Heartbeat
Decision = Step | Wait


def decide(keyset: Keyset | None, policy: Policy, evidence: Evidence, now: datetime) -> Decision:
    """
    Return the one thing to do now, by the rules at the head of this module.
    """
    if keyset is None:
        return Generate() if evidence.clock_trusted else Wait(None, HoldReason.CLOCK)
    if keyset.next and _missed_for_long(keyset, keyset.next, evidence, now):
        return Unconfirm()
    if not evidence.converged:
        return Converge()
    if (
        policy.timing.longest(keyset.timing) != keyset.timing
        or demoted_late(keyset, evidence.committed_at)
        or must_switch(keyset, policy, now)
    ):
        return Extend()
    if evidence.clock_trusted and (step := _dated_step(keyset, policy, evidence, now)) is not None:
        return step
    due, hold = due_at(keyset, policy, now), None
    if due is not None and now >= due:
        hold = activation_hold(keyset, policy, evidence, now)
        if hold is None:
            return _activation(keyset, now)
    beats = beats_at(keyset, policy, evidence, now)
    if beats is not None and now >= beats:
        return Heartbeat(now)
    held = (hold.reason, hold.until) if hold else (None, None)
    return Wait(_next_deadline(keyset, policy, evidence, now), *held)


def _dated_step(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> Step | None:
    """
    Return what comes before an activation and needs a clock that is trusted, since it is dated (rules 5 to 7).
    """
    next_key = keyset.next
    if kids := retirable(keyset, policy, evidence, now):
        return Retire(kids, evidence.over.intersection(kids))
    if next_key is None:
        return Generate() if policy.rotates else None
    wrong = misdated(next_key.created_at, keyset, now) or misdated(next_key.published_at, keyset, now)
    if policy.rotates and (evidence.standby_lost or wrong):
        return Generate(replaces=next_key.kid)
    return Confirm() if next_key.published_at is None and may_confirm(evidence, now) else None


def _missed_for_long(keyset: Keyset, next_key: NextKey, evidence: Evidence, now: datetime) -> bool:
    """
    Whether consumers may have missed *next_key* for so long that its propagation proves nothing.
    """
    if not evidence.missing_from or next_key.published_at is None:
        return False
    return now - next_key.published_at > keyset.timing.propagation_time / 4


def _activation(keyset: Keyset, now: datetime) -> Activate:
    request = keyset.rotate_requested
    if keyset.current is None:
        return Activate(ActivationReason.FIRST)
    if request and now >= request.at:
        return Activate(ActivationReason.REQUESTED, request.op_id, request.reason)
    return Activate(ActivationReason.SCHEDULED)


def _deadlines(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> Iterator[datetime]:
    if (due := due_at(keyset, policy, now)) is not None:
        yield due
    if keyset.next and keyset.next.usable_at:
        yield keyset.next.usable_at
    if evidence.confirm_after:
        yield evidence.confirm_after
    if (beats := beats_at(keyset, policy, evidence, now)) is not None:
        yield beats
    yield from (key.retire_at for key in keyset.old)


def _next_deadline(keyset: Keyset, policy: Policy, evidence: Evidence, now: datetime) -> datetime | None:
    return min((at for at in _deadlines(keyset, policy, evidence, now) if at > now), default=None)
