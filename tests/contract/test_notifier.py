"""
What every notifier promises, asked of the one on Redis and of the fake that other tests use.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.model.event import Event, EventType
from rotator.ports.notifier import Notifier
from tests.support.fakes import START, MemoryNotifier
from tests.support.servers.redis import VERSIONS, RedisServer

SOURCE = "rotator/secret/rotator"


def event(kind: EventType = EventType.ACTIVATED, sequence: int = 4, keyset: str = "web", **more: str) -> Event:
    """
    An event of one save.
    """
    return Event(kind, f"op-{sequence}/{kind.value}", keyset, "epoch-1", sequence, START + timedelta(seconds=5), **more)


@pytest.fixture(name="channel")
def _channel() -> str:
    """
    A channel of the test's own.
    """
    return f"rotator:{uuid.uuid4().hex[:8]}"


@pytest.fixture(
    name="notifier",
    params=["memory", *(pytest.param(version, id=f"redis-{version}", marks=pytest.mark.redis) for version in VERSIONS)],
)
def _notifier(
    request: pytest.FixtureRequest, redis_servers: Callable[[str], RedisServer], channel: str
) -> Iterator[Notifier]:
    """
    Each notifier in turn, on each version of its server.
    """
    if request.param == "memory":
        yield MemoryNotifier()
        return
    notifier = RedisNotifier(RedisConnection(redis_servers(request.param).url), channel, SOURCE)
    yield notifier
    notifier.close()


@pytest.fixture(name="other")
def _other(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    """
    A plain client, as any consumer has.
    """
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


def test_nothing_is_announced_at_first(notifier: Notifier) -> None:
    """
    Who was never announced has no position; asking for nobody is allowed.
    """
    assert notifier.announced(["web", "api"]) == {}
    assert notifier.announced([]) == {}


@pytest.mark.parametrize(
    "kind", [kind for kind in EventType if kind not in {EventType.HELD, EventType.OVERDUE}], ids=lambda kind: kind.value
)
def test_an_announcement_moves_the_position(notifier: Notifier, kind: EventType) -> None:
    """
    Every event of a save does, and of its own keyset only.
    """
    notifier.announce(event(EventType.CHANGED, sequence=1))
    notifier.announce(event(kind, sequence=12))
    notifier.announce(event(kind, sequence=3, keyset="api"))
    assert notifier.announced(["web", "api", "other"]) == {"web": "epoch-1:12", "api": "epoch-1:3"}


@pytest.mark.parametrize("kind", [EventType.HELD, EventType.OVERDUE], ids=lambda kind: kind.value)
def test_what_tells_of_no_save_moves_nothing(notifier: Notifier, kind: EventType) -> None:
    """
    A held or overdue rotation must not hide that the save before it was never announced.
    """
    notifier.announce(event(kind))
    assert notifier.announced(["web"]) == {}


def test_a_forgotten_keyset_has_no_position(notifier: Notifier) -> None:
    """
    Others keep theirs; to forget one that was never announced is no error.
    """
    notifier.announce(event(sequence=12))
    notifier.announce(event(sequence=3, keyset="api"))
    notifier.forget("web")
    notifier.forget("web")
    assert notifier.announced(["web", "api"]) == {"api": "epoch-1:3"}


def test_positions_of_many_keysets_come_together(notifier: Notifier) -> None:
    """
    More names than one request of ours holds.
    """
    names = [f"keyset-{number}" for number in range(2500)]
    for number in (0, 999, 1000, 2499):
        notifier.announce(event(sequence=number + 1, keyset=names[number]))
    expected = {names[number]: f"epoch-1:{number + 1}" for number in (0, 999, 1000, 2499)}
    assert notifier.announced(iter(names)) == expected


@pytest.mark.redis
def test_the_stream_holds_cloud_events(redis_server: RedisServer, channel: str, other: "redis.Redis") -> None:
    """
    The whole JSON object, one field of one entry; the same text goes to the channel.
    """
    subscription = other.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(channel)
    subscription.get_message(timeout=5)
    notifier = RedisNotifier(RedisConnection(redis_server.url), channel, SOURCE)
    notifier.announce(event(kid="kid-1", reason="scheduled"))
    notifier.announce(event(EventType.CHANGED, sequence=5))
    notifier.close()
    stream: Any = other.xrange(channel)
    entries = [fields for _, fields in stream]
    assert [list(fields) for fields in entries] == [[b"event"], [b"event"]]
    assert json.loads(entries[0][b"event"]) == {
        "specversion": "1.0",
        "id": "op-4/rotator.key.activated",
        "source": SOURCE,
        "type": "rotator.key.activated",
        "subject": "web",
        "time": "2026-01-01T00:00:05Z",
        "datacontenttype": "application/json",
        "data": {"keyset": "web", "epoch": "epoch-1", "sequence": 4, "kid": "kid-1", "reason": "scheduled"},
    }
    assert json.loads(entries[1][b"event"])["data"] == {"keyset": "web", "epoch": "epoch-1", "sequence": 5}
    message = subscription.get_message(timeout=5)
    assert message
    assert message["data"] == entries[0][b"event"]
    subscription.close()


@pytest.mark.redis
def test_the_stream_does_not_grow_without_end(redis_server: RedisServer, channel: str, other: "redis.Redis") -> None:
    """
    It is trimmed to about ten thousand entries.
    """
    with other.pipeline(transaction=False) as pipeline:
        for _ in range(12_000):
            pipeline.xadd(channel, {"event": "{}"})
        pipeline.execute()
    notifier = RedisNotifier(RedisConnection(redis_server.url), channel, SOURCE)
    notifier.announce(event())
    notifier.close()
    assert 10_000 <= other.xlen(channel) < 10_200


@pytest.mark.redis
def test_a_sound_redis_is_found_sound_and_left_alone(
    redis_server: RedisServer, channel: str, other: "redis.Redis"
) -> None:
    """
    Probing finds nothing and changes nothing.
    """
    notifier = RedisNotifier(RedisConnection(redis_server.url), channel, SOURCE)
    assert notifier.probe() == ()
    assert list(other.scan_iter(f"{channel}*")) == []
    notifier.announce(event())
    notifier.close()


PERMISSIONS: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("xadd", lambda channel: [f"&{channel}", f"~{channel}*", "+@all", "-xadd"]),
    ("publish", lambda channel: ["resetchannels", f"~{channel}*", "+@all"]),
    ("hset", lambda channel: [f"&{channel}", f"~{channel}", "+@all"]),
    ("subscribe", lambda channel: [f"&{channel}", f"~{channel}*", "+@all", "-subscribe"]),
    ("multi", lambda channel: [f"&{channel}", f"~{channel}*", "+@all", "-multi"]),
)


@pytest.mark.redis
@pytest.mark.parametrize(("command", "rules"), PERMISSIONS, ids=[command for command, _ in PERMISSIONS])
def test_a_missing_permission_is_found(
    redis_server: RedisServer, channel: str, other: "redis.Redis", command: str, rules: Callable[[str], list[str]]
) -> None:
    """
    Probing names the command that this user is refused, and what to grant.
    """
    user = f"user-{channel.rpartition(':')[2]}"
    other.execute_command("ACL", "SETUSER", user, "reset", "on", ">pw", "resetchannels", *rules(channel))
    notifier = RedisNotifier(RedisConnection(redis_server.url.replace("//", f"//{user}:pw@")), channel, SOURCE)
    found = notifier.probe()
    notifier.close()
    other.execute_command("ACL", "DELUSER", user)
    assert any(f": {command} is refused: " in finding and "+xadd +publish" in finding for finding in found), found
    assert not any("pw" in finding for finding in found)
