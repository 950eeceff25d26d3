"""
The reading of the store's clock: when decisions may rest on it.
"""

from datetime import UTC, datetime, timedelta

import pytest

from rotator.model.document import ClockReading, Stored

AT = datetime(2026, 1, 1, tzinfo=UTC)
SKEW = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("offset", "tolerance", "trusted"),
    [(0, 0, True), (60, 0, True), (-60, 0, True), (61, 0, False), (-61, 0, False), (-63, 3, True), (64, 3, False)],
)
def test_the_local_clock_may_differ_by_skew_and_tolerance(offset: int, tolerance: int, *, trusted: bool) -> None:
    """Ahead or behind alike; what the reading itself may explain does not count."""
    reading = ClockReading(AT, AT, timedelta(seconds=offset), timedelta(seconds=tolerance), read_at=1.0)

    assert reading.trusted(SKEW) is trusted


def test_readings_are_the_same_whenever_they_were_read() -> None:
    """`read_at` tells how old a reading is, by a clock that only this process has."""
    assert ClockReading(AT, AT, read_at=1.0) == ClockReading(AT, AT, read_at=2.0)


def test_a_repr_shows_no_fields() -> None:
    """They hold key material."""
    stored = Stored(1, {"current": "canary"}, AT, ClockReading(AT, AT, read_at=1.0))

    assert "canary" not in repr(stored)
