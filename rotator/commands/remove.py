"""
Dropping a keyset for good, apart from how it is typed.

The order is such that a crash at any point leaves what the same command, typed again, goes on from: the gravestone in the
standby first, then the signing document, then the public one, then older versions of the standby, then Redis. Daemons
that serve the keyset find no signing document and the gravestone, and forget it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rotator.commands.recovery import ATTEMPTS, look
from rotator.errors import StoreConflictError
from rotator.model.document import Tree
from rotator.model.event import Event, EventType
from rotator.model.keyset import Keyset
from rotator.model.removal import Removal
from rotator.model.times import message_time
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.remains import Remains


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """
    What removing a keyset would do. `safe_at` is when no live token can need its keys, None if that is now.

    `removal` is what an earlier call noted, None if the keyset was used since. `gone`: its keys are given up already.
    """

    keyset: str
    remains: Remains
    removal: Removal | None
    safe_at: datetime | None
    lines: tuple[str, ...]

    @property
    def gone(self) -> bool:
        """
        Whether nothing but the gravestone is left.
        """
        done = self.removal is not None and self.removal.done
        return done and not (self.remains.version or self.remains.damaged or self.remains.public_version)


def plan_removal(operator: Operator, name: str) -> RemovalPlan:
    """
    Return what is left of a keyset, and until when live tokens may need it. Changes nothing.
    """
    remains = look(operator, name)
    keyset = remains.latest.keyset if remains.latest else None
    removal = _noted(remains.standby.removal if remains.standby else None, keyset)
    began = removal.at if removal else remains.clock.latest
    needed = None if keyset is None or (removal and removal.done) else _needed_until(keyset, began)
    safe_at = needed if needed and needed > remains.clock.earliest else None
    return RemovalPlan(name, remains, removal, safe_at, tuple(_lines(remains, keyset)))


def note_removal(operator: Operator, plan: RemovalPlan, op_id: str | None, reason: str) -> Removal:
    """
    Note that the keyset is to be removed, so that the last live token can be reckoned from now on; return the note.
    """
    if plan.removal is not None:
        return plan.removal
    return operator.effects.note_removal(plan.keyset, plan.remains.clock, op_id, reason, done=False)


def remove(operator: Operator, plan: RemovalPlan, op_id: str | None, reason: str, *, trace: bool = True) -> Removal:
    """
    Remove the keyset with every version of every document; return the gravestone.

    Without a *trace* the gravestone goes, too: then a daemon that was not told keeps the keyset, and is frozen.
    """
    name, store = plan.keyset, operator.store
    removal = plan.removal if plan.removal and plan.removal.done else None
    for _ in range(ATTEMPTS):
        if removal is not None:
            break
        try:
            removal = operator.effects.note_removal(name, plan.remains.clock, op_id, reason, done=True)
        except StoreConflictError:
            continue
    if removal is None:
        raise StoreConflictError(f"{name}: its standby changed {ATTEMPTS} times while it was looked at; try again")
    store.remove(Tree.KEYS, name)
    store.remove(Tree.JWKS, name)
    if trace:
        latest = store.load(Tree.STANDBY, name).version
        store.destroy(Tree.STANDBY, name, [v for v in store.versions(Tree.STANDBY, name) if v < latest])
    else:
        store.remove(Tree.STANDBY, name)
    operator.publishing.forget(_event(plan, removal))
    return removal


def _noted(removal: Removal | None, keyset: Keyset | None) -> Removal | None:
    """
    Return what an earlier call noted, None if that is void: a key was made or activated since, so the keyset was used again.
    """
    if removal is None or removal.done or keyset is None:
        return removal
    current = keyset.current
    since = [key.created_at for key in keyset.keys()] + ([current.activated_at] if current else [])
    return None if any(moment > removal.at for moment in since) else removal


def _needed_until(keyset: Keyset, began: datetime) -> datetime:
    """
    Return until when tokens of *keyset* may live if nothing signs with it from *began* on.
    """
    ends = [key.retire_at for key in keyset.old]
    if keyset.current:
        longest = max(keyset.current.longest_token, keyset.timing.max_token_lifetime)
        ends.append(began + keyset.timing.retention_of(longest))
    return max(ends, default=began)


def _lines(remains: Remains, keyset: Keyset | None) -> Iterator[str]:
    if remains.version or remains.damaged:
        yield f"keys/{remains.name}, jwks/{remains.name} and the keys in standby/{remains.name} go, with every version"
    else:
        yield f"the store has no signing document of {remains.name}"
        if not remains.public_version and remains.standby is None:
            yield "nor anything else: check the name, unless a daemon's alarm named it"
    if keyset is not None:
        yield "its keys: " + ", ".join(f"{key.kid} ({key.state.value})" for key in keyset.keys())
    yield "daemons that serve it drop it; a keyset created later under this name is another one"


def _event(plan: RemovalPlan, removal: Removal) -> Event:
    """
    Return the hint that makes daemons look: one sequence above what they know.
    """
    remains = plan.remains
    return Event(
        EventType.CHANGED,
        f"{removal.op_id}/{EventType.CHANGED.value}",
        plan.keyset,
        remains.epoch,
        remains.sequence + 1,
        remains.clock.earliest,
        reason=f"removed: {removal.reason}" if removal.reason else "removed",
    )


def removal_refused(plan: RemovalPlan, safe_at: datetime) -> str:
    """
    Return why a keyset cannot be removed yet, and when it can.
    """
    name = plan.keyset
    return (
        f"{name}: live tokens may need its keys until {message_time(safe_at)}, if no service signs with them from now on; "
        f"stop those that do, and run `rotator remove {name}` then (--unsafe-now accepts that those tokens fail)"
    )
