"""
Hints over Redis that a keyset changed: the channel brings them at once, the stream those that the channel lost.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from rotator.adapters.files.reading import read_regular
from rotator.adapters.redis.bounded import ReplyTooLargeError
from rotator.adapters.redis.connection import PING_INTERVAL, RedisConnection
from rotator.adapters.redis.listener import HintListener
from rotator.client.arguments import require_names, require_redis, require_seconds
from rotator.documents.event import decode_hint
from rotator.errors import ConfigError
from rotator.model.event import Hint
from rotator.model.secret import SecretText

MAX_MISSED = 100
# The position if there is no stream, or none that we may read.
_NOWHERE = b""


class RedisHints:
    """
    The Redis where the daemon announces changes.

    A hint is never trusted: it only makes a reader refresh from its source.

    *source* says which daemon's events count, as in "rotator/<mount>/<prefix>"; None means that of the reader's
    VaultSource, and for other sources of keys all of the channel. The ACL user needs
    `&CHANNEL ~CHANNEL +subscribe +ping +xrevrange`; without the right to the stream the channel alone is used.
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
        require_redis(url, username, password, ca_file)
        require_names(channel=channel)
        require_seconds(ping_interval=ping_interval)
        if not ping_interval:
            raise ConfigError("ping_interval: must be more than 0 seconds")
        if source is not None:
            require_names(source=source)
        self._channel, self._source, self._ping_interval = channel, source, ping_interval
        ca = Path(ca_file) if ca_file else None
        self._connection = RedisConnection(url, username, read_password(password, password_file), ca)
        self._connection.options()  # raises ConfigError if the address is wrong

    def listen(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> "StreamListener":
        """
        Listen in a thread of its own until the listener is stopped; it reconnects after any fault of Redis.
        """
        listener = StreamListener(
            self._connection,
            self._channel,
            self._source,
            on_hint=on_hint,
            on_gap=on_gap,
            ping_interval=self._ping_interval,
        )
        listener.start()
        return listener


class StreamListener(HintListener):
    """
    A HintListener that also reads the stream: at each ping it passes on the entries that it has not seen.

    A stream that was lost, trimmed past our position, begun again or replaced by something else counts as a gap, once.
    """

    # The id of the latest entry as of the last ping, None before the first.
    _position: bytes | None = None

    def _beat(self, client: redis.Redis) -> None:
        """
        Pass on the entries after our position.
        """
        latest = self._entries(client, b"-", 1)
        before, self._position = self._position, latest[0][0] if latest else _NOWHERE
        if before is None or before == self._position:
            return
        # From the latest down to our position, which is there unless the stream is another one, or was trimmed.
        entries = self._entries(client, before, MAX_MISSED + 1) if before else []
        if not entries or entries[-1][0] != before:
            self._on_gap()
            return
        for _, fields in reversed(entries[:-1]):
            event = fields.get(b"event", b"")
            if hint := decode_hint(event, self._source):
                self._on_hint(hint)

    def _entries(self, client: redis.Redis, oldest: bytes, count: int) -> list[Any]:
        """
        Return at most *count* entries, from the latest down to *oldest*; none if there is no stream that we may read.
        """
        try:
            entries: Any = client.xrevrange(self._channel, min=oldest.decode(), count=count)
        except (
            redis.ResponseError,
            ReplyTooLargeError,
        ):  # no right to it, another type of value, or a stranger's entry
            return []
        return list(entries)


def read_password(password: str, file: Path | str | None) -> SecretText | None:
    """
    Return the password given, or the one in *file*; None if there is neither.
    """
    if file is None:
        return SecretText(password) if password else None
    try:
        return SecretText(read_regular(file).decode().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"password_file: {file} cannot be read ({type(error).__name__})") from None
