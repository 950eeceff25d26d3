"""
Activating `next` on request, by the same rules as the daemon's decisions.

Refused is what `activation_hold` (`lifecycle/holds.py`) holds, and a publication that cannot be confirmed.
`--unsafe-now` overrides neither a wrong clock nor a lost standby. Nothing is judged by a clock that is not trusted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rotator.commands.diagnosis import believed
from rotator.errors import PublicationError, StandbyLostError, StoreConflictError
from rotator.lifecycle.decisions import Activate
from rotator.lifecycle.holds import GOOD, Evidence, Hold, activation_hold, still_needed
from rotator.model.keys import CurrentKey
from rotator.model.op_id import milliseconds_of
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason, HoldReason
from rotator.model.times import message_time
from rotator.reconcile.clock_trust import ClockView
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import standby_matches

ATTEMPTS = 8
# An op_id is made this long at most after the reading that dates the activation, or by a clock that is wrong.
MAX_OP_ID_AGE = timedelta(seconds=2)


class Result(StrEnum):
    """
    What became of a request to rotate.
    """

    ROTATED = "rotated"
    ALREADY = "already rotated"
    PLANNED = "planned"
    REFUSED = "refused"
    WOULD_ROTATE = "would rotate"
    WOULD_PLAN = "would plan"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The answer to `rotate-now` for one keyset; `op_id` is that of the activating save, done or planned.
    """

    keyset: str
    result: Result
    op_id: str
    kid: str
    detail: str
    safe_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RotateOptions:
    """
    What the operator asked for. `started_at` tells parallel callers of one moment from later ones.
    """

    started_at: datetime
    op_id: str | None = None
    reason: str = ""
    when_ready: bool = False
    unsafe: bool = False
    dry_run: bool = False


def rotate_now(operator: Operator, name: str, policy: Policy, options: RotateOptions) -> Outcome:
    """
    Activate `next` now if that is safe, and say what came of it. Losing a race to a parallel caller is success.
    """
    first: Snapshot | None = None
    for _ in range(ATTEMPTS):
        snapshot = believed(operator.store, operator.loader, name, policy)
        first = first or snapshot
        current = snapshot.keyset.current
        if current and options.op_id is not None and current.activated_by == options.op_id:
            return _already(snapshot, current)
        if fault := clock_of(operator, snapshot).fault:
            kid = snapshot.keyset.next.kid if snapshot.keyset.next else ""
            return Outcome(name, Result.REFUSED, "", kid, f"{HoldReason.CLOCK.value}: {fault}")
        if current and _changed_since(first, current, options.started_at):
            return _already(snapshot, current)
        try:
            return _rotate(operator, snapshot, options)
        except StoreConflictError:
            continue
    raise StoreConflictError(f"{name}: changed {ATTEMPTS} times while it was looked at; try again")


def _already(snapshot: Snapshot, current: CurrentKey) -> Outcome:
    return Outcome(snapshot.name, Result.ALREADY, current.activated_by, current.kid, "current changed already")


def _changed_since(first: Snapshot, current: CurrentKey, started_at: datetime) -> bool:
    """
    Return whether *current* began to sign after this command did.

    That is certain if the *first* reading of this command showed another key. Before that reading, while the command
    was starting, only the op_id of the activation tells; it does if the clocks of its maker, of the store and of this
    machine agree.
    """
    if first.keyset.current is None or first.keyset.current.kid != current.kid:
        return True
    activated = current.activated_at
    made = milliseconds_of(current.activated_by)
    # An op_id of ours tells milliseconds; of another's only the whole second of activation is known.
    at = activated + timedelta(seconds=1) if made is None else datetime.fromtimestamp(made / 1000, UTC)
    agree = abs(first.clock.offset) <= first.clock.tolerance and activated <= first.clock.latest
    return agree and activated <= at <= activated + MAX_OP_ID_AGE and at > started_at


def _rotate(operator: Operator, snapshot: Snapshot, options: RotateOptions) -> Outcome:
    next_key, hold = snapshot.keyset.next, hold_of(operator, snapshot)
    forced = options.unsafe and next_key and hold and hold.reason not in (HoldReason.CLOCK, HoldReason.STANDBY_LOST)
    if hold is None or forced:
        return _activate(operator, snapshot, options, hold)
    if options.when_ready:
        return _plan(operator, snapshot, options, hold)
    return Outcome(snapshot.name, Result.REFUSED, "", next_key.kid if next_key else "", _refusal(hold), hold.until)


def clock_of(operator: Operator, snapshot: Snapshot) -> ClockView:
    """
    Return what to think of the store's clock, with what the daemon of this host knows of it.
    """
    return operator.clock_trust.judge(None, snapshot.name, snapshot.policy, snapshot.clock, snapshot)


def hold_of(operator: Operator, snapshot: Snapshot) -> Hold | None:
    """
    Return what forbids activating `next` at this moment. Reads the standby and compares the clocks.
    """
    matches = standby_matches(operator.store, snapshot.keyset)
    view, keyset = clock_of(operator, snapshot), snapshot.keyset
    waiting = view.state.waiting(keyset, snapshot.clock.read_at)
    over = view.state.over(keyset, snapshot.clock.read_at)
    evidence = Evidence(clock_trusted=not view.fault, standby_doubted=not matches, waiting=waiting, over=over)
    return activation_hold(keyset, snapshot.policy, evidence, snapshot.now)


def consequence(snapshot: Snapshot, hold: Hold) -> str:
    """
    Return what `--unsafe-now` would cost, in words for the prompt.
    """
    keyset, policy = snapshot.keyset, snapshot.policy
    if hold.reason is HoldReason.OLD_NEEDED and (needed := still_needed(keyset, policy, GOOD, snapshot.now)):
        return (
            f"readers of the flat fields lose {needed.kid}: tokens signed with it fail until "
            f"{message_time(needed.retire_at)}, by when the last has expired"
        )
    until = hold.until or snapshot.clock.latest + keyset.timing.longest(policy.timing).propagation_time
    return f"verifiers that have not noticed the new key refuse fresh tokens until {message_time(until)}"


def _activate(operator: Operator, snapshot: Snapshot, options: RotateOptions, hold: Hold | None) -> Outcome:
    name, kid = snapshot.name, snapshot.keyset.next.kid if snapshot.keyset.next else ""
    detail = consequence(snapshot, hold) if hold else ""
    if options.dry_run:
        if hold is None:
            try:
                operator.publishing.read_back(snapshot)
            except PublicationError as error:
                return Outcome(name, Result.REFUSED, "", kid, str(error))
        return Outcome(name, Result.WOULD_ROTATE, "", kid, detail)
    reason = ActivationReason.UNSAFE if hold else ActivationReason.COMMAND
    try:
        done = operator.effects.activate(snapshot, Activate(reason, options.op_id, options.reason))
    except (PublicationError, StandbyLostError) as error:
        return Outcome(name, Result.REFUSED, "", kid, f"{HoldReason.UNCONFIRMED.value}: {error}")
    return Outcome(name, Result.ROTATED, done.snapshot.keyset.op_id, kid, detail)


def _plan(operator: Operator, snapshot: Snapshot, options: RotateOptions, hold: Hold) -> Outcome:
    name, kid = snapshot.name, snapshot.keyset.next.kid if snapshot.keyset.next else ""
    asked = snapshot.keyset.rotate_requested
    detail = f"{hold.reason.value}; the daemon activates it as soon as that is safe"
    if asked:
        return Outcome(name, Result.PLANNED, asked.op_id, kid, f"{detail} (asked for before)", hold.until)
    if options.dry_run:
        return Outcome(name, Result.WOULD_PLAN, "", kid, detail, hold.until)
    request = operator.effects.request(snapshot, options.op_id, options.reason)
    return Outcome(name, Result.PLANNED, request.op_id, kid, detail, hold.until)


def _refusal(hold: Hold) -> str:
    when = f"; it becomes safe at {message_time(hold.until)}" if hold.until else ""
    ways = {
        HoldReason.UNCONFIRMED: "; the daemon confirms the publication, then propagation_time must pass: "
        "see `rotator status`",
        HoldReason.NO_NEXT: "; the daemon generates one: see `rotator status`",
        HoldReason.STANDBY_LOST: "; the daemon withdraws it and makes another",
    }
    return f"{hold.reason.value}{when}{ways.get(hold.reason, ', or use --when-ready')}"
