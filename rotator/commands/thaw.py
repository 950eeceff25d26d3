"""
Accepting what the store holds of a keyset, nothing included, apart from how it is typed.
"""

from collections.abc import Iterator
from dataclasses import replace

from rotator.commands.recovery import ATTEMPTS, Done, Plan, RecoverOptions, Step, already_done, look, resave
from rotator.commands.restore import undeleted_standby
from rotator.documents.header import SCHEMA
from rotator.documents.seal import differences
from rotator.errors import RefusedError, StoreConflictError
from rotator.model.document import Fields, Tree
from rotator.model.policy import Policy
from rotator.model.times import message_time
from rotator.reconcile.candidates import Candidate
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.remains import Remains

MAX_NAMES = 12


def plan_thaw(operator: Operator, name: str, policy: Policy, options: RecoverOptions, *, anew: bool = False) -> Plan:
    """
    Return what accepting the keyset as it is would do; *anew*: give up its keys whatever is there. Changes nothing.

    Raises RefusedError if that cannot be, with the next best way.
    """
    remains = _with_its_deny_list(look(operator, name, options))
    if already_done(remains, options.op_id):
        return Plan(name, Step.NOTHING, remains.version, remains, ())
    latest = remains.latest
    if not anew and latest is not None and latest.keyset is not None:
        _refuse_revoked(remains, latest)
        return Plan(name, Step.ACCEPT, remains.version, remains, tuple(_accepted(remains, latest)))
    if anew and options.revoked and latest is not None and not (latest.trouble or remains.signs_revoked(latest)):
        raise RefusedError(f"{name}: no revoked key signs there, so its keys are not given up; look at the alarm again")
    if remains.fields is not None and _newer_schema(remains.fields):
        raise RefusedError(f"{name}: its document has a newer schema than this rotator knows; upgrade rotator")
    if not policy.rotates:
        raise RefusedError(
            f"{name}: is not in the configuration, so no daemon would create it; run `rotator remove {name}`"
        )
    return Plan(name, Step.CREATE, remains.version, remains, tuple(_given_up(remains)))


def thaw(operator: Operator, plan: Plan, policy: Policy, options: RecoverOptions) -> Done:
    """
    Do what *plan* says. Raises StoreConflictError if the document changed since: what a person accepts was shown first.
    """
    name = plan.keyset
    if done := already_done(plan.remains, options.op_id):
        return done
    for _ in range(ATTEMPTS):
        remains = _with_its_deny_list(look(operator, name, options))
        if (remains.version, remains.fields, remains.damaged) != _shown(plan):
            raise StoreConflictError(f"{name}: its document changed since it was shown; look again")
        if plan.step is Step.CREATE:
            return _give_up(operator, plan, policy)
        if undeleted_standby(operator, remains):
            continue
        latest = remains.latest
        if latest is None:
            break
        return resave(operator, Plan(name, plan.step, plan.version, remains, plan.lines), latest, policy, options)
    raise StoreConflictError(f"{name}: changed while it was looked at; try again")


def _with_its_deny_list(remains: Remains) -> Remains:
    """
    Return *remains* with the deny-list of the latest version: who accepts that accepts what it denies, too.
    """
    own = remains.latest.keyset.revoked if remains.latest and remains.latest.keyset else ()
    known = {revocation.kid for revocation in remains.revoked}
    return replace(remains, revoked=(*remains.revoked, *(r for r in own if r.kid not in known)))


def _shown(plan: Plan) -> tuple[int, Fields | None, bool]:
    return plan.remains.version, plan.remains.fields, plan.remains.damaged


def _give_up(operator: Operator, plan: Plan, policy: Policy) -> Done:
    """
    Give the keys up: the standby says so first, so that after a crash the same command goes on from there.
    """
    operator.effects.give_up(plan.keyset, policy)
    if plan.remains.version or plan.remains.damaged:
        operator.store.remove(Tree.KEYS, plan.keyset)
    if plan.remains.public_version or plan.remains.public is not None:
        operator.store.remove(Tree.JWKS, plan.keyset)
    lines = ("the daemon creates it at its next look, within seconds; without one, run `rotator tick`",)
    return Done(plan.keyset, Step.CREATE, plan.version, 0, "", "", "", lines)


def _refuse_revoked(remains: Remains, latest: Candidate) -> None:
    current = latest.keyset.current if latest.keyset else None
    if current is None or not remains.signs_revoked(latest):
        return
    best = remains.restorable
    way = (
        f"run `rotator restore {remains.name} --version {best.version}`"
        if best
        else f"run `rotator thaw {remains.name} --anew` to give up its keys"
    )
    raise RefusedError(f"{remains.name}: its current key {current.kid} was revoked, and does not come back; {way}")


def _accepted(remains: Remains, latest: Candidate) -> Iterator[str]:
    """
    Yield what a person should know of the document before it is accepted.
    """
    keyset = latest.keyset
    assert keyset is not None  # noqa: S101 - `plan_thaw` asked
    yield f"version {latest.version}, saved {message_time(latest.at)}: sequence {keyset.sequence}, epoch {keyset.epoch}"
    yield "it holds " + ", ".join(f"{key.kid} ({key.state.value})" for key in keyset.keys())
    if keyset.sequence < remains.known and keyset.epoch == remains.epoch:
        yield f"a later one, up to sequence {remains.known}, was seen: KEYS THAT WERE RETIRED OR REPLACED SINCE COME BACK"
    if latest.trouble:
        yield f"not to be believed by itself: {latest.trouble}"
    good = next((c for c in remains.preferred if c.version != latest.version and c.fields), None)
    if good is not None and good.fields is not None and latest.fields is not None:
        names = list(differences(good.fields, latest.fields))
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        yield f"it differs from version {good.version} in {', '.join(names[:MAX_NAMES])}{more}"
        yield f"`rotator restore {remains.name} --version {good.version}` would bring that one back instead"
        denied = {revocation.kid for revocation in remains.revoked}
        stay = {key.kid for key in keyset.keys()} - denied
        lost = sorted({key.kid for key in (good.keyset.keys() if good.keyset else ())} - stay)
        if lost:
            yield f"tokens signed with {', '.join(lost)} fail from then on"
    yield "every other version is destroyed"


def _given_up(remains: Remains) -> Iterator[str]:
    """
    Yield what it costs to create the keyset again.
    """
    what = "its document is not rotator's, or damaged" if remains.fields or remains.damaged else "its document is gone"
    if remains.latest is not None and remains.latest.keyset is not None:
        what = f"version {remains.version} is there"
    yield f"{what}: its keys are given up, and the daemon makes new ones"
    yield "EVERY LIVE TOKEN OF THE FORMER KEYS FAILS FROM THEN ON; their holders must log in again"
    yield "it gets a new epoch: services on rotator.client must be restarted to accept it"
    best = remains.restorable
    if best is not None:
        yield f"`rotator restore {remains.name} --version {best.version}` would keep its keys instead"


def _newer_schema(fields: Fields) -> bool:
    schema = str(fields.get("schema", ""))
    return schema.isascii() and schema.isdecimal() and int(schema) > SCHEMA
