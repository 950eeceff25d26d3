"""
Moments and durations: how they are read, written and rounded.
"""

import math
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
SECOND = timedelta(seconds=1)
MAX_DURATION = timedelta(days=36500)
MIN_BACKOFF, MAX_BACKOFF = timedelta(seconds=1), timedelta(seconds=30)


def parse_duration(text: object) -> timedelta:
    """
    Return the duration that *text* names: a whole number and one unit of s, m, h, d, w ("20s", "15m", "30d").

    Raises ValueError for anything else, a number without a unit included.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('must be a whole number and a unit of s, m, h, d or w, as in "20s", "15m", "30d"')
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > MAX_DURATION.total_seconds():  # compared before, for a timedelta of it might overflow
        raise ValueError("must be at most 36500d")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """
    Return *duration* in the largest unit up to days that divides it, as `parse_duration` reads it.
    """
    seconds = int(duration.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def format_time(at: datetime | None) -> str:
    """
    Return *at* as RFC 3339 in UTC with whole seconds, "" for None.
    """
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """
    Return the moment that an RFC 3339 text names, in UTC; fractions of any length are cut to microseconds.

    Raises ValueError for anything else, a time without an offset included.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at.astimezone(UTC)


def round_up(at: datetime) -> datetime:
    """
    Return *at* in whole seconds, rounded up, as deadlines and `published_at` are.
    """
    return datetime.fromtimestamp(math.ceil(at.timestamp()), UTC)


def message_time(at: datetime | None) -> str:
    """
    Return *at* as `format_time` writes it, or "an unknown moment" for None, for a message to a person.
    """
    return format_time(at) or "an unknown moment"


def backoff(failures: int, cap: timedelta = MAX_BACKOFF, *, jitter: float = 1.0) -> timedelta:
    """
    Return how long to wait after so many failures in a row: from 1 s, doubling, up to *cap* and 30 s; never below 1 s.

    *jitter* shortens the wait, so that many callers do not return at once: a random number from 0 to 1 ("full jitter"),
    or 1 for the longest wait.
    """
    longest = min(MAX_BACKOFF, cap, MIN_BACKOFF * (1 << min(failures - 1, 10)))
    return max(MIN_BACKOFF, longest * jitter)
