"""
Hints over Redis that a keyset changed: the channel for speed, the stream's position against what the channel lost.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from rotator.adapters.cloud_events import decode_hint
from rotator.adapters.redis_events import PING_INTERVAL, HintListener
from rotator.errors import ConfigError
from rotator.secret import SecretText

MOST_MISSED = 1000


class RedisHints:
    """
    Where the daemon announces changes. Nothing it says is believed: a hint makes a reader read its source again.

    *source* tells whose events count, as in "rotator/<mount>/<prefix>"; None: anybody's. The ACL user needs
    `&CHANNEL %R~CHANNEL +subscribe +ping +xrange +xrevrange`; without the right to the stream the channel alone is used.
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        channel: str = "rotator:events",
        source: str | None = None,
        username: str = "",
        password: str = "",
        password_file: Path | str | None = None,
        ca_file: Path | str | None = None,
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._url, self._channel, self._source, self._username = url, channel, source, username
        self._password = read_password(password, password_file)
        self._ca_file = Path(ca_file) if ca_file else None
        self._ping_interval = ping_interval

    def listen(self, on_hint: Callable[[str, str, int], None], on_gap: Callable[[], None]) -> "StreamListener":
        """
        Listen from now on, in a thread of its own, until the listener is stopped; through any fault of Redis.
        """
        listener = StreamListener(
            self._url,
            self._channel,
            self._source,
            self._username,
            self._password,
            self._ca_file,
            on_hint=on_hint,
            on_gap=on_gap,
            ping_interval=self._ping_interval,
        )
        listener.start()
        return listener


class StreamListener(HintListener):
    """
    A HintListener that holds what it heard against the stream: at each ping it takes up the entries it has not seen.

    A stream that was lost, cut at its old end or begun anew under lower ids counts as a gap.
    """

    _position: str | None = None

    def _beat(self, client: redis.Redis) -> None:
        """
        Take up the entries after our position.
        """
        try:
            last = _first_id(client.xrevrange(self._channel, count=1))
            position, self._position = self._position, last
            if position is None or position == last:
                return
            missed: Any = client.xrange(self._channel, min=f"({position}", count=MOST_MISSED)
            oldest = _first_id(client.xrange(self._channel, count=1))
        except redis.exceptions.NoPermissionError:
            return
        except redis.ResponseError:  # something else lies under the stream's name
            self._on_gap()
            return
        if _order(last) < _order(position) or _order(oldest) > _order(position) or len(missed) == MOST_MISSED:
            self._on_gap()
        for _, fields in missed:
            event = fields.get(b"event", b"")
            if hint := decode_hint(event if isinstance(event, bytes) else b"", self._source):
                self._on_hint(*hint)


def read_password(password: str, file: Path | str | None) -> SecretText | None:
    """
    Return the password given, or the one in *file*, None where there is none.
    """
    if file is None:
        return SecretText(password) if password else None
    try:
        return SecretText(Path(file).read_text().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"password_file: {file} cannot be read ({type(error).__name__})") from None


def _first_id(entries: Any) -> str:
    return entries[0][0].decode() if entries else "0-0"


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
