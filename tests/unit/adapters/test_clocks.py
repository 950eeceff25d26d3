"""
The operating system's clocks.
"""

from datetime import UTC, datetime, timedelta

from rotator.adapters.clocks import LOCAL_CLOCKS


def test_the_wall_clock_is_aware_and_in_utc() -> None:
    """It agrees with the system's."""
    now = LOCAL_CLOCKS.wall()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)


def test_the_monotonic_clock_never_goes_back() -> None:
    """Two readings in a row are in order."""
    first = LOCAL_CLOCKS.monotonic()
    assert LOCAL_CLOCKS.monotonic() >= first
