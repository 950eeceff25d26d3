"""
A keyset as one reply of the store showed it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError, FrozenError, RefusedError
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.ports.store import DocumentStore


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A keyset as this process sees it: read (*loaded*) or just saved as *version*, committed at *committed_at*.
    """

    keyset: Keyset
    version: int
    moment: ClockReading
    committed_at: datetime
    loaded: bool

    @classmethod
    def of(cls, stored: Stored, name: str, *, loaded: bool = True) -> Self:
        """
        Return the snapshot of a signing document; raises DocumentError if it is not one.
        """
        if stored.fields is None:
            raise DocumentError(f"{name}: there is no signing document")
        keyset = decode_keyset(stored.fields, name)
        return cls(keyset, stored.version, stored.moment, stored.created_at or stored.moment.latest, loaded)


def load(store: DocumentStore, name: str) -> Snapshot:
    """
    Return the keyset as it is stored now, for a command.

    Raises RefusedError if there is none, FrozenError if its document was deleted or destroyed.
    """
    stored = store.load(Tree.KEYS, name)
    if stored.fields is None and stored.version:
        raise FrozenError(f"{name}: its document was deleted or destroyed; see the daemon's alarm for the way out")
    if stored.fields is None:
        raise RefusedError(f"{name}: does not exist yet; start the daemon or run `rotator tick` to create it")
    return Snapshot.of(stored, name)
