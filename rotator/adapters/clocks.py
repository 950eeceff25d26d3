"""
The clocks of the operating system.
"""

import time
from datetime import UTC, datetime


class LocalClocks:
    """
    The Clocks that the daemon and the commands run by.
    """

    def wall(self) -> datetime:
        """
        Return the moment of the wall clock, in UTC.
        """
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """
        Return `time.monotonic()`.
        """
        return time.monotonic()


LOCAL_CLOCKS = LocalClocks()
