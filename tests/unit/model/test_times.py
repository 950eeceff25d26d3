"""
Moments and durations: how they are written, rounded, and spaced after failures.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rotator.model.times import (
    MAX_BACKOFF,
    MIN_BACKOFF,
    backoff,
    format_duration,
    format_time,
    message_time,
    parse_duration,
    parse_time,
    round_up,
)


@pytest.mark.parametrize("text", ["1s", "90s", "15m", "2h", "30d", "36500d"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    """The largest unit that divides it is taken."""
    written = format_duration(parse_duration(text))
    assert parse_duration(written) == parse_duration(text)
    assert len(written) <= len(text)


@pytest.mark.parametrize("text", ["", "1", "1.5h", "-1s", "1 s", "1S", "36501d", "99999999999s", 5, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A bare number has no unit, and no duration is longer than a hundred years."""
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


def test_a_time_is_written_in_utc_and_whole_seconds() -> None:
    """Whatever zone and fraction it had; None is empty, and words in a message."""
    at = datetime(2026, 1, 1, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(at) == message_time(at) == "2026-01-01T00:00:00Z"
    assert (format_time(None), message_time(None)) == ("", "an unknown moment")


def test_a_time_is_read_with_its_offset_only() -> None:
    """Nanoseconds are cut to microseconds; a time without an offset names no moment."""
    assert parse_time("2026-01-01T01:00:00.123456789+01:00") == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    with pytest.raises(ValueError, match="without an offset"):
        parse_time("2026-01-01T00:00:00")


def test_deadlines_are_rounded_up() -> None:
    """A whole second stays; any fraction is the next second."""
    whole = datetime(2026, 1, 1, tzinfo=UTC)
    assert round_up(whole) == whole
    assert round_up(whole + timedelta(microseconds=1)) == whole + timedelta(seconds=1)


def test_backoff_is_bounded() -> None:
    """From 1 s, doubling, to the cap and 30 s at most, never below 1 s."""
    assert [backoff(n, timedelta(hours=2)).total_seconds() for n in (1, 2, 3, 6, 50)] == [1, 2, 4, 30, 30]
    assert backoff(9, timedelta(seconds=5) / 4).total_seconds() == pytest.approx(1.25)
    assert backoff(9, timedelta(seconds=2) / 4) == MIN_BACKOFF


def test_jitter_shortens_a_backoff() -> None:
    """In proportion, and never below 1 s."""
    assert backoff(50) == backoff(50, jitter=1.0) == MAX_BACKOFF
    assert backoff(50, jitter=0.5) == MAX_BACKOFF / 2
    assert backoff(50, jitter=0.0) == backoff(1, jitter=0.5) == MIN_BACKOFF
