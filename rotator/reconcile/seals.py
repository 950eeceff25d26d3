"""
The seal keys of keysets, as their standby documents hold them.
"""

from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.documents.standby import decode_sealing
from rotator.model.document import Fields, Tree
from rotator.ports.store import DocumentStore


class Seals:
    """
    What seals each keyset, kept in this process so that a look costs one read. Safe to use from several threads.
    """

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._known: dict[str, Sealing] = {}

    def get(self, name: str) -> Sealing:
        """
        Return what seals the keyset *name*; reads its standby the first time.
        """
        return self._known.get(name) or self.read(name)

    def read(self, name: str) -> Sealing:
        """
        Read the standby again: another daemon, or `rotator thaw`, may have renewed the seal key.

        A standby that lost its seal key, or is damaged, takes nothing from what this process knows.
        """
        stored = self._store.load(Tree.STANDBY, name)
        found, known = sealing_in(stored.fields), self._known.get(name)
        if known is None or (found.key and found != known):
            self._known[name] = found
        return self._known[name]

    def keep(self, name: str, sealing: Sealing) -> None:
        """
        Note what a save of this process put into the standby.
        """
        self._known[name] = sealing


def sealing_in(fields: Fields | None) -> Sealing:
    """
    Return what a standby says about seals; nothing if it does not exist or cannot be read, though the rest may be damaged.
    """
    try:
        return decode_sealing(fields or {})
    except (ValueError, TypeError):
        return NEVER_SEALED
