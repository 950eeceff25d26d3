"""
The clock for the age of keys.
"""

import time

import pytest

from rotator.client import clock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts suspends")
def test_a_suspend_counts() -> None:
    """It is CLOCK_BOOTTIME: monotonic time goes on from before a suspend, and the wall clock can be set."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock.now() <= time.clock_gettime(time.CLOCK_BOOTTIME)
