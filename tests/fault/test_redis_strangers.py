"""
A Redis that strangers write to, too: nothing there ends a pass, costs much, or is believed; and what `check` finds.
"""

import json
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.listener import MAX_RATE
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.errors import NotificationError
from rotator.model.event import covers
from tests.support.redis_hints import CHANNEL, SOURCE, Heard, event, listening, until, within
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis

HASH = f"{CHANNEL}:announced"
FIELD = f"{SOURCE.removeprefix('rotator/')}/web"
LARGE = 64 * 1024 * 1024


@pytest.fixture(name="other")
def _other(fresh_redis: RedisServer) -> Iterator["redis.Redis"]:
    """
    The stranger.
    """
    with redis.Redis.from_url(fresh_redis.url) as client:
        yield client


@contextmanager
def notifying(server: RedisServer, **more: Any) -> Iterator[RedisNotifier]:
    """
    A notifier at *server*.
    """
    with closing(RedisNotifier(RedisConnection(server.url), more.pop("channel", CHANNEL), SOURCE)) as notifier:
        yield notifier


# -- positions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forged", [b"epoch-1:" + b"9" * 5000, b"\xff\xfe:\x00", b"", b"epoch-1:", b":", b"epoch-1:-1"])
def test_a_forged_position_is_written_over(fresh_redis: RedisServer, other: "redis.Redis", forged: bytes) -> None:
    """
    It counts as none, so the next announcement replaces it; under the name of before sources as well.
    """
    for field in (FIELD, "web"):
        other.delete(HASH)
        other.hset(HASH, field, forged)
        with notifying(fresh_redis) as notifier:
            position = notifier.announced(["web"]).get("web", "")
            assert not position.endswith(":4")
            notifier.announce(event(4))
            assert notifier.announced(["web"]) == {"web": "epoch-1:4"}


def test_a_huge_position_costs_nothing_and_is_written_over(fresh_redis: RedisServer, other: "redis.Redis") -> None:
    """
    64 MB under one name: not received, all of the request are announced again, and then it is gone.
    """
    other.hset(HASH, mapping={FIELD: b"9" * LARGE, f"{FIELD}-2": "epoch-1:4"})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with notifying(fresh_redis) as notifier, within(2):
        assert notifier.announced(["web", "web-2"]) == {}
        notifier.announce(event(4))
        assert notifier.announced(["web", "web-2"]) == {"web": "epoch-1:4", "web-2": "epoch-1:4"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGE // 1024 // 2


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_raises_anything_but_a_notification_error(redis_server: RedisServer, data: st.DataObject) -> None:
    """
    Any bytes as positions, and any type of key in place of hash and stream.
    """
    channel = f"fuzz-{uuid.uuid4().hex}"
    values = st.binary(max_size=300) | st.from_regex(rb"\Aepoch-1:[0-9]{1,40}\Z")
    with redis.Redis.from_url(redis_server.url) as other, notifying(redis_server, channel=channel) as notifier:
        for key in (channel, f"{channel}:announced"):
            match data.draw(st.sampled_from(["none", "text", "list", "set", "hash", "stream"])):
                case "text":
                    other.set(key, data.draw(values))
                case "list":
                    other.rpush(key, data.draw(values))
                case "set":
                    other.sadd(key, data.draw(values))
                case "hash":
                    other.hset(key, data.draw(st.sampled_from(["web", FIELD])), data.draw(values))
                case "stream":
                    other.xadd(key, {"event": data.draw(values)})
        keyset = type("Known", (), {"epoch": "epoch-1", "sequence": 4})()
        with suppress(NotificationError):
            covers(notifier.announced(["web"]).get("web", ""), keyset)
        with suppress(NotificationError):
            notifier.announce(event(4))
        assert all(isinstance(finding, str) for finding in notifier.probe())
        other.delete(channel, f"{channel}:announced")


def test_a_stream_that_takes_no_more_entries_still_moves_the_position(
    fresh_redis: RedisServer, other: "redis.Redis"
) -> None:
    """
    A stranger wrote the highest id there is: the message and the position come through, and the text has the way out.
    """
    other.xadd(CHANNEL, {"event": "{}"}, id=f"{2**64 - 1}-{2**64 - 1}")
    heard = Heard()
    with notifying(fresh_redis) as notifier, listening(fresh_redis.url, heard):
        until(lambda: heard.gaps)
        with pytest.raises(NotificationError, match="remove the stream"):
            notifier.announce(event(4))
        until(lambda: heard.hints)
        assert other.hget(HASH, FIELD) == b"epoch-1:4"


# -- two rotators ------------------------------------------------------------------------------------------------------


def test_two_rotators_keep_positions_of_their_own(fresh_redis: RedisServer, other: "redis.Redis") -> None:
    """
    The same keyset under two prefixes; a position of the time before sources counts until there is another.
    """
    other.hset(HASH, "web", "epoch-1:4")
    with notifying(fresh_redis) as prod:
        staging = RedisNotifier(RedisConnection(fresh_redis.url), CHANNEL, "rotator/secret/staging")
        assert prod.announced(["web"]) == staging.announced(["web"]) == {"web": "epoch-1:4"}
        staging.announce(event(9))
        assert prod.announced(["web"]) == {"web": "epoch-1:4"}
        assert staging.announced(["web"]) == {"web": "epoch-1:9"}
        staging.close()


# -- floods ------------------------------------------------------------------------------------------------------------


FLOOD = """
import redis, sys
client = redis.Redis.from_url(sys.argv[1])
while True:
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(1000):
            pipeline.publish(sys.argv[2], sys.argv[3])
        pipeline.execute()
"""


@pytest.mark.serial
def test_a_flood_of_hints_ends_the_subscription_for_a_while(fresh_redis: RedisServer) -> None:
    """
    Reading it would cost a core. The fault says why; once the flood is over, hints arrive again.
    """
    hint = json.dumps({"source": SOURCE, "data": {"keyset": "web", "epoch": "e", "sequence": 1}})
    heard = Heard()
    with listening(fresh_redis.url, heard) as listener:
        until(lambda: heard.gaps)
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, fresh_redis.url, CHANNEL, hint])
        try:
            until(lambda: f"more than {MAX_RATE} messages" in listener.fault)
            gaps, began = heard.gaps, time.process_time()
            time.sleep(4)
            assert heard.gaps - gaps <= 5
            assert time.process_time() - began < 2.5
        finally:
            flood.kill()
            flood.wait()
        with notifying(fresh_redis) as notifier:

            def heard_again() -> bool:
                notifier.announce(event(5))
                return any(hint.sequence == 5 for hint in heard.hints)

            until(heard_again, 35)


# -- what `check` finds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "kind"), [(CHANNEL, "stream"), (HASH, "hash")])
def test_a_key_of_another_type_is_found(fresh_redis: RedisServer, other: "redis.Redis", key: str, kind: str) -> None:
    """
    Another program's; its value stays.
    """
    other.set(key, "theirs")
    with notifying(fresh_redis) as notifier:
        (finding,) = notifier.probe()
    assert f"the key {key} is there and not a {kind}; remove it, or set another channel" in finding
    assert other.get(key) == b"theirs"


def test_a_sound_stream_is_no_finding_and_left_alone(fresh_redis: RedisServer, other: "redis.Redis") -> None:
    """
    With entries, and once there were some.
    """
    with notifying(fresh_redis) as notifier:
        notifier.announce(event(4))
        before = other.xrange(CHANNEL)
        assert notifier.probe() == ()
        assert other.xrange(CHANNEL) == before
        other.xtrim(CHANNEL, maxlen=0, approximate=False)
        assert notifier.probe() == ()
        assert other.xlen(CHANNEL) == 0


def test_a_replica_is_named(fresh_redis: RedisServer) -> None:
    """
    It takes no writes; the primary is the one to name.
    """
    with (
        RedisServer(fresh_redis.version, options=("--replicaof", "127.0.0.1", str(fresh_redis.port))) as replica,
        notifying(replica) as notifier,
    ):
        assert any("it is a replica, which takes no writes; name the primary in url" in f for f in notifier.probe())
        with pytest.raises(NotificationError, match="it is a replica"):
            notifier.announce(event(4))
        with pytest.raises(NotificationError, match=r"it is a replica, .* not tried again"):
            notifier.announce(event(4))
