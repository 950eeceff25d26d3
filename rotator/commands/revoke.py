"""
Taking compromised keys out, apart from how it is typed.
"""

from dataclasses import dataclass

from rotator.commands.diagnosis import believed
from rotator.commands.rotate_now import ATTEMPTS, clock_of
from rotator.errors import ArgumentError, StoreConflictError
from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.times import message_time
from rotator.reconcile.operator_effects import Operator
from rotator.reconcile.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Exposure:
    """
    What stays exposed after a revocation, and for how long.
    """

    keyset: str
    kids: tuple[Kid, ...]
    current: str
    op_id: str
    lines: tuple[str, ...]
    purged: bool


def revoke(operator: Operator, name: str, policy: Policy, kid: Kid, reason: str, *, document_leaked: bool) -> Exposure:
    """
    Revoke *kid*, and if the whole document leaked its other secrets too.

    Raises ArgumentError for a kid that is not in the keyset.
    """
    for _ in range(ATTEMPTS):
        before = believed(operator.store, operator.loader, name, policy)
        keyset = before.keyset
        if any(revocation.kid == kid for revocation in keyset.revoked):
            current = keyset.current.kid if keyset.current else ""
            return Exposure(
                name, (kid,), current, keyset.op_id, (f"{kid} is revoked already; nothing was changed",), purged=True
            )
        if keyset.find(kid) is None:
            known = ", ".join(key.kid for key in keyset.keys())
            raise ArgumentError(f"{name}: no key has the kid {kid!r}; the keyset holds {known}")
        kids = _compromised(keyset, kid, document_leaked=document_leaked)
        try:
            done = operator.effects.revoke(before, kids, reason)
        except StoreConflictError:
            continue
        after = done.snapshot
        held = ["legal hold: the material stays in old versions of the store"] if policy.retain else []
        current = after.keyset.current.kid if after.keyset.current else ""
        fault = clock_of(operator, before).fault
        doubt = [f"these moments may be wrong: {fault}"] if fault else []
        lines = (*_exposed(before, after, kids), *held, *doubt)
        return Exposure(name, kids, current, after.keyset.op_id, lines, purged=done.purged is not False)
    raise StoreConflictError(f"{name}: changed {ATTEMPTS} times while it was looked at; try again")


def _compromised(keyset: Keyset, kid: Kid, *, document_leaked: bool) -> tuple[Kid, ...]:
    if not document_leaked:
        return (kid,)
    if not keyset.symmetric:
        raise ArgumentError(
            f"{keyset.name}: --document-leaked is for shared secrets; an asymmetric document holds no private half but "
            "current's, so revoke that kid"
        )
    return tuple(dict.fromkeys((kid, *(key.kid for key in (keyset.current, keyset.next) if key))))


def _exposed(before: Snapshot, after: Snapshot, kids: tuple[Kid, ...]) -> list[str]:
    keyset, now = after.keyset, after.clock.latest
    timing = before.keyset.timing.longest(before.policy.timing)
    noticed = now + timing.propagation_time
    denied = {revocation.kid: revocation.until for revocation in keyset.revoked}
    lines = [
        f"verifiers that cache keys may accept tokens of {kid} until {message_time(noticed)}; "
        f"it stays on the deny-list until {message_time(denied[kid])}"
        for kid in kids
    ]
    replaced = before.keyset.current
    if replaced is None or keyset.current is None or replaced.kid == keyset.current.kid:
        return lines
    lines.append(f"tokens signed with {replaced.kid} are refused from now on; their holders must log in again")
    successor = before.keyset.find(keyset.current.kid)
    usable = successor.usable_at if isinstance(successor, NextKey) else None
    if usable is None or usable > now:
        until = usable or noticed
        lines.append(
            f"next was not yet safe: fresh tokens may be refused from {message_time(now)} to {message_time(until)}"
        )
    if keyset.symmetric and len(kids) == 1:
        lines.append(
            f"whoever read the signing document has the secret {keyset.current.kid} too, which signs now; if the document leaked, "
            f"run `rotator revoke {keyset.name} {keyset.current.kid} --document-leaked`"
        )
    return lines
