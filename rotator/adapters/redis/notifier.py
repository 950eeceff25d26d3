"""
The feed of changes on Redis: a stream, a channel, and the positions announced last. Nothing here has authority.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import redis

from rotator.adapters.circuit_breaker import Breaker
from rotator.adapters.redis.connection import FAULTS, MAX_CONNECTIONS, TIMEOUT, RedisConnection, error_text
from rotator.documents.event import encode_event
from rotator.errors import NotificationError
from rotator.model.event import Event

STREAM_LENGTH = 10_000
_CHUNK = 1000


class RedisNotifier:
    """
    The Notifier on Redis. After a failure calls fail at once until a back-off has passed, then one of them probes.

    A call on a Redis that is down or silent ends within a few timeouts of 1 s. Nothing is retried here: an announcement
    is repeated from what is stored. Raises ConfigError on construction unless *connection* has the address of a Redis.
    """

    def __init__(self, connection: RedisConnection, channel: str, source: str) -> None:
        options = connection.options()
        self._connection = connection
        self._channel = channel
        self._source = source
        self._place = connection.place
        self._breaker = Breaker()
        # A silent Redis holds MAX_CONNECTIONS callers, each for its timeouts; the others wait one timeout for a turn.
        pool = redis.BlockingConnectionPool(MAX_CONNECTIONS, TIMEOUT, health_check_interval=30, **options)
        self._redis = redis.Redis(connection_pool=pool)

    def announce(self, event: Event) -> None:
        """
        Append *event* to the stream, publish it, and move the announced position, in one transaction.

        An event without a save (held, overdue) moves no position. An older position may overwrite a newer one: the only
        effect is one more announcement.
        """
        text = encode_event(event, self._source)
        transaction = self._redis.pipeline(transaction=True)
        transaction.xadd(self._channel, {"event": text}, maxlen=STREAM_LENGTH, approximate=True)
        transaction.publish(self._channel, text)
        if event.type.tells_of_save:
            transaction.hset(self._announced, event.keyset, f"{event.epoch}:{event.sequence}")
        with self._guarded():
            transaction.execute()

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the announced position of each of *keysets* that has one, as epoch:sequence.
        """
        found: dict[str, str] = {}
        names = iter(keysets)
        with self._guarded():
            while chunk := list(islice(names, _CHUNK)):
                positions: Any = self._redis.hmget(self._announced, chunk)
                found |= {name: p.decode(errors="replace") for name, p in zip(chunk, positions, strict=True) if p}
        return found

    def probe(self) -> tuple[str, ...]:
        """
        Return what is wrong with Redis, or which of our rights are missing there; empty if nothing. Changes nothing.

        Each command is queued in a transaction that is never executed: Redis judges permissions when it queues.
        """
        found = []
        if self._connection.in_clear:
            found.append(f"{self._place} is reached in clear text over a network; use rediss:// (and ca_file)")
        try:
            found.extend(self._refusals())
        except FAULTS as error:
            found.append(f"{self._place}: {error_text(error)}")
        return tuple(found)

    def close(self) -> None:
        """
        Close the connections.
        """
        self._redis.close()
        self._redis.connection_pool.disconnect()

    @property
    def _announced(self) -> str:
        return f"{self._channel}:announced"

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if wait := self._breaker.enter():
            raise NotificationError(f"{self._place} failed lately and is not tried again for {math.ceil(wait)} s")
        try:
            yield
        except FAULTS as error:
            self._breaker.failed()
            raise NotificationError(f"{self._place}: {error_text(error)}") from error
        else:
            self._breaker.worked()

    def _refusals(self) -> Iterator[str]:
        connection = self._redis.connection_pool.get_connection()
        commands = (
            ("PING",),
            ("MULTI",),
            ("EXEC",),
            ("MULTI",),
            ("XADD", self._channel, "MAXLEN", "~", STREAM_LENGTH, "*", "event", ""),
            ("PUBLISH", self._channel, ""),
            ("HSET", self._announced, "", ""),
            ("HMGET", self._announced, ""),
            ("SUBSCRIBE", self._channel),
        )
        try:
            for command in commands:
                connection.send_command(*command)
                try:
                    connection.read_response()
                except redis.ResponseError as error:
                    yield f"{self._place}: {command[0].lower()} is refused: {error_text(error)}"
        finally:
            connection.disconnect()
            self._redis.connection_pool.release(connection)
