"""
A standby of the store that lags: what it shows is whole, and the past.
"""

from collections.abc import Collection

from rotator.model.document import Stored, Tree
from tests.support.memory_store import MemoryStore


class PastStore(MemoryStore):
    """
    A store that shows documents without their latest `lags` saves; with `lists_late` it is the list of versions that lags.
    """

    lags = 0
    lists_late = False

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Return an earlier version than the latest."""
        latest = super().load(tree, keyset)
        return latest if self.lists_late else self.load_version(tree, keyset, max(0, latest.version - self.lags))

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """Return the versions without the latest ones."""
        versions = tuple(super().versions(tree, keyset))
        return versions[: max(0, len(versions) - self.lags)] if self.lists_late else versions
