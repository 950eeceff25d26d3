"""
The feed of changes.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from rotator.model.event import Event


class Notifier(Protocol):
    """
    The durable feed of changes. `announce`, `announced` and `forget` raise NotificationError, within a bounded time.
    """

    @property
    def fault(self) -> str:
        """
        What the last call met, "" if it worked or there was none yet.
        """
        ...

    def announce(self, event: Event) -> None:
        """
        Append *event* to the feed, notify listeners, and record the keyset's position as announced.
        """
        ...

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the announced position of each of *keysets* that has one.
        """
        ...

    def forget(self, keyset: str) -> None:
        """
        Drop the announced position of a keyset that was removed.
        """
        ...

    def probe(self) -> tuple[str, ...]:
        """
        Return what is wrong with the feed or with our rights on it, empty if nothing is. Changes and raises nothing.
        """
        ...

    def close(self) -> None:
        """
        Close the connections.
        """
        ...
