"""
What `rotator restore` and `rotator thaw` have in common: what is left, what would be done, and what was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rotator.errors import DocumentError
from rotator.lifecycle.changes import Resaved
from rotator.model.document import Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.times import message_time
from rotator.reconcile.candidates import Candidate
from rotator.reconcile.loading import Loader
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.remains import Remains, remains_of
from rotator.reconcile.snapshot import Snapshot, in_force

ATTEMPTS = 4


class Step(StrEnum):
    """
    What a command does, or did, to a keyset.
    """

    UNDELETE = "undelete"
    RESTORE = "restore"
    ACCEPT = "accept"
    CREATE = "create again"
    NOTHING = "nothing to do"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a command would do, for a person to agree to: *version* of the signing document is brought back or accepted.

    `asked` is the version that was asked for, None if that was left to us.
    """

    keyset: str
    step: Step
    version: int
    remains: Remains
    lines: tuple[str, ...]
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """
    What a command did. Of a keyset that the daemon is to create again nothing is known yet.
    """

    keyset: str
    step: Step
    version: int
    sequence: int
    epoch: str
    op_id: str
    current: str
    lines: tuple[str, ...] = ()
    purged: bool = True


@dataclass(frozen=True, slots=True)
class RecoverOptions:
    """
    What the operator said, as a daemon's alarm tells it.

    *above* is the highest sequence that the daemon saw, and *revoked* are the kids that it remembers as revoked.
    """

    reason: str = ""
    op_id: str | None = None
    above: int = 0
    revoked: tuple[str, ...] = ()


NOTHING_SAID = RecoverOptions()


def look(operator: Operator, name: str, options: RecoverOptions = NOTHING_SAID) -> Remains:
    """
    Return what is left of a keyset. Without a standby no seal can be checked, and a document is judged by its shape.
    """
    operator.loader.seals.read(name)  # another process may have renewed it since this one looked last
    announced = operator.publishing.position(name)

    def left(loader: Loader | None) -> Remains:
        return remains_of(
            operator.store, name, loader, announced=announced, above=options.above, revoked=options.revoked
        )

    found = left(operator.loader)
    if found.standby is not None and found.standby.sealing.key is not None:
        return found
    return left(None)


def already_done(remains: Remains, op_id: str | None) -> Done | None:
    """
    Return what an earlier call with the same op_id did, None if there was none.
    """
    latest = remains.latest
    if op_id is None or latest is None or latest.keyset is None or latest.keyset.op_id != op_id:
        return None
    return done_with(latest.keyset, Step.NOTHING, latest.version, ("this op_id is the document's already",))


def done_with(keyset: Keyset, step: Step, version: int, lines: tuple[str, ...] = (), *, purged: bool = True) -> Done:
    """
    Return what was done, with the keyset as it is saved now.
    """
    current = keyset.current.kid if keyset.current else ""
    return Done(keyset.name, step, version, keyset.sequence, keyset.epoch, keyset.op_id, current, lines, purged=purged)


def resave(operator: Operator, plan: Plan, chosen: Candidate, policy: Policy, options: RecoverOptions) -> Done:
    """
    Save *chosen* again, above every sequence seen, without what was revoked or retired since.
    """
    remains, keyset = plan.remains, chosen.keyset
    if keyset is None:
        raise DocumentError(f"{plan.keyset}: {chosen.trouble}")
    rules, clock = in_force(policy, keyset), remains.clock
    # A clock that cannot be trusted retires nothing here; the daemon does, once it agrees.
    trusted = clock.trusted(rules.timing.clock_skew)
    retired = tuple(key.kid for key in keyset.old if trusted and not rules.retain and key.retire_at <= clock.earliest)
    before = Snapshot(keyset, rules, remains.version, clock, chosen.at or clock.latest, loaded=True)
    change = Resaved(remains.sequence, remains.revoked, retired)
    if remains.public is None:
        operator.store.remove(Tree.JWKS, plan.keyset)  # what is not ours there would not be written over
    done = operator.effects.resave(before, change, options.op_id, options.reason or plan.step.value)
    lines = tuple(_effects_on_services(plan, keyset, done.snapshot.keyset))
    return done_with(done.snapshot.keyset, plan.step, chosen.version, lines, purged=done.purged is not False)


def _effects_on_services(plan: Plan, before: Keyset, keyset: Keyset) -> Iterator[str]:
    dropped = [key.kid for key in before.keys() if not keyset.find(key.kid)]
    if dropped:
        yield f"revoked or retired since, so not brought back: {', '.join(dropped)}"
    known = plan.remains.epoch
    if known and keyset.epoch != known:
        yield f"its epoch is {keyset.epoch}; services that read epoch {known} before must be restarted to accept it"
    until = max((key.retire_at for key in keyset.old), default=None)
    if until:
        yield f"its old keys verify until {message_time(until)}"
