"""
What rotator asks of the outside world: a store of documents, publishers of JWKS, a notifier, a clock it can trust.

Adapters implement these Protocols and translate every foreign exception into one of `rotator.errors`.
"""

from collections.abc import Collection
from typing import Protocol

from rotator.model.document import Fields, Stored, Tree


class DocumentStore(Protocol):
    """
    A store of versioned JSON documents with compare-and-set: Vault KV v2, files, or memory in tests.

    Every method may raise StoreUnavailableError and StoreDeniedError. Safe to use from several threads.
    """

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the latest version of a document; absence is an answer, not an error.
        """
        ...

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Write version *cas* + 1 if the latest is still *cas*, durably, and return it.

        Raises StoreConflictError when somebody else was first. When the reply was lost the document is read back and its
        `op_id` compared, so that a save that did happen is reported as done.
        """
        ...

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the numbers of the versions whose data still exists, soft-deleted ones included.
        """
        ...

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Destroy the data of *versions* for good. Proof is another call of `versions`.
        """
        ...
