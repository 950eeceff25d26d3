"""
Loading a signing document, and believing it only if rotator wrote it.
"""

from dataclasses import replace

from rotator.errors import EditedError, FrozenError, RefusedError
from rotator.model.document import Stored, Tree
from rotator.model.policy import Policy
from rotator.ports.store import DocumentStore
from rotator.reconcile.seals import Seals
from rotator.reconcile.snapshot import Snapshot, in_force


class Loader:
    """
    The signing documents of a store, checked at every load. Safe to use from several threads.
    """

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.seals = Seals(store)

    def load(self, name: str, policy: Policy) -> Snapshot:
        """
        Return the keyset as it is stored now, under the policy in force; raises as `check` does.

        Raises RefusedError if there is none, FrozenError if its document was deleted or destroyed.
        """
        stored = self._store.load(Tree.KEYS, name)
        if stored.fields is None and stored.version:
            raise FrozenError(f"{name}: its document was deleted or destroyed; see the daemon's alarm for the way out")
        if stored.fields is None:
            raise RefusedError(f"{name}: does not exist yet; start the daemon or run `rotator tick` to create it")
        snapshot = self.check(stored, name, policy)
        return replace(snapshot, policy=in_force(policy, snapshot.keyset))

    def check(self, stored: Stored, name: str, policy: Policy) -> Snapshot:
        """
        Return the keyset of a document just loaded.

        Raises DocumentError if it is not one, EditedError if somebody else changed it.
        """
        snapshot = Snapshot.of(stored, name, policy)
        sealing = self.seals.get(name)
        if not sealing.fits(stored.fields or {}):
            sealing = self.seals.read(name)
        if not sealing.fits(stored.fields or {}):
            raise EditedError(f"{name}: its seal does not fit")
        return replace(snapshot, sealing=sealing)
