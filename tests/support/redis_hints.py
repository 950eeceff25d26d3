"""
An event to announce, who hears of it, and a proxy that loses replies.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import redis

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.listener import HintListener
from rotator.model.event import Event, EventType, Hint
from tests.support.fakes import START

CHANNEL = "rotator:events"
SOURCE = "rotator/secret/rotator"
AT_ONCE = 0.1
BOUND = 4.0
PING = 0.2


def event(sequence: int = 4, kind: EventType = EventType.ACTIVATED) -> Event:
    """
    An event of one save.
    """
    return Event(kind, f"op-{sequence}/{kind.value}", "web", "epoch-1", sequence, START, "kid-1")


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """
    Wait for *condition*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """
    Fail when the block takes longer.
    """
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def ids(url: str) -> list[str]:
    """
    The ids of all events in the stream.
    """
    with redis.Redis.from_url(url) as client:
        return [json.loads(fields[b"event"])["id"] for _, fields in client.xrange(CHANNEL)]


class Heard:
    """
    What a listener passed on.
    """

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.gaps = 0

    def hint(self, hint: Hint) -> None:
        """
        Take a hint.
        """
        self.hints.append(hint)

    def gap(self) -> None:
        """
        Take a gap.
        """
        self.gaps += 1


class Failing(Heard):
    """
    A listener's owner that cannot take hints.
    """

    def hint(self, hint: Hint) -> None:
        """
        Take a hint and fail.
        """
        super().hint(hint)
        raise RuntimeError("not now")


@contextmanager
def listening(url: str, heard: Heard, **more: Any) -> Iterator[HintListener]:
    """
    A running listener with a short ping interval.
    """
    listener = HintListener(
        RedisConnection(url, **more),
        CHANNEL,
        SOURCE,
        on_hint=heard.hint,
        on_gap=heard.gap,
        ping_interval=PING,
    )
    listener.start()
    try:
        yield listener
    finally:
        with within(2.5):
            listener.stop()


class Proxy:
    """
    Stands between a client and a Redis; with `lose_replies` requests pass and the connection ends before the reply.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.lose_replies = False
        self.requests = 0
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self._context:
                client = self._context.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                while data := client.recv(65536):
                    self.requests += 1
                    server.sendall(data)
                    reply = server.recv(65536)
                    if self.lose_replies:
                        return
                    client.sendall(reply)
