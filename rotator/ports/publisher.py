"""
A place where verifiers find the JWKS.
"""

from collections.abc import Collection
from typing import Protocol

from rotator.model.keys import Kid
from rotator.model.publication import Publication


class JwksPublisher(Protocol):
    """
    A place where verifiers find the JWKS. Methods raise PublicationError, or StoreError if the place is in the store.
    """

    @property
    def name(self) -> str:
        """
        The word for this publisher in logs and messages.
        """
        ...

    def publish(self, publication: Publication) -> str | None:
        """
        Serve *publication*, unless it or a later one of the same epoch is served already.

        Returns what another hand had changed there, which is overwritten: "" if nothing, None if that was not looked at.
        """
        ...

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids that consumers of this place find for the keyset, None if it never served it.
        """
        ...

    def read_back(self, publication: Publication) -> None:
        """
        Read what consumers read; raises PublicationError unless every key of *publication* is there, member for member.
        """
        ...

    def withdraw(self, keyset: str) -> None:
        """
        Stop serving a keyset that was removed for good.
        """
        ...

    def close(self) -> None:
        """
        Release connections and file locks.
        """
        ...
