"""
Whether what the store shows agrees with what was last seen of a keyset. Pure.

A contradiction freezes the keyset. A restored backup and a deletion by hand appear as one; only a person can say which
state is right. (TUF keeps trusted local state for the same purpose: to notice a rollback.)
What was seen is kept by `adapters/files/last_seen.py`; a lower sequence is waited for in `reconcile/observe.py`.
"""

from dataclasses import dataclass

from rotator.model.keyset import Keyset
from rotator.model.publication import LastSeen


@dataclass(frozen=True, slots=True)
class Consistent:
    """
    The keyset as it was last seen, a later one, or one never seen before.
    """


@dataclass(frozen=True, slots=True)
class Lagging:
    """
    An older sequence than was seen. If that passes it was a lagging replica; if it stays, a restored backup.
    """


@dataclass(frozen=True, slots=True)
class Contradiction:
    """
    A contradiction. *text* names the keyset, what contradicts, and both ways out.
    """

    text: str


Verdict = Consistent | Lagging | Contradiction


def assess(seen: LastSeen | None, keyset: Keyset) -> Verdict:
    """
    Compare a loaded keyset with what was last *seen* of it, None if it never was.
    """
    if seen is None:
        return Consistent()
    name, accept = keyset.name, f"or to accept this one {_forget(keyset.name)}"
    if keyset.epoch != seen.epoch:
        return Contradiction(
            f"{name}: keys/{name} has epoch {keyset.epoch}, but {seen.epoch} was seen before: it was "
            "removed and created anew, or this is another store; check that address, mount and prefix (or path) "
            f"are the right ones, put the former document back from a backup, {accept}"
        )
    if keyset.sequence < seen.sequence:
        return Lagging()
    if keyset.sequence == seen.sequence and keyset.op_id != seen.op_id:
        return Contradiction(
            f"{name}: keys/{name} has sequence {keyset.sequence} from another save ({keyset.op_id}) than was "
            f"seen before ({seen.op_id}): an older document was put back and changed since; put back the "
            f"one that was seen (`vault kv rollback` to its version while that survives, else from a backup), {accept}"
        )
    return Consistent()


def absent_contradiction(seen: LastSeen | None, version_of_keys: int, version_of_jwks: int) -> str | None:
    """
    Return why a missing signing document must not be created, None if there is no trace that it ever existed.

    The versions are those of the replies, 0 for a bare 404. The caller puts the keyset's name before the text.
    """
    if not (version_of_keys or version_of_jwks or seen):
        return None
    if version_of_keys:
        older = f", and since it is older {_forget(seen.document.keyset)}" if seen else ""
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
    return f"{found}; {_start_anew(seen, version_of_keys, version_of_jwks)}"


def _forget(name: str) -> str:
    return f"stop the daemon, move keysets/{name}.json in its state_dir away and start it again"


def _start_anew(seen: LastSeen | None, version_of_keys: int, version_of_jwks: int) -> str:
    trees = [tree for tree, version in (("keys/", version_of_keys), ("jwks/", version_of_jwks)) if version]
    remove = f"remove its {' and '.join(trees)} (`vault kv metadata delete`)" if trees else ""
    forget = _forget(seen.document.keyset) if seen else ""
    return f"or to give up its keys and create it anew {', then '.join(part for part in (remove, forget) if part)}"
