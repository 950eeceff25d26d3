"""
The whole job on this machine: what it says of each key, and that every token is verified.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.daemon.signals import Signals
from rotator.dev import GENERATED, Observer, Services, Tally, free_port, run, start_redis
from rotator.model.keyset import Keyset
from tests.support.command_line import CommandLine, hmac_keyset
from tests.support.listeners import JwksServer
from tests.support.publications import publication
from tests.support.servers.redis import RedisServer, find_redis
from tests.support.world import World, policy

LIFE = timedelta(seconds=5)


def told(*keysets: Keyset) -> list[str]:
    """What an observer says of one keyset after another."""
    lines: list[str] = []
    observer = Observer(lines.append)
    for keyset in keysets:
        observer.see(keyset)
    return lines


def stages(*moments: float) -> list[Keyset]:
    """A keyset (period 100, propagation 10) as it was stored at these moments."""
    found = []
    world = World(policy())
    for begin, moment in zip([0.0, *moments], moments, strict=False):
        world.run(moment, begin)
        assert world.keyset is not None
        found.append(world.keyset)
    return found


def test_an_observer_names_each_step_of_a_key() -> None:
    """Generated, confirmed, activated, old, retired: each once, with the keyset and the kid."""
    first, second, third = stages(5, 105, 150)
    lines = told(first, first, second, third)
    assert [line.partition("  ")[2] for line in lines if line.startswith("web k1  ")] == [
        GENERATED,
        "activated: it signs now",
        "old: signs no more, still verifies",
        "retired: no live token can need it, its material is destroyed",
    ]
    assert lines.count("web k2  confirmed: found wherever verifiers look; propagating") == 1
    assert len(lines) == len(set(lines))


def test_a_key_seen_unconfirmed_is_told_as_generated_once() -> None:
    """Not again when it is confirmed."""
    (confirmed,) = stages(5)
    assert confirmed.next is not None
    fresh = replace(confirmed, next=replace(confirmed.next, published_at=None, usable_at=None))
    lines = told(fresh, confirmed)
    assert [line for line in lines if line.endswith(GENERATED) and " k2 " in line] == [f"web k2  {GENERATED}"]


def test_keysets_do_not_retire_each_others_keys() -> None:
    """A kid that another keyset lacks is not gone."""
    (web,) = stages(5)
    lines = told(web, replace(web, name="internal"), web)
    assert not [line for line in lines if "retired" in line]


def test_without_a_redis_server_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon goes on without notifications."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert start_redis(tmp_path) == (None, "")


@pytest.mark.redis
def test_a_redis_server_is_started_where_its_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    """On a port of its own."""
    del redis_server  # where it cannot be had, the test is skipped
    program = find_redis()
    assert program is not None
    monkeypatch.setenv("PATH", str(program.parent))
    server, table = start_redis(tmp_path)
    assert isinstance(server, subprocess.Popen)
    server.terminate()
    server.wait()
    assert table.startswith('\n[redis]\nurl = "redis://127.0.0.1:')


def test_a_free_port_can_be_had() -> None:
    """Another one each time, as a rule."""
    assert 1024 <= free_port() <= 65535


@contextmanager
def services(folder: Path, *keysets: str) -> Iterator[Services]:
    """Services over a file store with these keysets, and a listener with a set that none of them uses."""
    rotator = CommandLine(folder)
    for name in keysets:
        rotator.put(hmac_keyset(name))
    cache = JwksCache(["web"])
    cache.put(publication("web", 1))
    server = JwksServer("127.0.0.1:0", cache, ["web"])
    server.start()
    try:
        with Services(
            folder / "store", f"http://{server.address}/keysets/web/jwks.json", "", LIFE, Observer(lambda _line: None)
        ) as made:
            yield made
    finally:
        server.close()


def test_a_token_is_verified_again_and_again(tmp_path: Path) -> None:
    """One more each step, and all that live."""
    with services(tmp_path, "internal") as made:
        steps_until(made, lambda: made.tally.verified > 0)
        before = made.tally.verified
        made.step()
        assert made.tally == Tally(verified=before + 2)


def test_a_token_that_fails_is_counted_with_its_reason(tmp_path: Path) -> None:
    """Here the verifier of `web` reads a set that its signer's key is not in."""
    with services(tmp_path, "web", "internal") as made:
        steps_until(made, lambda: bool(made.tally.failures))
        assert made.tally.failures[0].startswith("web: ")


def steps_until(made: Services, done: Callable[[], bool]) -> None:
    """Step until it is so: the readers read in threads of their own."""
    for _ in range(2000):
        made.step()
        if done():
            return
    raise AssertionError(made.tally)


@pytest.mark.slow
def test_a_whole_life_begins_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both keysets sign, every token verifies, and it ends when it is told to."""
    monkeypatch.setenv("PATH", str(tmp_path))  # without a Redis
    lines: list[str] = []
    signals = Signals()

    def say(line: str) -> None:
        lines.append(line)
        if "tokens verified so far, 0 failed" in line:
            signals.stop()

    tally = run(tmp_path / "dev", say, signals, seconds=60, life=LIFE)

    assert signals.stopping, lines
    assert tally.failures == []
    assert tally.verified > 0
    assert lines[0] == f"configuration: {tmp_path}/dev/config.toml"
    assert "Redis: no redis-server on PATH" in lines[2]
    for keyset in ("web", "internal"):
        assert [line for line in lines if line.startswith(f"{keyset} ") and line.endswith("activated: it signs now")]
