"""
Moments and durations: read strictly, written in one form, rounded in one direction, and spaced after failures.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rotator.model.times import (
    MAX_BACKOFF,
    MAX_DURATION,
    MIN_BACKOFF,
    backoff,
    format_duration,
    format_time,
    message_time,
    parse_duration,
    parse_time,
    round_up,
)

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("20s", timedelta(seconds=20)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
        ("36500d", MAX_DURATION),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    """Each of the five units, zero, and the longest."""
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "value", ["20", "20 s", "s", "1.5h", "-1s", "1h30m", "20S", "", "0x1s", 20, None, True], ids=repr
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A number without a unit could mean anything; two units, fractions and signs are refused too."""
    with pytest.raises(ValueError, match="a whole number and a unit"):
        parse_duration(value)


@pytest.mark.parametrize("text", ["36501d", "999999999w"])
def test_a_duration_has_a_longest(text: str) -> None:
    """A century: what is longer would overflow the calendar later, where no one looks for it."""
    with pytest.raises(ValueError, match="36500d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=14), "14d"),
        (timedelta(seconds=1, milliseconds=999), "1s"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(duration: timedelta, text: str) -> None:
    """And is read back as the same, but for fractions of a second."""
    assert format_duration(duration) == text
    assert parse_duration(text) == timedelta(seconds=int(duration.total_seconds()))


def test_times_are_whole_seconds_in_utc() -> None:
    """Nanoseconds of the store are cut, offsets become UTC, a time without an offset is refused."""
    assert format_time(parse_time("2026-01-01T01:00:00.123456789+01:00")) == "2026-01-01T00:00:00Z"
    assert parse_time("2026-01-01T00:00:00Z") == NEW_YEAR
    assert parse_time("2026-01-01T00:00:00Z").utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="offset"):
        parse_time("2026-01-01T00:00:00")


def test_no_time_is_written_as_nothing_or_in_words() -> None:
    """A document holds an empty text, a message says it."""
    assert format_time(None) == ""
    assert message_time(None) == "an unknown moment"
    assert message_time(NEW_YEAR.astimezone(timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00Z"


def test_deadlines_are_rounded_up() -> None:
    """A whole second stays; a part of one makes the next: later is safe, earlier is not."""
    assert round_up(NEW_YEAR) == NEW_YEAR
    assert round_up(NEW_YEAR + timedelta(microseconds=1)) == NEW_YEAR + timedelta(seconds=1)
    assert round_up(NEW_YEAR + timedelta(microseconds=999_999)) == NEW_YEAR + timedelta(seconds=1)


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
