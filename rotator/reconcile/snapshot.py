"""
A keyset as one reply of the store showed it.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError, FrozenError, RefusedError
from rotator.model.document import Moment, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.ports.store import DocumentStore


@dataclass(frozen=True, slots=True)
class View:
    """
    A keyset as this process sees it: read (*loaded*) or just saved as *version*, committed at *committed_at*.
    """

    keyset: Keyset
    version: int
    moment: Moment
    committed_at: datetime
    loaded: bool


def view_of(stored: Stored, name: str, *, loaded: bool = True) -> View:
    """
    Return the view of a signing document; raises DocumentError when it is not one.
    """
    if stored.fields is None:
        raise DocumentError(f"{name}: there is no signing document")
    keyset = decode_keyset(stored.fields, name)
    return View(keyset, stored.version, stored.moment, stored.created_at or stored.moment.ceiling, loaded)


def load(store: DocumentStore, name: str) -> View:
    """
    Return the keyset as stored now, for a command; raises RefusedError where there is none, FrozenError where it was deleted.
    """
    stored = store.load(Tree.KEYS, name)
    if stored.fields is None and stored.version:
        raise FrozenError(f"{name}: its document was deleted or destroyed; see the daemon's alarm for the way out")
    if stored.fields is None:
        raise RefusedError(f"{name}: does not exist yet; start the daemon or run `rotator tick` to create it")
    return view_of(stored, name)
