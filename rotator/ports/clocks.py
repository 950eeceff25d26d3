"""
The clocks of this machine.
"""

from datetime import datetime
from typing import Protocol


class Clocks(Protocol):
    """
    The local clocks, injected wherever time is read; tests move them by hand.
    """

    def wall(self) -> datetime:
        """
        Return the time of the wall clock, in UTC. It can be set, and may jump.
        """
        ...

    def monotonic(self) -> float:
        """
        Return seconds since some fixed moment, those of a suspended machine included. It cannot be set.
        """
        ...

    def awake(self) -> float:
        """
        Return seconds as `monotonic` does, without those in which the machine was suspended.
        """
        ...
