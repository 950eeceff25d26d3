"""
What this host last saw of each keyset, kept apart from the store.
"""

from typing import Protocol

from rotator.model.publication import LastSeen


class LastSeenStore(Protocol):
    """
    Trusted local state: by it a store that went back in time is noticed (as in TUF's rollback check).

    Safe to use from several threads.
    """

    def names(self) -> tuple[str, ...]:
        """
        Return the names of the recorded keysets, sorted. Raises FrozenError if they cannot be listed.
        """
        ...

    def get(self, name: str) -> LastSeen | None:
        """
        Return what was last seen of a keyset, None if it was never seen.

        Raises FrozenError if the record is damaged or cannot be read, which is not the same as never seen.
        """
        ...

    def forget(self, name: str) -> None:
        """
        Forget a keyset that was removed from the store. Raises LastSeenWriteError; the same call later tries again.
        """
        ...

    def record(self, seen: LastSeen) -> None:
        """
        Keep *seen* if it supersedes what is recorded. No I/O if nothing changed.

        Raises LastSeenWriteError: `get` returns *seen* nevertheless, and the same call later writes again.
        """
        ...
