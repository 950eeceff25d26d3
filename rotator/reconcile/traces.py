"""
Traces of a later save than the one that the store shows: an older document was put back in its place.
"""

from rotator.documents.public import decode_public
from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError
from rotator.model.document import Fields, Tree
from rotator.ports.store import DocumentStore
from rotator.reconcile.snapshot import Snapshot

MAX_LOOK_BACK = 16


def later_trace(store: DocumentStore, snapshot: Snapshot) -> str:
    """
    Return where the store still shows a later save of the same keyset under its seal, "" if nowhere.

    A signing document is saved before its public one, so neither that nor an earlier version is ever ahead of it. Raises
    StoreError if the store cannot be read.
    """
    name, sealing = snapshot.name, snapshot.sealing
    if sealing.key is None:
        return ""
    public = store.load(Tree.JWKS, name).fields
    if public is not None and sealing.fits(public) and _lead(public, snapshot, Tree.JWKS) > 0:
        return f"{Tree.JWKS}/{name} has sequence {public['sequence']}"
    earlier = sorted((v for v in store.versions(Tree.KEYS, name) if v < snapshot.version), reverse=True)
    for version in earlier[:MAX_LOOK_BACK]:
        fields = store.load_version(Tree.KEYS, name, version).fields
        if fields is not None and sealing.fits(fields) and _lead(fields, snapshot, Tree.KEYS) > 0:
            return f"version {version} of {Tree.KEYS}/{name} has sequence {fields['sequence']}"
    return ""


def _lead(fields: Fields, snapshot: Snapshot, tree: Tree) -> int:
    """
    Return how far a document is ahead of *snapshot*, 0 or less if it is not.
    """
    keyset = snapshot.keyset
    try:
        found = (decode_public if tree is Tree.JWKS else decode_keyset)(fields, keyset.name)
    except DocumentError:
        return 0
    return found.sequence - keyset.sequence if found.epoch == keyset.epoch else 0
