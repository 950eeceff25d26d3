"""
Whether what the store shows is what was seen of a keyset before, or contradicts it. Pure.

A contradiction freezes the keyset: a restored backup or a deletion by hand looks like one, and only a person knows.
"""

from dataclasses import dataclass

from rotator.model.keyset import Keyset
from rotator.model.publication import LastSeen


@dataclass(frozen=True, slots=True)
class Consistent:
    """
    The keyset as remembered, a later one, or one never seen before.
    """


@dataclass(frozen=True, slots=True)
class Lagging:
    """
    An older sequence than was seen: a lagging replica when it passes, a restored backup when it stays.
    """


@dataclass(frozen=True, slots=True)
class Contradiction:
    """
    A contradiction; *text* names the keyset, what contradicts, and both ways out.
    """

    text: str


Verdict = Consistent | Lagging | Contradiction


def assess(remembered: LastSeen | None, keyset: Keyset) -> Verdict:
    """
    Return what a loaded keyset is, seen against what is remembered of it.
    """
    if remembered is None:
        return Consistent()
    name, accept = keyset.name, f"or to accept this one {_forget(keyset.name)}"
    if keyset.epoch != remembered.epoch:
        return Contradiction(
            f"{name}: keys/{name} has epoch {keyset.epoch}, but {remembered.epoch} was seen before: it was "
            "removed and created anew, or this is another store; check that address, mount and prefix (or path) "
            f"are the right ones, put the former document back from a backup, {accept}"
        )
    if keyset.sequence < remembered.sequence:
        return Lagging()
    if keyset.sequence == remembered.sequence and keyset.op_id != remembered.op_id:
        return Contradiction(
            f"{name}: keys/{name} has sequence {keyset.sequence} from another save ({keyset.op_id}) than was "
            f"seen before ({remembered.op_id}): an older document was put back and changed since; put back the "
            f"one that was seen (`vault kv rollback` to its version while that survives, else from a backup), {accept}"
        )
    return Consistent()


def absent_contradiction(remembered: LastSeen | None, version_of_keys: int, version_of_jwks: int) -> str | None:
    """
    Return why a missing signing document is not a keyset to be created, None where it is: nobody has a trace of it.

    The versions are those of the replies, 0 for a bare 404. The caller puts the keyset's name before the text.
    """
    if not (version_of_keys or version_of_jwks or remembered):
        return None
    if version_of_keys:
        older = f", and since it is older {_forget(remembered.document.keyset)}" if remembered else ""
        found = (
            f"the signing document was deleted or destroyed (version {version_of_keys}); bring it back with "
            f"`vault kv undelete -versions={version_of_keys}`, or where it was destroyed put back a version that "
            f"survives with `vault kv rollback`{older}"
        )
    elif version_of_jwks:
        found = (
            "there is no signing document, nor a trace that there was one, and yet its public document in jwks/ is "
            "there; put keys/ back from a backup of the store"
        )
    else:
        found = (
            "the store has no trace of this keyset, and yet it was seen before; check that address, namespace, mount "
            "and prefix (or path) are the right ones, or put keys/, jwks/ and standby/ back from a backup"
        )
    return f"{found}; {_start_anew(remembered, version_of_keys, version_of_jwks)}"


def _forget(name: str) -> str:
    return f"stop the daemon, move keysets/{name}.json in its state_dir away and start it again"


def _start_anew(remembered: LastSeen | None, version_of_keys: int, version_of_jwks: int) -> str:
    trees = [tree for tree, version in (("keys/", version_of_keys), ("jwks/", version_of_jwks)) if version]
    remove = f"remove its {' and '.join(trees)} (`vault kv metadata delete`)" if trees else ""
    forget = _forget(remembered.document.keyset) if remembered else ""
    return f"or to give up its keys and create it anew {', then '.join(part for part in (remove, forget) if part)}"
