"""
Destruction of store versions that hold material dropped from a keyset, proved from what the store says afterwards.

Not at once: a key stays until the last token that it signed has expired (`retirable` in `lifecycle/holds.py`). The save
that drops it sets `purge_below`, and is published first; a retirement is announced after this proof (`effects.py`,
`purging.py`). A legal hold (`retain`) keeps all.

A standby of the store may show the past, and a proof from the past proves nothing. So nothing is destroyed, and nothing
is proved, unless what is read is at least as new as what is known to exist. The next pass tries again.
"""

from rotator.documents.signing import decode_keyset
from rotator.documents.standby import decode_standby
from rotator.errors import DocumentError, StoreConflictError, StoreUnavailableError
from rotator.model.document import Stored, Tree
from rotator.model.keys import CurrentKey, Kid, OldKey
from rotator.model.keyset import Keyset
from rotator.ports.store import DocumentStore


def purge_keyset(store: DocumentStore, keyset: Keyset, version: int) -> None:
    """
    Destroy every version of the signing document below its `purge_limit`, and prove it.

    *keyset* is known to be stored as *version*. Destroying has no compare-and-set: it names versions read just now,
    below a latest one that bears our epoch. Raises StoreUnavailableError if the proof fails or the store shows the
    past, StoreConflictError if the document is no longer ours.
    """
    if not keyset.purge_below:
        return
    latest = store.load(Tree.KEYS, keyset.name)
    if latest.fields is None or decode_keyset(latest.fields, keyset.name).epoch != keyset.epoch:
        raise StoreConflictError(f"{keyset.name}: the signing document changed hands before a purge")
    if latest.version < version:
        raise _past(f"{Tree.KEYS}/{keyset.name}", f"version {latest.version}, and {version} exists")
    _destroy_below(store, Tree.KEYS, keyset.name, keyset.purge_limit(version), version)


def purge_standby(store: DocumentStore, keyset: Keyset) -> None:
    """
    Destroy every version of the standby below its latest, and prove it; raises as `purge_keyset` does.
    """
    latest = store.load(Tree.STANDBY, keyset.name)
    if latest.version == 0 and keyset.next is None:
        return
    _require_present(latest, keyset)
    _destroy_below(store, Tree.STANDBY, keyset.name, latest.version, latest.version)


def dropped_keys(store: DocumentStore, keyset: Keyset, version: int) -> tuple[Kid, ...]:
    """
    Return the keys that once signed and that only versions to be destroyed still hold, the revoked ones left out.

    For a process that did not drop them itself: the one that did has ended between the save and the proof.
    """
    found: dict[Kid, None] = {}
    limit = keyset.purge_limit(version)
    for number in sorted(number for number in store.versions(Tree.KEYS, keyset.name) if number < limit):
        stored = store.load_version(Tree.KEYS, keyset.name, number)
        try:
            past = decode_keyset(stored.fields, keyset.name) if stored.fields is not None else None
        except DocumentError:
            continue
        if past is not None and past.epoch == keyset.epoch:
            found |= {key.kid: None for key in past.keys() if isinstance(key, CurrentKey | OldKey)}
    return tuple(kid for kid in found if not keyset.knows(kid))


def _require_present(latest: Stored, keyset: Keyset) -> None:
    """
    Raise StoreError unless the standby that was read is ours, and not older than *keyset*.

    It belongs to `next`. Without one it still holds the key that became current, or nothing; a retired key's, or a
    revoked one's, it holds in the past only.
    """
    try:
        standby = decode_standby(latest.fields, keyset.name) if latest.fields is not None else None
    except DocumentError:
        standby = None
    if latest.version and (standby is None or standby.epoch != keyset.epoch):
        raise StoreConflictError(f"{keyset.name}: the standby changed hands before a purge")
    kid = standby.kid if standby else ""
    past = {key.kid for key in keyset.old} | {revocation.kid for revocation in keyset.revoked}
    if kid != keyset.next.kid if keyset.next else kid in past:
        raise _past(f"{Tree.STANDBY}/{keyset.name}", "another key than next")


def _destroy_below(store: DocumentStore, tree: Tree, name: str, below: int, known: int) -> None:
    """
    Destroy the versions below *below*. Those that the store lists must reach *known*, before and after.
    """
    doomed = [version for version in _listed(store, tree, name, known) if version < below]
    if not doomed:
        return
    store.destroy(tree, name, doomed)
    left = [version for version in _listed(store, tree, name, known) if version < below]
    if left:
        raise StoreUnavailableError(f"{name}: versions {left} of {tree}/{name} outlived their destruction")


def _listed(store: DocumentStore, tree: Tree, name: str, known: int) -> list[int]:
    versions = sorted(store.versions(tree, name))
    if not versions or versions[-1] < known:
        raise _past(f"{tree}/{name}", f"no version from {known} on, which exists")
    return versions


def _past(path: str, what: str) -> StoreUnavailableError:
    return StoreUnavailableError(f"the store shows the past: {path} has {what}; a standby of it lags, or is cut off")
