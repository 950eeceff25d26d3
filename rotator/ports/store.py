"""
The store of documents.

Adapters implement the ports and translate every foreign exception into one of `rotator.errors`.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from rotator.model.document import Fields, Stored, Tree


class DocumentStore(Protocol):
    """
    A store of versioned JSON documents with compare-and-set: Vault KV v2, files, or memory in tests.

    Every method with a *tree* may raise StoreUnavailableError and StoreDeniedError.
    Safe to use from several threads.
    """

    @property
    def token_expires_at(self) -> datetime | None:
        """
        When the store's token ends unless it is renewed; None if it has no token, or one that never ends.
        """
        ...

    @property
    def limited(self) -> bool:
        """
        Whether the store lets so few requests through at present that keysets had better come one after another.
        """
        ...

    @property
    def keeps_versions(self) -> bool:
        """
        Whether versions before the latest can be read again.
        """
        ...

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the latest version of a document. A missing document is an answer (version 0), not an error.
        """
        ...

    def load_version(self, tree: Tree, keyset: str, version: int) -> Stored:
        """
        Return one version of a document; `fields` is None if it no longer exists, or never did.
        """
        ...

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Write version *cas* + 1 if the latest is still *cas*, durably, and return it.

        Raises StoreConflictError if another process saved first. When the reply was lost the document is read back and
        its `op_id` compared, so that a save that did happen is reported as done.
        """
        ...

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the numbers of the versions whose data still exists, soft-deleted ones included.
        """
        ...

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Destroy the data of *versions* for good. A call of `versions` afterwards is the proof.
        """
        ...

    def names(self) -> Collection[str]:
        """
        Return what stands in the tree of signing documents, whoever put it there. Raises as `load` does.
        """
        ...

    def maintain(self) -> str:
        """
        Do periodic chores, such as renewing a token. Call it about once a second; cheap if nothing is due.

        Return what needs a person before it stops the store from working, "" if nothing does.
        """
        ...

    def fingerprint(self) -> object:
        """
        Return a value that differs once any process has saved a document, None if the store does not know.

        Costs no request and raises nothing.
        """
        ...

    def close(self) -> None:
        """
        Close idle connections, and let a token go that was this store's own. The store remains usable.
        """
        ...


class ArchiveStore(DocumentStore, Protocol):
    """
    What operators' commands may do to a store, and the daemon never does. Both may raise any StoreError.
    """

    def undelete(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Bring the data of soft-deleted *versions* back. Versions that were destroyed stay so.
        """
        ...

    def remove(self, tree: Tree, keyset: str) -> None:
        """
        Remove a document with all its versions, and the count of them, for good. A missing one is no error.
        """
        ...
