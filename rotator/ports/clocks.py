"""
The local clocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Clocks:
    """
    The local clocks, injected: aware UTC wall time, and monotonic seconds.
    """

    wall: Callable[[], datetime]
    monotonic: Callable[[], float]
