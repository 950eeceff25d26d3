"""
Hints of changes, heard on Redis.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from rotator.adapters.circuit_breaker import random_backoff
from rotator.adapters.redis.connection import PING_INTERVAL, TIMEOUT, connection_options, error_text, place_of
from rotator.documents.event import decode_hint
from rotator.model.event import EventType
from rotator.model.secret import SecretText

_LISTEN = 0.5


_MOVES_NOTHING = frozenset({EventType.HELD, EventType.OVERDUE})


class HintListener:
    """
    Listens for hints in a thread of its own, from `start` to `stop`, through any fault of Redis.

    *on_hint* gets the keyset, epoch and sequence that a message names, true or forged, from *source* or (None) anybody;
    *on_gap* is called after every (re)subscription, since hints in between are lost. Both must be quick; what they raise
    ends the connection.
    `alive_since` is when the subscription began, None while there is none; `fault` then says what ended the last one.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        source: str | None,
        username: str = "",
        password: SecretText | None = None,
        ca_file: Path | None = None,
        *,
        on_hint: Callable[[str, str, int], None],
        on_gap: Callable[[], None],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._channel = channel
        self._source = source
        self._on_hint = on_hint
        self._on_gap = on_gap
        self._ping_interval = ping_interval
        self._options = connection_options(url, username, password, ca_file)
        self._place = place_of(self._options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._heard_at = 0.0
        self.alive_since: datetime | None = None
        self.fault = ""

    @property
    def age(self) -> float | None:
        """
        Seconds since Redis was heard, at most two ping intervals; None while there is no subscription.
        """
        return None if self.alive_since is None else time.monotonic() - self._heard_at

    def start(self) -> None:
        """
        Begin to listen; returns at once.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End the thread; returns within about a second, or two timeouts while a connection is being made.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * TIMEOUT)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection only
                self.fault = f"{self._place}: {error_text(error)}"
            failures = 1 if self.alive_since else failures + 1
            self.alive_since = None
            self._stopping.wait(random_backoff(failures))

    def _listen(self) -> None:
        client = redis.Redis(connection_pool=redis.ConnectionPool(max_connections=2, **self._options))
        with client, client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            pinged_at = self._heard_at = time.monotonic()
            while not self._stopping.is_set():
                now = time.monotonic()
                # redis-py never notices a silent peer here: its own health check counts unanswered pings and goes on.
                if now - self._heard_at >= 2 * self._ping_interval:
                    raise redis.TimeoutError("no pong")
                if now - pinged_at >= self._ping_interval:
                    subscription.ping("hints")
                    self._beat(client)
                    pinged_at = now
                message = subscription.get_message(timeout=min(_LISTEN, self._ping_interval))
                if message is not None:
                    self._heard_at = time.monotonic()
                    self._take(message)
                    if message["type"] == "subscribe":
                        self._beat(client)

    def _beat(self, client: "redis.Redis") -> None:
        """
        Do what is to be done after a subscription and at each ping; nothing here, and something where streams are read.
        """

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.alive_since, self.fault = datetime.now(UTC), ""
            self._on_gap()
        elif message["type"] == "message" and (hint := decode_hint(message["data"], self._source)):
            self._on_hint(*hint)
