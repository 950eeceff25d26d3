"""
Hints from Redis: what is passed on, what is ignored, and every subscription a gap.
"""

import json
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from rotator.adapters.redis.connection import PING_INTERVAL, RedisConnection
from rotator.adapters.redis.listener import HintListener
from rotator.errors import ConfigError
from rotator.model.event import Hint
from tests.support.redis_hints import CHANNEL, SOURCE, until
from tests.support.redis_peer import RedisPeer, message

GOOD = {"source": SOURCE, "data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4}}


class Heard:
    """
    What a listener passed on: hints and gaps in the order in which they came, a gap as None.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._queue: queue.SimpleQueue[Hint | None] = queue.SimpleQueue()

    def hint(self, hint: Hint) -> None:
        """
        Accept a hint, or fail.
        """
        self._queue.put(hint)
        if self.error:
            raise self.error

    def gap(self) -> None:
        """
        Accept a gap.
        """
        self._queue.put(None)

    def next(self) -> Hint | None:
        """
        Wait for the next of them.
        """
        return self._queue.get(timeout=10)

    @property
    def nothing_more(self) -> bool:
        """
        Whether all were asked for.
        """
        return self._queue.empty()


@pytest.fixture(name="peer")
def _peer() -> Iterator[RedisPeer]:
    """
    A sound Redis.
    """
    with RedisPeer() as peer:
        yield peer


@contextmanager
def listening(
    peer: RedisPeer,
    heard: Heard,
    source: str | None = SOURCE,
    *,
    ping_interval: float = PING_INTERVAL,
    kind: type[HintListener] = HintListener,
) -> Iterator[HintListener]:
    """
    A running listener at *peer*.
    """
    connection = RedisConnection(peer.url)
    listener = kind(connection, CHANNEL, source, on_hint=heard.hint, on_gap=heard.gap, ping_interval=ping_interval)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
    assert not listener._thread.is_alive()


def test_the_first_subscription_is_a_gap_and_then_hints_arrive(peer: RedisPeer) -> None:
    """
    Decoded, in their order; the age of the last answer is known.
    """
    heard = Heard()
    with listening(peer, heard) as listener:
        assert heard.next() is None
        peer.say(message(CHANNEL, json.dumps(GOOD)))
        peer.say(message(CHANNEL, json.dumps(GOOD | {"data": {"keyset": "api", "epoch": "e", "sequence": 7}})))
        assert heard.next() == Hint("web", "epoch-1", 4)
        assert heard.next() == Hint("api", "e", 7)
        assert listener.alive_since is not None
        assert listener.age is not None
        assert 0 <= listener.age < PING_INTERVAL
        assert listener.fault == ""
        stopped = listener
    assert stopped.alive_since is None
    assert stopped.age is None
    assert peer.named("SUBSCRIBE") == [("SUBSCRIBE", CHANNEL)]
    assert heard.nothing_more


FOREIGN = (
    json.dumps(GOOD | {"source": "rotator/secret/other"}),
    json.dumps(GOOD | {"source": None}),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": "4"}}),
    "no json",
    "",
)


def test_what_is_foreign_or_no_hint_is_ignored(peer: RedisPeer) -> None:
    """
    It ends no subscription either.
    """
    heard = Heard()
    with listening(peer, heard) as listener:
        assert heard.next() is None
        for text in FOREIGN:
            peer.say(message(CHANNEL, text))
        peer.say(message(CHANNEL, json.dumps(GOOD)))
        assert heard.next() == Hint("web", "epoch-1", 4)
        assert listener.fault == ""
    assert heard.nothing_more
    assert peer.connections == 1


def test_without_a_source_every_source_counts(peer: RedisPeer) -> None:
    """
    Consumers of one keyset need not know who writes it.
    """
    heard = Heard()
    with listening(peer, heard, None):
        assert heard.next() is None
        peer.say(message(CHANNEL, json.dumps(GOOD | {"source": "anyone"})))
        assert heard.next() == Hint("web", "epoch-1", 4)


def test_a_new_subscription_is_a_gap(peer: RedisPeer) -> None:
    """
    What was published in between is lost; until then the fault names the server.
    """
    heard = Heard()
    with listening(peer, heard) as listener:
        assert heard.next() is None
        peer.drop()
        until(lambda: listener.fault and listener.age is None)
        assert listener.fault.startswith(f"{peer.place}: ")
        assert heard.next() is None
        assert listener.fault == ""
        peer.say(message(CHANNEL, json.dumps(GOOD)))
        assert heard.next() == Hint("web", "epoch-1", 4)
    assert peer.connections >= 2


def test_a_peer_that_answers_no_pings_is_left(peer: RedisPeer) -> None:
    """
    After two intervals, though nothing was closed.
    """
    heard = Heard()
    peer.replies["PING"] = b""
    with listening(peer, heard, ping_interval=0.05) as listener:
        assert heard.next() is None
        until(lambda: listener.fault)
        assert listener.fault == f"{peer.place}: no pong"
        assert listener.alive_since is None
    assert ("PING", "hints") in peer.commands


def test_a_fault_is_told_once(peer: RedisPeer) -> None:
    """
    However often it is met again.
    """
    heard, told = Heard(), queue.SimpleQueue[str]()
    peer.replies["SUBSCRIBE"] = b"-NOPERM no permissions\r\n"
    connection = RedisConnection(peer.url)
    listener = HintListener(connection, CHANNEL, SOURCE, on_hint=heard.hint, on_gap=heard.gap)
    listener.on_fault = told.put
    listener.start()
    until(lambda: len(peer.named("SUBSCRIBE")) >= 2)
    listener.stop()
    assert told.get_nowait().startswith(f"{peer.place}: no permissions; give it the channel")
    assert told.empty()


def test_a_refused_subscription_is_no_gap(peer: RedisPeer) -> None:
    """
    The fault says what permissions are missing.
    """
    heard = Heard()
    peer.replies["SUBSCRIBE"] = b"-NOPERM no permissions\r\n"
    with listening(peer, heard) as listener:
        until(lambda: listener.fault)
        assert listener.fault.startswith(f"{peer.place}: no permissions; give it the channel")
        assert listener.alive_since is None
    assert heard.nothing_more


def test_a_callback_that_fails_ends_the_connection_only(peer: RedisPeer) -> None:
    """
    The thread subscribes again, which is a gap.
    """
    heard = Heard()
    heard.error = RuntimeError("not now")
    with listening(peer, heard) as listener:
        assert heard.next() is None
        peer.say(message(CHANNEL, json.dumps(GOOD)))
        assert heard.next() == Hint("web", "epoch-1", 4)
        until(lambda: "not now" in listener.fault)
        assert heard.next() is None


class Beating(HintListener):
    """
    A listener that does something at each beat.
    """

    def _beat(self, client: object) -> None:
        del client
        beats.put(self.alive_since is not None)


beats: "queue.SimpleQueue[bool]" = queue.SimpleQueue()


def test_a_subclass_beats_after_a_subscription_and_at_each_ping(peer: RedisPeer) -> None:
    """
    The subscription is known by then.
    """
    with listening(peer, Heard(), ping_interval=0.05, kind=Beating):
        assert [beats.get(timeout=10) for _ in range(3)] == [True, True, True]
    assert peer.named("PING")


def test_it_ends_though_it_was_never_started_or_waits_for_redis() -> None:
    """
    Stopping does not wait for the back-off.
    """
    heard = Heard()
    connection = RedisConnection("redis://127.0.0.1:1/0")
    for started in (False, True):
        listener = HintListener(connection, CHANNEL, SOURCE, on_hint=heard.hint, on_gap=heard.gap)
        if started:
            listener.start()
            until(partial(getattr, listener, "fault"))
            assert listener.fault == "redis at 127.0.0.1:1: connection refused"
        begin = time.monotonic()
        listener.stop()
        assert time.monotonic() - begin < 0.5
        assert not listener._thread.is_alive()
    assert heard.nothing_more


def test_a_url_that_is_none_is_a_fault_of_the_configuration() -> None:
    """
    Before anything is started.
    """
    heard = Heard()
    with pytest.raises(ConfigError, match=r"^url: "):
        HintListener(RedisConnection("http://host"), CHANNEL, SOURCE, on_hint=heard.hint, on_gap=heard.gap)
