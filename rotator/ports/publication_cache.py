"""
The publications that this process serves by itself, from memory.
"""

from typing import Protocol

from rotator.model.publication import Publication


class PublicationCache(Protocol):
    """
    The latest publication of each keyset, for the listener and the file of this host. Safe to use from several threads.
    """

    def put(self, publication: Publication, *, remembered: bool = False) -> None:
        """
        Keep *publication*, unless a later one of the same epoch is kept already; raises PublicationError if it is unfit.

        One that is only *remembered* was not compared with the store: any that was takes its place.
        """
        ...

    def withdraw(self, name: str) -> None:
        """
        Forget the publication of a keyset if it was only remembered: it proved to be none of rotator's.
        """
        ...

    def expect(self, name: str) -> None:
        """
        Withhold a combined set that was not complete yet until a keyset has been put, too, or marked absent.
        """
        ...

    def drop(self, name: str) -> None:
        """
        Stop serving a keyset that was removed for good.
        """
        ...

    def mark_absent(self, name: str) -> None:
        """
        Note that a keyset contributes nothing for now: it does not exist yet, or cannot be read. What was put stays.
        """
        ...
