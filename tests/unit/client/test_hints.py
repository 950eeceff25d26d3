"""
Hints over a real Redis: quick when all is well, found again when the channel lost them, harmless when forged.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from rotator.adapters.redis import listener as redis_listener
from rotator.adapters.redis.connection import RedisConnection
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.client import ConfigError, KeysetReader, RedisHints
from rotator.client.hints import MAX_MISSED, StreamListener
from rotator.documents.event import encode_event
from rotator.model.event import Event, EventType
from tests.support.fakes import START
from tests.support.scripted import (
    EPOCH,
    ScriptedSource,
    forked,
    forks,
    keys,
    reader_of,
    readers_threads,
    serves,
    settled,
    until,
    within,
)
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.redis
SOURCE = "rotator/secret/rotator"
PING = 0.2
QUIET = 0.25
# The beat comes with a ping; a listener reads at least twice a second.
FOUND = 2.0


def event(sequence: int, *, keyset: str = "web", epoch: str = EPOCH) -> Event:
    """An event of one save."""
    return Event(EventType.ACTIVATED, f"op-{sequence}/activated", keyset, epoch, sequence, START, f"k{sequence}")


@pytest.fixture(name="source")
def _source() -> ScriptedSource:
    """A source that is read only at hints."""
    return ScriptedSource()


class Site:
    """
    A channel on a Redis, what a daemon announces there, and what others do there.
    """

    def __init__(self, server: RedisServer, channel: str) -> None:
        self.server, self.channel = server, channel
        self.client = redis.Redis.from_url(server.url)
        self._notifier = RedisNotifier(RedisConnection(server.url), channel, SOURCE)

    def announce(self, sequence: int, **options: Any) -> None:
        """Announce as the daemon does: stream and channel in one."""
        self._notifier.announce(event(sequence, **options))

    def add(self, sequence: int, id_: str = "*", **options: Any) -> None:
        """Write an entry whose message is lost."""
        self.client.xadd(self.channel, {"event": encode_event(event(sequence, **options), SOURCE)}, id=id_)

    def hints(self, **options: Any) -> RedisHints:
        """What a reader listens to."""
        options = {"channel": self.channel, "source": SOURCE, "ping_interval": PING} | options
        return RedisHints(self.server.url, **options)

    def subscribers(self) -> int:
        """How many listen to the channel."""
        ((_, count),) = self.client.pubsub_numsub(self.channel)
        return int(count)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self._notifier.close()


@pytest.fixture(name="site")
def _site(redis_server: RedisServer) -> Iterator[Site]:
    """A channel of the test's own on the shared Redis."""
    site = Site(redis_server, f"events-{uuid.uuid4().hex}")
    yield site
    site.client.delete(site.channel, f"{site.channel}:announced")
    site.close()


@pytest.fixture(name="fresh")
def _fresh(fresh_redis: RedisServer) -> Iterator[Site]:
    """A channel on a Redis of the test's own."""
    site = Site(fresh_redis, "rotator:events")
    yield site
    site.close()


@contextmanager
def reading(source: ScriptedSource, hints: RedisHints) -> Iterator[KeysetReader]:
    """A reader that has subscribed, and read what that made it read."""
    with reader_of(source, hints=hints) as keyset:
        listener = keyset._refresher.listener
        assert isinstance(listener, StreamListener)
        until(lambda: listener._position is not None)
        settled(source, 0.1)
        yield keyset
        assert listener._thread.is_alive()
    assert not listener._thread.is_alive()
    assert not source.overlapped


# -- changes come through ----------------------------------------------------------------------------------------------


def test_an_announced_change_is_there_at_once(site: Site, source: ScriptedSource) -> None:
    """By the channel, within a fraction of a second, each time; and read once."""
    with reading(source, site.hints(ping_interval=60)) as keyset:
        before = source.readings
        for sequence in range(2, 7):
            source.document = keys(sequence)
            site.announce(sequence)
            until(lambda n=sequence: serves(keyset, f"k{n}"), 0.5)
        assert settled(source, QUIET) == before + 5


def test_what_the_channel_lost_is_found_in_the_stream(site: Site, source: ScriptedSource) -> None:
    """An entry that was never published is found at the next ping, the first one of a stream too."""
    with reading(source, site.hints()) as keyset:
        before = source.readings
        for sequence in (2, 3, 4):
            source.document = keys(sequence)
            site.add(sequence)
            until(lambda n=sequence: serves(keyset, f"k{n}"), FOUND)
        assert settled(source, QUIET) == before + 3


def test_what_the_stream_repeats_costs_little(site: Site, source: ScriptedSource) -> None:
    """The next pings find it; a reader of a JWKS, which has no sequences, refreshes ever more seldom."""
    source.document, source.keyset = keys(0, epoch=""), ""
    site.add(1)
    with reading(source, site.hints()):
        before = source.readings
        for sequence in range(2, 5):
            site.announce(sequence)
            settled(source, 0.1)
        time.sleep(3 * PING)
        assert before + 1 <= settled(source, QUIET) <= before + 9


def test_entries_of_others_are_not_followed(site: Site, source: ScriptedSource) -> None:
    """Another keyset, another daemon, and saves that were read already."""
    with reading(source, site.hints()):
        site.add(1)
        settled(source, QUIET)
        before = source.readings
        site.add(9, keyset="api")
        site.add(1)
        site.client.xadd(site.channel, {"event": encode_event(event(9), "rotator/other/rotator")})
        site.client.publish(site.channel, encode_event(event(10), "rotator/other/rotator"))
        site.client.publish(site.channel, encode_event(event(11, keyset="api"), SOURCE))
        time.sleep(3 * PING)
        assert settled(source, QUIET) == before


def test_anybody_is_followed_where_no_source_is_named(site: Site, source: ScriptedSource) -> None:
    """As by default."""
    with reading(source, site.hints(source=None)) as keyset:
        source.document = keys(2)
        site.client.publish(site.channel, encode_event(event(2), "rotator/other/rotator"))
        until(lambda: serves(keyset, "k2"), 0.5)


# -- the stream is not what it was -------------------------------------------------------------------------------------


def _delete(site: Site) -> None:
    site.client.delete(site.channel)


def _trim(site: Site) -> None:
    """Trim all but two entries, which were not published."""
    for _ in range(5):
        site.client.xadd(site.channel, {"event": "cut"})
    site.client.xtrim(site.channel, maxlen=2, approximate=False)


def _recreate_lower(site: Site) -> None:
    """As after the loss of a Redis whose clock was ahead."""
    with site.client.pipeline() as transaction:
        transaction.delete(site.channel)
        transaction.xadd(site.channel, {"event": "new"}, id="5-1")
        transaction.execute()


def _recreate_higher(site: Site) -> None:
    with site.client.pipeline() as transaction:
        transaction.delete(site.channel)
        transaction.xadd(site.channel, {"event": "new"})
        transaction.execute()


def _replace(site: Site) -> None:
    """Something else lies under the stream's name."""
    with site.client.pipeline() as transaction:
        transaction.delete(site.channel)
        transaction.set(site.channel, "theirs")
        transaction.execute()


def _flood(site: Site) -> None:
    """More entries than are read at once."""
    with site.client.pipeline() as transaction:
        for _ in range(MAX_MISSED + 1):
            transaction.xadd(site.channel, {"event": "more"})
        transaction.execute()


@pytest.mark.slow
@pytest.mark.parametrize(
    "disaster",
    [_delete, _trim, _recreate_lower, _recreate_higher, _replace, _flood],
    ids=lambda disaster: disaster.__name__,
)
def test_a_stream_that_cannot_be_followed_is_one_more_reading(
    site: Site, source: ScriptedSource, disaster: Any
) -> None:
    """A hint may have been missed: the source is read once, not at each ping, and the next entry is found."""
    for _ in range(3):
        site.client.xadd(site.channel, {"event": "before"})
    with reading(source, site.hints()) as keyset:
        before, connected = source.readings, keyset._refresher.listener.alive_since  # type: ignore[union-attr]
        source.document = keys(2)
        disaster(site)
        until(lambda: serves(keyset, "k2"), FOUND)
        time.sleep(4 * PING)
        assert source.readings == before + 1
        assert keyset._refresher.listener.alive_since == connected  # type: ignore[union-attr]
        if disaster is _replace:
            site.client.delete(site.channel)
        source.document = keys(3)
        site.add(3)
        until(lambda: serves(keyset, "k3"), FOUND)


# -- Redis goes away ---------------------------------------------------------------------------------------------------


def test_a_restart_is_a_re_read_and_no_end(fresh: Site, source: ScriptedSource) -> None:
    """What changed meanwhile is read on re-subscription; hints go on."""
    with reading(source, fresh.hints()) as keyset:
        fresh.server.restart()
        source.document = keys(2)
        until(lambda: serves(keyset, "k2"), 4)
        until(lambda: keyset.status.hints == "listening")
        source.document = keys(3)
        fresh.announce(3)
        until(lambda: serves(keyset, "k3"), 1)


@pytest.mark.slow
def test_a_long_outage_is_outlived(fresh: Site, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed for over ten seconds, with data lost: the thread lives, the status says why, keys are served."""
    monkeypatch.setattr(redis_listener, "random_backoff", lambda _: 1.0)
    with reading(source, fresh.hints()) as keyset:
        fresh.server.kill()
        until(lambda: "connection refused" in keyset.status.hints, 3)
        for file in fresh.server.folder.glob("appendonlydir/*"):
            file.unlink()
        end = time.monotonic() + 10.5
        while time.monotonic() < end:
            assert serves(keyset, "k1")
            assert keyset.status.fault == ""
            time.sleep(0.25)
        listener = keyset._refresher.listener
        assert isinstance(listener, StreamListener)
        assert listener._thread.is_alive()
        fresh.server.start()
        source.document = keys(2)
        until(lambda: serves(keyset, "k2"), 3)
        assert keyset.status.hints == "listening"
        source.document = keys(3)
        fresh.announce(3)
        until(lambda: serves(keyset, "k3"), 1)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["with the stream", "with the channel alone"])
def test_a_redis_that_hangs_is_noticed_within_two_pings(fresh: Site, source: ScriptedSource, stream: bool) -> None:
    """Connections stay, answers do not come: the status says so, and when it goes on, the source is read once."""
    options: dict[str, Any] = {"ping_interval": 0.5}
    if not stream:
        options |= grant(fresh, "poor", f"&{fresh.channel}", "+subscribe", "+ping")
    with reading(source, fresh.hints(**options)) as keyset:
        fresh.server.pause()
        with within(2 * 0.5 + 1.5):
            until(lambda: keyset.status.hints != "listening")
        assert serves(keyset, "k1")
        source.document = keys(2)
        fresh.server.resume()
        until(lambda: serves(keyset, "k2"), 8)
        assert keyset.status.hints == "listening"


def test_a_reader_starts_without_redis(source: ScriptedSource) -> None:
    """It is only a speed-up."""
    hints = RedisHints("redis://127.0.0.1:1/0")
    with within(3), reader_of(source, hints=hints) as keyset:
        assert serves(keyset, "k1")
        until(lambda: keyset.status.hints == "redis at 127.0.0.1:1: connection refused")


def test_closing_ends_the_listener(site: Site, source: ScriptedSource) -> None:
    """No thread and no subscription is left, also when Redis hangs."""
    keyset = reader_of(source, hints=site.hints()).start()
    until(lambda: site.subscribers() == 1)
    with within(2):
        keyset.close()
    until(lambda: site.subscribers() == 0)
    assert not readers_threads()
    assert not [thread for thread in threading.enumerate() if thread.name == "hints"]


def test_a_hanging_redis_does_not_hold_close(fresh: Site, source: ScriptedSource) -> None:
    """It returns within a few seconds."""
    keyset = reader_of(source, hints=fresh.hints()).start()
    until(lambda: fresh.subscribers() == 1)
    fresh.server.pause()
    with within(4):
        keyset.close()
    fresh.server.resume()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "hints"])


@forks
def test_a_forked_process_listens_by_itself(site: Site, source: ScriptedSource) -> None:
    """On a connection of its own; the parent's goes on."""
    with reading(source, site.hints()) as keyset:

        def work() -> object:
            keyset.verifying()
            until(lambda: site_of_child.subscribers() == 2)
            source.document = keys(2)
            site_of_child.announce(2)
            until(lambda: serves(keyset, "k2"))
            sequence = keyset.status.sequence
            keyset.close()
            site_of_child.close()
            return sequence

        site_of_child = Site(site.server, site.channel)
        assert forked(work) == 2
        site_of_child.close()
        source.document = keys(3)
        site.announce(3)
        until(lambda: serves(keyset, "k3"), 1)


# -- who may what ------------------------------------------------------------------------------------------------------


def grant(site: Site, user: str, *rights: str) -> dict[str, str]:
    """Make a user with these rights and no others; return how to be it."""
    site.client.execute_command("ACL", "SETUSER", user, "reset", "on", ">pw", "resetchannels", *rights)
    return {"username": user, "password": "pw"}


def documented(channel: str) -> list[str]:
    """The rights that the docstring of RedisHints names."""
    text = str(RedisHints.__doc__)
    rights = next(part for part in text.split("`") if part.startswith("&CHANNEL"))
    return rights.replace("CHANNEL", channel).split()


def test_the_documented_rights_are_enough_and_none_is_too_many(fresh: Site, source: ScriptedSource) -> None:
    """Channel and stream both work with them; Redis refused nothing, and refuses each thing without its right."""
    rights = documented(fresh.channel)
    user = grant(fresh, "reader", *rights)
    with reading(source, fresh.hints(**user)) as keyset:
        for sequence, tell in ((2, fresh.announce), (3, fresh.add)):
            source.document = keys(sequence)
            tell(sequence)
            until(lambda n=sequence: serves(keyset, f"k{n}"), FOUND)
        assert keyset.status.hints == "listening"
    assert fresh.client.acl_log() == []
    for number, right in enumerate(rights):
        poor = grant(fresh, f"poor{number}", *(other for other in rights if other != right))
        fresh.client.acl_log_reset()
        with reader_of(ScriptedSource(), hints=fresh.hints(**poor)):
            until(lambda: fresh.client.acl_log(), 3)


def test_the_documented_rights_do_not_let_anybody_announce(fresh: Site) -> None:
    """A stolen password of a reader writes nothing."""
    user = grant(fresh, "reader", *documented(fresh.channel))
    with redis.Redis.from_url(fresh.server.url, **user) as client:
        for command in (
            ("PUBLISH", fresh.channel, "x"),
            ("XADD", fresh.channel, "*", "event", "x"),
            ("DEL", fresh.channel),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_without_the_right_to_the_stream_the_channel_alone_is_used(fresh: Site, source: ScriptedSource) -> None:
    """No fault, no re-reading at each ping; entries that were not published wait for the poll."""
    user = grant(fresh, "poor", f"&{fresh.channel}", "+subscribe", "+ping")
    with reading(source, fresh.hints(**user)) as keyset:
        before = source.readings
        fresh.add(2)
        time.sleep(3 * PING)
        assert settled(source, QUIET) == before
        source.document = keys(3)
        fresh.announce(3)
        until(lambda: serves(keyset, "k3"), 1)
        assert keyset.status.hints == "listening"


def test_a_password_may_stand_in_a_file(fresh: Site, source: ScriptedSource, tmp_path: Path) -> None:
    """Without its newline; a wrong one is reported, and never quoted."""
    grant(fresh, "reader", *documented(fresh.channel))
    file = tmp_path / "password"
    file.write_text("pw\n")
    with reading(source, fresh.hints(username="reader", password_file=file)) as keyset:
        assert keyset.status.hints == "listening"
    file.write_text("CANARY")
    with reader_of(source, hints=fresh.hints(username="reader", password_file=file)) as keyset:
        until(lambda: keyset.status.hints != "listening", 3)
        assert "invalid username-password" in keyset.status.hints
        assert "CANARY" not in keyset.status.hints
    with pytest.raises(ConfigError, match=r"password_file: .*none cannot be read"):
        fresh.hints(password_file=tmp_path / "none")


@pytest.mark.parametrize("url", ["http://user:CANARY@host", "redis://host/0?socket_timeout=60", "127.0.0.1:6379"])
def test_a_wrong_address_is_refused_when_it_is_named(url: str) -> None:
    """Not in a thread, later; and not repeated."""
    with pytest.raises(ConfigError, match=r"^url: ") as raised:
        RedisHints(url)
    assert "CANARY" not in str(raised.value)


# -- forgery -----------------------------------------------------------------------------------------------------------

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "a megabyte": b"x" * (1 << 20),
    "a megabyte of JSON": b'{"source":"' + SOURCE.encode() + b'","data":' + b"[" * (1 << 20),
    "binary": bytes(range(256)),
    "a list": b"[1]",
    "null": b"null",
    "no data": json.dumps({"source": SOURCE}).encode(),
    "wrong types": json.dumps({"source": SOURCE, "data": {"keyset": ["web"], "epoch": 1, "sequence": "2"}}).encode(),
    "true for a number": json.dumps(
        {"source": SOURCE, "data": {"keyset": "web", "epoch": EPOCH, "sequence": True}}
    ).encode(),
    "infinity": b'{"source":"%s","data":{"keyset":"web","epoch":"%s","sequence":1e999}}'
    % (SOURCE.encode(), EPOCH.encode()),
}


def test_garbage_is_ignored(site: Site, source: ScriptedSource) -> None:
    """On the channel and in the stream: no fetch, no end of the connection, and true hints are heard afterwards."""
    site.add(1)
    with reading(source, site.hints()) as keyset:
        listener = keyset._refresher.listener
        assert isinstance(listener, StreamListener)
        before, connected = source.readings, listener.alive_since
        for message in GARBAGE.values():
            site.client.publish(site.channel, message)
            site.client.xadd(site.channel, {"event": message})
        site.client.xadd(site.channel, {"other": "field"})
        last = site.client.xrevrange(site.channel, count=1)
        until(lambda: listener._position == last[0][0])
        assert settled(source, QUIET) == before
        assert listener.alive_since == connected
        source.document = keys(2)
        site.announce(2)
        until(lambda: serves(keyset, "k2"), 0.5)


@pytest.mark.slow
def test_a_flood_of_forged_messages_is_a_handful_of_readings(site: Site, source: ScriptedSource) -> None:
    """Ten thousand, each of them well-formed and new; a true change gets through all the same."""
    with reading(source, site.hints()) as keyset:
        before = source.readings
        with site.client.pipeline(transaction=False) as pipeline:
            for number in range(10_000):
                pipeline.publish(site.channel, encode_event(event(10**6 + number), SOURCE))
            pipeline.execute()
        assert settled(source, 1) <= before + 12
        source.document = keys(2)
        site.announce(2)
        until(lambda: serves(keyset, "k2"), 8)


def test_hints_carry_no_authority(site: Site, source: ScriptedSource) -> None:
    """A message may name any save: what is served is what the source says."""
    with reading(source, site.hints()) as keyset:
        site.announce(99)
        site.announce(100, epoch="another")
        settled(source, QUIET)
        assert (keyset.status.epoch, keyset.status.sequence) == (EPOCH, 1)
