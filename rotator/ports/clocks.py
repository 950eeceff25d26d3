"""
The clocks of this machine.
"""

from datetime import datetime
from typing import Protocol


class Clocks(Protocol):
    """
    Both local clocks, injected wherever time is read: tests move them by hand.
    """

    def wall(self) -> datetime:
        """
        Return the moment that the wall clock shows, in UTC. Anybody may set this clock.
        """
        ...

    def monotonic(self) -> float:
        """
        Return seconds since some fixed moment. Nobody can set this clock.
        """
        ...
