"""
Destruction of store versions that hold material dropped from a keyset, proved from what the store says afterwards.

When an old key may leave is decided in `lifecycle/holds.py` (`retirable`), and `evolve` sets `purge_below`.
"""

from rotator.documents.signing import decode_keyset
from rotator.documents.standby import decode_standby
from rotator.errors import DocumentError, StoreConflictError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.keyset import Keyset
from rotator.ports.store import DocumentStore


def purge_keyset(store: DocumentStore, keyset: Keyset) -> None:
    """
    Destroy every version of the signing document below `purge_below`, and prove it.

    Destroying has no compare-and-set: it names versions read just now, below a latest one that bears our epoch.
    Raises StoreUnavailableError when the proof fails, StoreConflictError when the document is no longer ours.
    """
    if not keyset.purge_below:
        return
    latest = store.load(Tree.KEYS, keyset.name)
    if latest.fields is None or decode_keyset(latest.fields, keyset.name).epoch != keyset.epoch:
        raise StoreConflictError(f"{keyset.name}: the signing document changed hands before a purge")
    _destroy_below(store, Tree.KEYS, keyset.name, min(keyset.purge_below, latest.version))


def purge_standby(store: DocumentStore, keyset: Keyset) -> None:
    """
    Destroy every version of the standby below its latest, and prove it; raises as `purge_keyset` does.
    """
    latest = store.load(Tree.STANDBY, keyset.name)
    if latest.version == 0:
        return
    try:
        ours = latest.fields is not None and decode_standby(latest.fields, keyset.name).epoch == keyset.epoch
    except DocumentError:
        ours = False
    if not ours:
        raise StoreConflictError(f"{keyset.name}: the standby changed hands before a purge")
    _destroy_below(store, Tree.STANDBY, keyset.name, latest.version)


def _destroy_below(store: DocumentStore, tree: Tree, name: str, below: int) -> None:
    doomed = sorted(version for version in store.versions(tree, name) if version < below)
    if not doomed:
        return
    store.destroy(tree, name, doomed)
    left = sorted(version for version in store.versions(tree, name) if version < below)
    if left:
        raise StoreUnavailableError(f"{name}: versions {left} of {tree}/{name} outlived their destruction")
