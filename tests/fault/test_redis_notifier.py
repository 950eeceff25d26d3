"""
Redis down, silent, full or forgetful: announcing never blocks for long, and a save keeps one id.
"""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.errors import NotificationError
from rotator.model.secret import SecretText
from tests.support.redis_hints import (
    AT_ONCE,
    BOUND,
    CHANNEL,
    SOURCE,
    Heard,
    Proxy,
    event,
    ids,
    listening,
    until,
    within,
)
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis


# -- the notifier ------------------------------------------------------------------------------------------------------


def test_down_fails_at_once_and_then_without_asking(fresh_redis: RedisServer) -> None:
    """
    A thousand keysets do not wait for a Redis that is down; the text names the address.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    fresh_redis.stop()
    with within(1.0):
        with pytest.raises(NotificationError, match=rf"^redis at 127.0.0.1:{fresh_redis.port}: connection refused$"):
            notifier.announce(event())
        for _ in range(1000):
            with pytest.raises(NotificationError, match="failed lately"):
                notifier.announced(["web"])
    notifier.close()


def test_it_works_again_after_the_back_off(fresh_redis: RedisServer) -> None:
    """
    Once Redis is back, announcing succeeds within the next tries.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    fresh_redis.stop()
    with pytest.raises(NotificationError):
        notifier.announce(event())
    fresh_redis.start()

    def announced() -> bool:
        with suppress(NotificationError):
            notifier.announce(event())
            return True
        return False

    until(announced, 5)
    assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"]
    assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
    notifier.close()


def test_a_restart_between_two_announcements_loses_none(fresh_redis: RedisServer) -> None:
    """
    A connection that died while it was idle is noticed before it is used.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    notifier.announce(event(4))
    fresh_redis.restart()
    notifier.announce(event(5))
    assert ids(fresh_redis.url) == ["op-4/rotator.key.activated", "op-5/rotator.key.activated"]
    notifier.close()


def test_a_flushed_redis_has_no_positions(fresh_redis: RedisServer) -> None:
    """
    The daemon compares them with the store, and announces again.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    notifier.announce(event())
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.flushall()
    assert notifier.announced(["web"]) == {}
    notifier.announce(event())
    assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
    notifier.close()


def test_a_hanging_redis_blocks_no_caller_for_long(fresh_redis: RedisServer) -> None:
    """
    More callers at once than there are connections all come back within a few timeouts, and the next at once.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    notifier.announce(event())
    fresh_redis.pause()

    def call(_: int) -> str:
        with pytest.raises(NotificationError) as caught:
            notifier.announce(event(5))
        return str(caught.value)

    with ThreadPoolExecutor(16) as workers, within(BOUND):
        texts = list(workers.map(call, range(16)))
    assert any("timeout" in text for text in texts)
    with within(AT_ONCE), pytest.raises(NotificationError, match="failed lately"):
        notifier.announced(["web"])
    fresh_redis.resume()
    notifier.close()


def test_a_peer_that_never_answers_blocks_no_caller_for_long() -> None:
    """
    A black hole: the connection is made and nothing ever comes back.
    """
    with socket.create_server(("127.0.0.1", 0)) as hole:
        notifier = RedisNotifier(RedisConnection(f"redis://127.0.0.1:{hole.getsockname()[1]}/0"), CHANNEL, SOURCE)
        with within(BOUND), pytest.raises(NotificationError, match="timeout"):
            notifier.announced(["web"])
        notifier.close()


def test_a_lost_reply_makes_duplicates_of_one_id_only(fresh_redis: RedisServer) -> None:
    """
    The notifier sends nothing twice by itself; announcing again after a lost reply uses the same id.
    """
    with Proxy(fresh_redis.port) as proxy:
        notifier = RedisNotifier(RedisConnection(f"redis://127.0.0.1:{proxy.port}/0"), CHANNEL, SOURCE)
        notifier.announced(["web"])
        proxy.lose_replies = True
        with pytest.raises(NotificationError):
            notifier.announce(event())
        assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"]
        proxy.lose_replies = False
        notifier = RedisNotifier(RedisConnection(f"redis://127.0.0.1:{proxy.port}/0"), CHANNEL, SOURCE)
        notifier.announce(event())
        assert ids(fresh_redis.url) == ["op-4/rotator.key.activated"] * 2
        notifier.close()


def test_a_full_redis_takes_nothing_in_part(fresh_redis: RedisServer) -> None:
    """
    Out of memory: stream and position stay, no message is published, and the text says what Redis says.
    """
    notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
    with redis.Redis.from_url(fresh_redis.url) as client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL)
        subscription.get_message(timeout=5)
        client.config_set("maxmemory", "1")
        with pytest.raises(NotificationError, match="command not allowed when used memory > 'maxmemory'"):
            notifier.announce(event())
        assert any("maxmemory" in finding for finding in notifier.probe())
        client.config_set("maxmemory", "0")
        assert client.exists(CHANNEL, f"{CHANNEL}:announced") == 0
        assert subscription.get_message(timeout=AT_ONCE) is None
    notifier.close()


def test_a_key_of_another_kind_is_an_error(fresh_redis: RedisServer) -> None:
    """
    Another program's key under our name is reported, not overwritten.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.set(CHANNEL, "theirs")
        notifier = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, SOURCE)
        with pytest.raises(NotificationError, match="WRONGTYPE"):
            notifier.announce(event())
        assert client.get(CHANNEL) == b"theirs"
    notifier.close()


def test_a_wrong_password_says_what_to_correct_and_not_itself(fresh_redis: RedisServer) -> None:
    """
    The text and its causes name the options, and never what was in them.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "rotator", "reset", "on", ">right", "~*", "&*", "+@all")
    good = RedisNotifier(RedisConnection(fresh_redis.url, "rotator", SecretText("right")), CHANNEL, SOURCE)
    good.announce(event())
    bad = RedisNotifier(RedisConnection(fresh_redis.url, "rotator", SecretText("wrong-word")), CHANNEL, SOURCE)
    with pytest.raises(NotificationError, match="password_file") as caught:
        bad.announce(event())
    assert "wrong-word" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert any("password_file" in finding for finding in bad.probe())
    for notifier in (good, bad):
        notifier.close()


def test_the_named_permissions_are_enough(fresh_redis: RedisServer) -> None:
    """
    A user with what a refusal says to grant, and nothing else, announces, reads positions and listens.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "none", "reset", "on", ">pw", "resetchannels", "+ping")
        poor = RedisNotifier(RedisConnection(fresh_redis.url, "none", SecretText("pw")), CHANNEL, SOURCE)
        granted = next(iter(poor.probe())).rpartition(": ")[2].replace("CHANNEL", CHANNEL).split()
        client.execute_command("ACL", "SETUSER", "enough", "reset", "on", ">pw", "resetchannels", *granted)
    notifier = RedisNotifier(RedisConnection(fresh_redis.url, "enough", SecretText("pw")), CHANNEL, SOURCE)
    assert notifier.probe() == ()
    heard = Heard()
    with listening(fresh_redis.url, heard, username="enough", password=SecretText("pw")) as listener:
        until(lambda: heard.gaps)
        notifier.announce(event())
        assert notifier.announced(["web"]) == {"web": "epoch-1:4"}
        until(lambda: heard.hints)
        assert listener.fault == ""
    for closed in (poor, notifier):
        closed.close()
