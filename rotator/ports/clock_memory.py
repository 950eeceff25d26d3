"""
What this host remembers of the store's clock over a restart.
"""

from typing import Protocol

from rotator.lifecycle.clock_steps import ClockState
from rotator.model.document import ClockReading


class ClockMemory(Protocol):
    """
    Keeps the store's clock as it ran, so that a step between two processes of one host is noticed.

    Without it, or after a reboot, only a clock that went back is noticed. Neither method raises: what is lost is the
    memory. Safe to use from several threads.
    """

    def recall(self, name: str, reading: ClockReading) -> ClockState | None:
        """
        Return what an earlier process knew when it read the clock for a keyset, None if that says nothing of *reading*.
        """
        ...

    def remember(self, name: str, state: ClockState) -> None:
        """
        Keep *state* for the next process. Cheap if nothing changed.
        """
        ...
