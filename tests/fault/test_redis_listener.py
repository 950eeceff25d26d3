"""
Hints over a Redis that restarts, hangs or is hostile: a gap is noticed, and nothing forged comes through.
"""

import json
import socket
import time

import pytest
import redis

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.listener import HintListener
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.model.event import EventType, Hint
from tests.support.redis_hints import (
    AT_ONCE,
    BOUND,
    CHANNEL,
    PING,
    SOURCE,
    Failing,
    Heard,
    event,
    listening,
    until,
    within,
)
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis


# -- the listener ------------------------------------------------------------------------------------------------------


def test_a_hint_arrives(fresh_redis: RedisServer) -> None:
    """
    The first subscription is a gap, then every announcement is a hint.
    """
    notifier, heard = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE), Heard()
    with listening(fresh_redis.url, heard) as listener:
        assert listener.age is None or listener.age < BOUND
        until(lambda: heard.gaps)
        notifier.announce(event(4))
        notifier.announce(event(5, EventType.HELD))
        until(lambda: len(heard.hints) == 2)
        assert listener.age is not None
        assert listener.alive_since is not None
    assert heard.hints == [Hint("web", "epoch-1", 4), Hint("web", "epoch-1", 5)]
    assert heard.gaps == 1
    notifier.close()


def test_silence_is_no_fault(fresh_redis: RedisServer) -> None:
    """
    A Redis that has nothing to say answers pings: no gap, and its age stays below two intervals.
    """
    heard = Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps)
        deadline = time.monotonic() + 6 * PING
        while time.monotonic() < deadline:
            assert listener.age is not None
            assert listener.age < 2 * PING + AT_ONCE
            time.sleep(0.01)
    assert heard.gaps == 1


def test_a_restart_is_a_gap(fresh_redis: RedisServer) -> None:
    """
    After a crash of Redis the listener subscribes again, asks for a full reading, and hears hints again.
    """
    notifier, heard = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE), Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        fresh_redis.kill()
        until(lambda: listener.age is None)
        assert f"redis at 127.0.0.1:{fresh_redis.port}: " in listener.fault
        fresh_redis.start()
        until(lambda: heard.gaps == 2)
        notifier.announce(event())
        until(lambda: heard.hints)
        assert listener.fault == ""
    notifier.close()


def test_a_black_hole_is_noticed_within_two_pings(fresh_redis: RedisServer) -> None:
    """
    A Redis that stops answering without closing anything; when it is back there is a gap.
    """
    heard = Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        fresh_redis.pause()
        # Two intervals, a wait for messages, and the attempt of redis-py itself to connect again.
        with within(2 * PING + 0.5 + 2.5):
            until(lambda: listener.age is None)
        fresh_redis.resume()
        until(lambda: heard.gaps == 2)


def test_it_starts_before_redis_does(fresh_redis: RedisServer) -> None:
    """
    A listener without a Redis waits for one.
    """
    heard = Heard()
    fresh_redis.stop()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: listener.fault)
        fresh_redis.start()
        until(lambda: heard.gaps == 1)


def test_stopping_does_not_wait_for_a_black_hole() -> None:
    """
    Stopping a listener that was never started returns at once, too.
    """
    heard = Heard()
    with (
        socket.create_server(("127.0.0.1", 0)) as hole,
        listening(f"redis://127.0.0.1:{hole.getsockname()[1]}/0", heard),
    ):
        pass
    with within(AT_ONCE):
        HintListener(
            RedisConnection("redis://127.0.0.1:1/0"), CHANNEL, SOURCE, on_hint=heard.hint, on_gap=heard.gap
        ).stop()


GOOD = {"source": SOURCE, "data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4}}
FORGED: list[bytes] = [
    b"",
    b"no json",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"4",
    b'"text"',
    b"[" * 60_000,
    b"9" * 60_000,
    b'{"data": {}}',
    json.dumps(GOOD | {"source": "rotator/secret/other"}).encode(),
    json.dumps(GOOD | {"source": None}).encode(),
    json.dumps(GOOD | {"data": None}).encode(),
    json.dumps(GOOD | {"data": "keyset"}).encode(),
    json.dumps(GOOD | {"data": {"keyset": ["web"], "epoch": "epoch-1", "sequence": 4}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": 1, "sequence": 4}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": "4"}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": True}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4.5}}).encode(),
    json.dumps(GOOD | {"data": {"keyset": "web", "epoch": "epoch-1"}}).encode(),
    json.dumps(GOOD | {"padding": "x" * 64 * 1024}).encode(),
    b"x" * 1_000_000,
]


def test_forged_messages_are_ignored(fresh_redis: RedisServer) -> None:
    """
    Nothing malformed, oversized or of another source becomes a hint or ends the subscription.
    """
    heard = Heard()
    with redis.Redis.from_url(fresh_redis.url) as client, listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps)
        for message in FORGED:
            client.publish(CHANNEL, message)
        client.publish(CHANNEL, json.dumps(GOOD))
        until(lambda: heard.hints)
        assert listener.fault == ""
    assert heard.hints == [Hint("web", "epoch-1", 4)]
    assert heard.gaps == 1


def test_a_callback_that_fails_ends_no_thread(fresh_redis: RedisServer) -> None:
    """
    The failure counts as a gap, so that the daemon reads everything.
    """
    heard = Failing()
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps == 1)
        notifier.announce(event())
        until(lambda: "not now" in listener.fault)
        until(lambda: heard.gaps == 2)
    assert heard.hints == [Hint("web", "epoch-1", 4)]
    notifier.close()
