"""
One Redis that several rotators use, and that strangers write to: two real daemons on it, and forged words in it.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.redis_hints import until
from tests.support.servers.redis import RedisServer
from tests.support.site import INTERNAL, Site, wait_for

pytestmark = pytest.mark.redis
CHANNEL, HASH = "rotator:events", "rotator:events:announced"


def site_of(folder: Path, server: RedisServer, prefix: str) -> Site:
    """Return a site on files that announces under a prefix of its own, with looks every half second."""
    site = Site(folder, None, redis=server, keysets=INTERNAL, rotation="1h", propagation="4s", life="5s")
    site.config.write_text(f'{site.config.read_text()}\n[vault]\nprefix = "{prefix}"\n')
    return site


def events(client: "redis.Redis") -> list[dict[str, Any]]:
    """Return what was announced so far."""
    entries: Any = client.xrange(CHANNEL)
    return [json.loads(fields[b"event"]) for _, fields in entries]


def test_two_rotators_leave_each_other_alone(tmp_path: Path, fresh_redis: RedisServer) -> None:
    """The keyset `internal` under two prefixes: two events each, and then silence; positions by prefix."""
    prod, staging = (site_of(tmp_path / prefix, fresh_redis, prefix) for prefix in ("prod", "staging"))
    with redis.Redis.from_url(fresh_redis.url) as client, prod.daemon(), staging.daemon():
        until(lambda: len(events(client)) >= 4)
        time.sleep(4)  # eight looks of each
        told = events(client)
        assert sorted((event["source"], event["data"]["sequence"]) for event in told) == [
            (f"rotator/secret/{prefix}", sequence) for prefix in ("prod", "staging") for sequence in (1, 2)
        ]
        positions = {field.decode(): value.decode() for field, value in client.hgetall(HASH).items()}
        epochs = {event["source"]: event["data"]["epoch"] for event in told}
        assert positions == {
            f"secret/{prefix}/internal": f"{epochs[f'rotator/secret/{prefix}']}:2" for prefix in ("prod", "staging")
        }


def test_an_upgrade_announces_nothing_again(tmp_path: Path, fresh_redis: RedisServer) -> None:
    """A position of the time before sources counts."""
    site = site_of(tmp_path, fresh_redis, "rotator")
    with redis.Redis.from_url(fresh_redis.url) as client:
        with site.daemon():
            until(lambda: len(events(client)) == 2)
        field = "secret/rotator/internal"
        position = client.hget(HASH, field)
        assert position is not None
        client.hdel(HASH, field)
        client.hset(HASH, "internal", position)
        with site.daemon():
            time.sleep(2)
            assert len(events(client)) == 2


FORGED = [b"9" * 5000, b"\xff\xfe", b"", b"9" * 17 * 1024 * 1024]


def test_no_forged_word_stops_a_daemon(tmp_path: Path, fresh_redis: RedisServer) -> None:
    """Positions, hints and stream entries of strangers, and keys of another type: looks go on, and nothing is alarmed."""
    site = site_of(tmp_path, fresh_redis, "rotator")
    with redis.Redis.from_url(fresh_redis.url) as client, site.daemon():
        until(lambda: len(events(client)) == 2)
        told = events(client)[0]
        epoch, field = told["data"]["epoch"].encode(), "secret/rotator/internal"
        for value in (*FORGED, *(epoch + b":" + value for value in FORGED)):
            client.hset(HASH, field, value)
            client.publish(CHANNEL, value)
            until(lambda: client.hget(HASH, field) == epoch + b":2")
        forged = told | {"data": told["data"] | {"sequence": 10**17}}
        for text in (json.dumps(forged), "[" * 60_000, json.dumps(forged | {"source": 7}), "x" * 9 * 1024 * 1024):
            client.xadd(CHANNEL, {"event": text})
            client.publish(CHANNEL, text)
        for key in (HASH, CHANNEL):
            client.delete(key)
            client.lpush(key, "theirs")
        time.sleep(1)
        client.delete(HASH, CHANNEL)
        # The back-off after the wrong type is over within a few seconds; then all is announced again.
        wait_for(lambda: client.hget(HASH, field) == epoch + b":2", 40, lambda: site.log[-2000:])
        status, body = site.get("/readyz", admin=True)
        assert (status, json.loads(body)["alarms"]) == (200, [])
    assert "look_failed" not in site.log
