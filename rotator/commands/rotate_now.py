"""
What the changing commands do, apart from how they are typed and printed: judged by the same rules as the daemon's decisions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rotator.errors import PublicationError, StandbyLostError, StoreConflictError
from rotator.lifecycle.decisions import Activate
from rotator.lifecycle.holds import Evidence, Hold, activation_hold, still_needed
from rotator.model.keyset import Keyset, RotateRequest
from rotator.model.op_id import milliseconds_of
from rotator.model.policy import Policy
from rotator.model.reasons import Reason
from rotator.model.times import message_time
from rotator.reconcile.effects import Effects
from rotator.reconcile.snapshot import Snapshot, load

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


def rotate_now(effects: Effects, name: str, policy: Policy, wish: RotateOptions) -> Outcome:
    """
    Activate `next` now where that is safe, and say what came of it. Losing a race to a parallel caller is success.
    """
    for _ in range(ATTEMPTS):
        view = load(effects.store, name)
        if (done := _already(view.keyset, wish)) is not None:
            return done
        try:
            return _rotate(effects, view, policy, wish)
        except StoreConflictError:
            continue
    raise StoreConflictError(f"{name}: changed {ATTEMPTS} times while it was looked at; try again")


def _already(keyset: Keyset, wish: RotateOptions) -> Outcome | None:
    current = keyset.current
    if current is None:
        return None
    retried = wish.op_id is not None and current.activated_by == wish.op_id
    made = milliseconds_of(current.activated_by)
    # An op_id of ours tells milliseconds; of another's only the whole second of activation is known.
    activated = (
        datetime.fromtimestamp(made / 1000, UTC) if made is not None else current.activated_at + timedelta(seconds=1)
    )
    if retried or activated > wish.started_at:
        return Outcome(keyset.name, Result.ALREADY, current.activated_by, current.kid, "current changed already")
    return None


def _rotate(effects: Effects, view: Snapshot, policy: Policy, wish: RotateOptions) -> Outcome:
    keyset = view.keyset
    following = keyset.next
    hold = hold_of(effects, view, policy)
    if hold is None or (
        wish.unsafe and following is not None and hold.reason not in (Reason.CLOCK, Reason.STANDBY_LOST)
    ):
        return _activate(effects, view, policy, wish, hold)
    if wish.when_ready:
        return _plan(effects, view, policy, wish, hold)
    return Outcome(keyset.name, Result.REFUSED, "", following.kid if following else "", _refusal(hold), hold.until)


def hold_of(effects: Effects, view: Snapshot, policy: Policy) -> Hold | None:
    """
    Return what forbids activating `next` at this moment, with the standby and the clock looked at.
    """
    matches = effects.standby_matches(view.keyset)
    trusted = view.moment.trusted(policy.timing.clock_skew)
    evidence = Evidence(clock_trusted=trusted, standby_doubted=not matches)
    return activation_hold(view.keyset, policy, evidence, view.moment.earliest)


def consequence(view: Snapshot, policy: Policy, hold: Hold) -> str:
    """
    Return what `--unsafe-now` would cost, in words for the prompt.
    """
    if hold.reason is Reason.OLD_NEEDED and (needed := still_needed(view.keyset, policy, view.moment.earliest)):
        return (
            f"readers of the flat fields lose {needed.kid}: tokens signed with it fail until {message_time(needed.retire_at)}, "
            "by when the last has expired"
        )
    until = hold.until or view.moment.latest + view.keyset.timing.longest(policy.timing).propagation_time
    return f"verifiers that have not noticed the new key refuse fresh tokens until {message_time(until)}"


def _activate(effects: Effects, view: Snapshot, policy: Policy, wish: RotateOptions, hold: Hold | None) -> Outcome:
    name, following = view.keyset.name, view.keyset.next
    kid = following.kid if following else ""
    detail = consequence(view, policy, hold) if hold else ""
    if wish.dry_run:
        if hold is None:
            try:
                effects.read_back(view, policy)
            except PublicationError as error:
                return Outcome(name, Result.REFUSED, "", kid, str(error))
        return Outcome(name, Result.WOULD_ROTATE, "", kid, detail)
    op_id = wish.op_id or effects.keygen.op_id()
    reason = Reason.UNSAFE if hold else Reason.COMMAND
    try:
        after = effects.activate(view, policy, Activate(reason, op_id, wish.reason))
    except (PublicationError, StandbyLostError) as error:
        return Outcome(name, Result.REFUSED, "", kid, f"{Reason.UNCONFIRMED.value}: {error}")
    return Outcome(name, Result.ROTATED, after.keyset.op_id, kid, detail)


def _plan(effects: Effects, view: Snapshot, policy: Policy, wish: RotateOptions, hold: Hold) -> Outcome:
    name, kid = view.keyset.name, view.keyset.next.kid if view.keyset.next else ""
    asked = view.keyset.rotate_requested
    detail = f"{hold.reason.value}; the daemon activates it as soon as that is safe"
    if asked:
        return Outcome(name, Result.PLANNED, asked.op_id, kid, f"{detail} (asked for before)", hold.until)
    if wish.dry_run:
        return Outcome(name, Result.WOULD_PLAN, "", kid, detail, hold.until)
    request = RotateRequest(wish.op_id or effects.keygen.op_id(), view.moment.earliest, wish.reason)
    effects.request(view, policy, request)
    return Outcome(name, Result.PLANNED, request.op_id, kid, detail, hold.until)


def _refusal(hold: Hold) -> str:
    when = f"; it becomes safe at {message_time(hold.until)}" if hold.until else ""
    ways = {
        Reason.UNCONFIRMED: "; the daemon confirms the publication, then propagation_time must pass: see `rotator status`",
        Reason.NO_NEXT: "; the daemon generates one: see `rotator status`",
        Reason.CLOCK: "; this machine's clock and the store's differ by more than clock_skew: correct it",
        Reason.STANDBY_LOST: "; the daemon withdraws it and makes another",
    }
    return f"{hold.reason.value}{when}{ways.get(hold.reason, ', or use --when-ready')}"
