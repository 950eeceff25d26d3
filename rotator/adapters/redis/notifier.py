"""
The feed of changes on Redis: a stream, a channel, and the positions announced last. Nothing here has authority.

Several rotators may share a Redis: a position stands in the field `<mount>/<prefix>/<keyset>`, and a hint names its source.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import redis

from rotator.adapters.circuit_breaker import Breaker
from rotator.adapters.redis.bounded import ReplyTooLargeError
from rotator.adapters.redis.connection import MAX_CONNECTIONS, TIMEOUT, RedisConnection, error_text
from rotator.adapters.redis.probe import findings
from rotator.documents.event import encode_event
from rotator.errors import NotificationError
from rotator.model.event import Event

STREAM_LENGTH = 10_000
MAX_POSITION = 128
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
        self._place_of = source.removeprefix("rotator/")
        self._place = connection.place
        self._breaker = Breaker()
        self._fault = ""
        # A silent Redis holds MAX_CONNECTIONS callers, each for its timeouts; the others wait one timeout for a turn.
        pool = redis.BlockingConnectionPool(MAX_CONNECTIONS, TIMEOUT, health_check_interval=30, **options)
        self._redis = redis.Redis(connection_pool=pool)

    @property
    def fault(self) -> str:
        """
        What the last call met, "" if it worked.
        """
        return self._fault

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
            transaction.hset(self._announced, self._field(event.keyset), f"{event.epoch}:{event.sequence}")
        with self._guarded():
            transaction.execute()

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the announced position of each of *keysets* that has one, as epoch:sequence.

        Anyone may have written them: what is too long for a position counts as none, so that it is written over.
        """
        found: dict[str, str] = {}
        names = iter(keysets)
        with self._guarded():
            while chunk := list(islice(names, _CHUNK)):
                found |= self._positions(chunk, [self._field(name) for name in chunk])
                # Versions of rotator before sources had the name of the keyset alone as the field.
                if missing := [name for name in chunk if name not in found]:
                    found |= self._positions(missing, missing)
        return found

    def _positions(self, names: list[str], fields: list[str]) -> Mapping[str, str]:
        try:
            values: Any = self._redis.hmget(self._announced, fields)
        except ReplyTooLargeError:
            return {}
        return {
            name: value.decode(errors="replace")
            for name, value in zip(names, values, strict=True)
            if isinstance(value, bytes) and 0 < len(value) <= MAX_POSITION
        }

    def forget(self, keyset: str) -> None:
        """
        Drop the announced position of *keyset*; what the stream holds of it is trimmed in time.
        """
        with self._guarded():
            self._redis.hdel(self._announced, self._field(keyset), keyset)

    def probe(self) -> tuple[str, ...]:
        """
        Return what is wrong with Redis, or which of our rights are missing there; empty if nothing. Changes nothing.
        """
        found = []
        if self._connection.in_clear:
            found.append(f"{self._place} is reached in clear text over a network; use rediss:// (and ca_file)")
        connection = None
        try:
            connection = self._redis.connection_pool.get_connection()
            found.extend(
                f"{self._place}: {finding}" for finding in findings(connection, self._channel, self._announced)
            )
        except Exception as error:  # noqa: BLE001 - a stranger's words may make redis-py raise anything
            found.append(f"{self._place}: {error_text(error)}")
        finally:
            if connection is not None:
                connection.disconnect()
                self._redis.connection_pool.release(connection)
        return tuple(dict.fromkeys(found))

    def close(self) -> None:
        """
        Close the connections.
        """
        self._redis.close()
        self._redis.connection_pool.disconnect()

    @property
    def _announced(self) -> str:
        return f"{self._channel}:announced"

    def _field(self, keyset: str) -> str:
        return f"{self._place_of}/{keyset}"

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if wait := self._breaker.enter():
            raise NotificationError(
                f"{self._fault or self._place} (failed lately; not tried again for {math.ceil(wait)} s)"
            )
        try:
            yield
        except Exception as error:
            self._fault = f"{self._place}: {error_text(error)}"
            self._breaker.failed()
            raise NotificationError(self._fault) from error
        else:
            self._fault = ""
            self._breaker.worked()
