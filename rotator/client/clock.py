"""
The clock for the age of keys: it counts the time that a machine is suspended, and it cannot be set.
"""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """
    Return seconds since some fixed moment before this process began; on Linux by CLOCK_BOOTTIME, which counts suspends.
    """
    return time.clock_gettime(_CLOCK)
