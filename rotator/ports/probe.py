"""
What `rotator check` asks a store, beyond documents.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol


class StoreProbe(Protocol):
    """
    Questions about the rights and settings of a store. All methods only read, and may raise any StoreError.
    """

    def capabilities(self, paths: Collection[str]) -> Mapping[str, frozenset[str]]:
        """
        Return what our token may do with each of *paths*, by path.
        """
        ...

    def read_raw(self, path: str) -> Mapping[str, Any] | None:
        """
        Return the `data` stored at *path*, None if nothing is there.
        """
        ...

    def standby(self) -> str:
        """
        Return what is to be said of a node whose reads may show the past, "" for any other.
        """
        ...
