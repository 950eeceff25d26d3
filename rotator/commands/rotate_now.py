"""
Activating `next` on request, by the same rules as the daemon's decisions.

Refused is what `activation_hold` (`lifecycle/holds.py`) holds, and a publication that cannot be confirmed.
`--unsafe-now` overrides neither a wrong clock nor a lost standby.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rotator.errors import PublicationError, StandbyLostError, StoreConflictError
from rotator.lifecycle.decisions import Activate
from rotator.lifecycle.holds import GOOD, Evidence, Hold, activation_hold, still_needed
from rotator.model.keyset import Keyset
from rotator.model.op_id import milliseconds_of
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason, HoldReason
from rotator.model.times import message_time
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.standby import standby_matches

ATTEMPTS = 8


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
    for _ in range(ATTEMPTS):
        snapshot = operator.loader.load(name, policy)
        if (done := _already(snapshot.keyset, options)) is not None:
            return done
        try:
            return _rotate(operator, snapshot, options)
        except StoreConflictError:
            continue
    raise StoreConflictError(f"{name}: changed {ATTEMPTS} times while it was looked at; try again")


def _already(keyset: Keyset, options: RotateOptions) -> Outcome | None:
    current = keyset.current
    if current is None:
        return None
    retried = options.op_id is not None and current.activated_by == options.op_id
    made = milliseconds_of(current.activated_by)
    # An op_id of ours tells milliseconds; of another's only the whole second of activation is known.
    activated = (
        datetime.fromtimestamp(made / 1000, UTC) if made is not None else current.activated_at + timedelta(seconds=1)
    )
    if retried or activated > options.started_at:
        return Outcome(keyset.name, Result.ALREADY, current.activated_by, current.kid, "current changed already")
    return None


def _rotate(operator: Operator, snapshot: Snapshot, options: RotateOptions) -> Outcome:
    next_key, hold = snapshot.keyset.next, hold_of(operator, snapshot)
    forced = options.unsafe and next_key and hold and hold.reason not in (HoldReason.CLOCK, HoldReason.STANDBY_LOST)
    if hold is None or forced:
        return _activate(operator, snapshot, options, hold)
    if options.when_ready:
        return _plan(operator, snapshot, options, hold)
    return Outcome(snapshot.name, Result.REFUSED, "", next_key.kid if next_key else "", _refusal(hold), hold.until)


def hold_of(operator: Operator, snapshot: Snapshot) -> Hold | None:
    """
    Return what forbids activating `next` at this moment. Reads the standby and compares the clocks.
    """
    matches = standby_matches(operator.store, snapshot.keyset)
    trusted = snapshot.clock.trusted(snapshot.policy.timing.clock_skew)
    evidence = Evidence(clock_trusted=trusted, standby_doubted=not matches)
    return activation_hold(snapshot.keyset, snapshot.policy, evidence, snapshot.now)


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
        HoldReason.CLOCK: "; this machine's clock and the store's differ by more than clock_skew: correct it",
        HoldReason.STANDBY_LOST: "; the daemon withdraws it and makes another",
    }
    return f"{hold.reason.value}{when}{ways.get(hold.reason, ', or use --when-ready')}"
