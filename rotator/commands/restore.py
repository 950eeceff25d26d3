"""
Bringing an earlier version of a keyset back, apart from how it is typed.
"""

from dataclasses import replace

from rotator.commands.recovery import ATTEMPTS, Done, Plan, RecoverOptions, Step, already_done, done_with, look, resave
from rotator.errors import RefusedError, StoreConflictError
from rotator.model.document import Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.reconcile.candidates import Candidate, describe
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.remains import Remains


def plan_restore(operator: Operator, name: str, version: int | None, options: RecoverOptions) -> Plan:
    """
    Return what restoring *version*, or the newest that passes all checks, would do. Changes nothing.

    Raises RefusedError if that cannot be, with the next best way.
    """
    if not operator.store.keeps_versions:
        raise RefusedError(
            f"{name}: the file store keeps no earlier versions; put its files back from a backup, or run "
            f"`rotator thaw {name}` to accept what is there, nothing included"
        )
    remains = look(operator, name, options)
    chosen = _chosen(remains, version)
    if already_done(remains, options.op_id):
        step = Step.NOTHING
    elif chosen.deleted and _is_newest(chosen, remains):
        step = Step.UNDELETE
    else:
        step = Step.RESTORE
    lines = [describe(found) for found in remains.candidates]
    if remains.standby is None:
        lines.append("its standby cannot be read, so who wrote these versions is not checked yet")
    return Plan(name, step, chosen.version, remains, tuple(lines), version)


def restore(operator: Operator, plan: Plan, policy: Policy, options: RecoverOptions) -> Done:
    """
    Bring back what *plan* chose. If that was deleted, it is undeleted and checked first.

    If it proves bad, the best one is restored in its place, since services can read it by then. The latest version,
    undeleted, is what every daemon and service knows: then nothing is saved.
    """
    name = plan.keyset
    if done := already_done(plan.remains, options.op_id):
        return done
    undeleted, wanted, lines = False, plan.version, plan.lines
    for _ in range(ATTEMPTS):
        remains = look(operator, name, options)
        if undeleted_standby(operator, remains):
            wanted = plan.asked or 0  # what can be restored shows now
            continue
        best = remains.restorable
        if undeleted and best and best.version != wanted and (bad := _worse(remains, wanted, plan.asked)):
            wanted, lines = best.version, (*lines, bad)
        chosen = _chosen(remains, wanted or None)
        if chosen.deleted:
            operator.store.undelete(Tree.KEYS, name, [chosen.version])
            undeleted, wanted = True, chosen.version
            continue
        if undeleted and chosen.keyset and _is_newest(chosen, remains) and _is_known(chosen.keyset, remains):
            return done_with(chosen.keyset, Step.UNDELETE, chosen.version)
        try:
            done = resave(operator, Plan(name, Step.RESTORE, chosen.version, remains, lines), chosen, policy, options)
            return replace(done, lines=(*lines[len(plan.lines) :], *done.lines))
        except StoreConflictError:
            continue
    raise StoreConflictError(f"{name}: changed {ATTEMPTS} times while it was looked at; try again")


def undeleted_standby(operator: Operator, remains: Remains) -> bool:
    """
    Undelete the standby if it was soft-deleted, and return whether it was: the seals cannot be checked without it.
    """
    version = remains.standby_version
    if remains.standby is not None or version not in operator.store.versions(Tree.STANDBY, remains.name):
        return False
    if operator.store.load(Tree.STANDBY, remains.name).fields is not None:
        return False  # there is something that is not ours; it is overwritten
    operator.store.undelete(Tree.STANDBY, remains.name, [version])
    return True


def _is_newest(chosen: Candidate, remains: Remains) -> bool:
    return chosen.version == remains.version


def _worse(remains: Remains, version: int, asked: int | None) -> str:
    """
    Return why the best version is restored instead of one that was undeleted, "" if it is not.
    """
    found = next((candidate for candidate in remains.candidates if candidate.version == version), None)
    trouble = found.trouble if found else "it is gone"
    if trouble or version != asked:
        return f"version {version}, undeleted, is not restored: {trouble or 'there is a better one'}"
    return ""


def _is_known(keyset: Keyset, remains: Remains) -> bool:
    """
    Return whether every daemon and service knows this keyset, and no key of it was revoked.
    """
    revoked = {revocation.kid for revocation in remains.revoked}
    return keyset.sequence >= remains.sequence and not any(key.kid in revoked for key in keyset.keys())


def _chosen(remains: Remains, version: int | None) -> Candidate:
    """
    Return the version to restore; raises RefusedError if there is none, or not that one.
    """
    name, best = remains.name, remains.restorable
    if version is None:
        if best is None:
            raise RefusedError(f"{name}: no version of it can be restored{_list(remains)}; {_thaw(remains)}")
        return best
    found = next((candidate for candidate in remains.candidates if candidate.version == version), None)
    if found is not None and not found.trouble:
        return found
    why = found.trouble if found else "it was destroyed, or there never was one of that number"
    way = f"run `rotator restore {name} --version {best.version}`" if best else _thaw(remains)
    raise RefusedError(f"{name}: version {version} cannot be restored: {why}; {way}")


def _thaw(remains: Remains) -> str:
    latest = remains.latest
    anew = " --anew" if latest is not None and remains.signs_revoked(latest) else ""
    return f"run `rotator thaw {remains.name}{anew}`"


def _list(remains: Remains) -> str:
    lines = [describe(candidate) for candidate in remains.candidates]
    return f" ({'; '.join(lines)})" if lines else ", for none survives"
