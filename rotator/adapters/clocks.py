"""
The clocks of the operating system.
"""

import time
from datetime import UTC, datetime

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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
        Return the seconds of CLOCK_BOOTTIME; elsewhere than on Linux those of CLOCK_MONOTONIC.
        """
        return time.clock_gettime(_MONOTONIC)

    def awake(self) -> float:
        """
        Return the seconds of CLOCK_MONOTONIC, which on Linux stands still while the machine is suspended.
        """
        return time.clock_gettime(time.CLOCK_MONOTONIC)


LOCAL_CLOCKS = LocalClocks()
