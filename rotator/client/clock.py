"""
How old a reading is: seconds that a suspended machine counts, too, and that nobody can set.
"""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """
    Return seconds since some moment before this process; time asleep is in it (Linux: CLOCK_BOOTTIME).
    """
    return time.clock_gettime(_CLOCK)
