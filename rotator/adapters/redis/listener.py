"""
Hints of changes, received from Redis.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import redis

from rotator.adapters.circuit_breaker import random_backoff
from rotator.adapters.redis.bounded import ReplyTooLargeError
from rotator.adapters.redis.connection import PING_INTERVAL, TIMEOUT, RedisConnection, error_text
from rotator.documents.event import decode_hint
from rotator.model.event import Hint

_LISTEN = 0.5
# More messages than this in a second are a flood: reading them would cost a core, and polls find changes as well.
MAX_RATE = 5000


class _FloodError(Exception):
    """
    More messages come than a sound rotator sends.
    """


class HintListener:
    """
    Listens for hints in a thread of its own, from `start` to `stop`, through any fault of Redis.

    *on_hint* is called with each hint on *channel* from *source* (None: from any), true or forged; *on_gap* after every
    (re)subscription, since hints in between are lost. Both must be quick; what they raise ends the connection.
    `on_fault`, if set, is told what ended a subscription or kept one from beginning, unless it was told the same last.
    `alive_since` is when the subscription began, None without one; `fault` then says what ended the last one. A flood
    of messages ends it as well, and so seldom is it begun again while the flood lasts that it costs little.
    Raises ConfigError on construction unless *connection* has the address of a Redis.
    """

    def __init__(
        self,
        connection: RedisConnection,
        channel: str,
        source: str | None,
        *,
        on_hint: Callable[[Hint], None],
        on_gap: Callable[[], None],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._channel = channel
        self._source = source
        self._on_hint = on_hint
        self._on_gap = on_gap
        self._ping_interval = ping_interval
        self._options = connection.options()
        self._place = connection.place
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._heard_at = 0.0
        self.alive_since: datetime | None = None
        self.fault = ""
        self._told = ""
        self.on_fault: Callable[[str], object] | None = None

    @property
    def age(self) -> float | None:
        """
        Seconds since Redis answered, at most two ping intervals; None without a subscription.
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
            flooded = False
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection only
                self._failed(f"{self._place}: {error_text(error)}")
                flooded = isinstance(error, _FloodError | ReplyTooLargeError)
            failures = 1 if self.alive_since and not flooded else failures + 1
            self.alive_since = None
            self._stopping.wait(random_backoff(failures))

    def _failed(self, fault: str) -> None:
        if self.on_fault is not None and fault != self._told:
            self.on_fault(fault)
            self._told = fault
        self.fault = fault

    def _listen(self) -> None:
        client = redis.Redis(connection_pool=redis.ConnectionPool(max_connections=2, **self._options))
        with client, client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            pinged_at = self._heard_at = counted_from = time.monotonic()
            count = 0
            while not self._stopping.is_set():
                now = time.monotonic()
                # redis-py never notices a silent peer here: its own health check counts unanswered pings and goes on.
                if now - self._heard_at >= 2 * self._ping_interval:
                    raise redis.TimeoutError("no pong")
                if now - pinged_at >= self._ping_interval:
                    subscription.ping("hints")
                    self._beat(client)
                    pinged_at = now
                if now - counted_from >= 1.0:
                    counted_from, count = now, 0
                message = subscription.get_message(timeout=min(_LISTEN, self._ping_interval))
                if message is not None:
                    self._heard_at = time.monotonic()
                    count += 1
                    if count > MAX_RATE:
                        raise _FloodError(
                            f"more than {MAX_RATE} messages a second on {self._channel}; find out who sends them"
                        )
                    self._handle(message)
                    if message["type"] == "subscribe":
                        self._beat(client)

    def _beat(self, client: "redis.Redis") -> None:
        """
        Do what a subclass does after a subscription and at each ping; nothing here.
        """

    def _handle(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.alive_since, self.fault = datetime.now(UTC), ""
            self._on_gap()
        elif message["type"] == "message" and (hint := decode_hint(message["data"], self._source)):
            self._on_hint(hint)
