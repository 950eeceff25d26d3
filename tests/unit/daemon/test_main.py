"""
The daemon as a whole, on a file store: it starts, serves, and can be told to end at any instant.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import pytest

from rotator.cli.context import Context
from rotator.cli.output import StderrLog
from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.daemon.http_server import HttpServer
from rotator.daemon.main import Daemon
from tests.support.command_line import CommandLine
from tests.support.http_caller import Reply, ask
from tests.support.process import RecordingLog

INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
INSTANTS = 30


@pytest.mark.parametrize("nth", range(INSTANTS))
def test_a_signal_may_come_at_any_instant(tmp_path: Path, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A handler runs in the main thread, between any two of its steps: what it calls must not wait for what that thread holds.
    """
    monkeypatch.setenv("WATCHDOG_USEC", "20000")  # so that each wait is short
    rotator = CommandLine(tmp_path, INTERNAL)
    daemon = Daemon(Context(str(rotator.config)).settings(command_line=False), StderrLog())
    reload: SimpleQueue[None] = SimpleQueue()
    left = nth

    def interrupt(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            sys.setprofile(None)
            daemon.stop()
        elif left < -1:
            sys.setprofile(None)

    def wait() -> None:
        sys.setprofile(interrupt)
        try:
            ended.append(daemon.wait(reload))
        finally:
            sys.setprofile(None)
            daemon.stop()

    ended: list[bool] = []
    waiting = threading.Thread(target=wait, daemon=True)
    daemon.start()
    waiting.start()
    waiting.join(10)

    assert ended == [False]
    daemon.close()


# -- life --------------------------------------------------------------------------------------------------------------

WEB = "[keysets.web]\n"
READY = b"READY=1\nSTATUS="
LISTENING = """
[store]
backend = "file"
path = "store"
[publish]
file = "public/jwks.json"
http = "127.0.0.1:0"
[admin]
http = "127.0.0.1:0"
[daemon]
state_dir = "state"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """
    A file store, and both listeners at a free port.
    """
    (tmp_path / "config.toml").write_text(f"{LISTENING}{WEB}{INTERNAL}")
    return load(tmp_path / "config.toml", environ={}, command_line=False)


@pytest.fixture
def log() -> RecordingLog:
    """
    What the daemon logs.
    """
    return RecordingLog()


@pytest.fixture
def daemon(settings: Settings, log: RecordingLog) -> Iterator[Daemon]:
    """
    A daemon that was started, and is closed at the end.
    """
    made = Daemon(settings, log)
    made.start()
    yield made
    made.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """
    The socket of a service manager, which allows a watchdog of 20 ms: so each turn of `wait` is short.
    """
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def wait_for(server: HttpServer | None, path: str, body: bytes) -> Reply:
    """Ask until the answer is 200 and holds *body*, for twenty seconds at most."""
    assert server is not None
    deadline = time.monotonic() + 20
    while (reply := ask(server, path)).status != HTTPStatus.OK or body not in reply.body:
        assert time.monotonic() < deadline, reply
    return reply


def test_a_daemon_begins_at_once_and_serves_what_it_made(daemon: Daemon, settings: Settings, log: RecordingLog) -> None:
    """The set of a keyset, the combined one, readiness and metrics; the file too."""
    found = wait_for(daemon.jwks_server, "/keysets/web/jwks.json", b'"kid"')
    combined = wait_for(daemon.jwks_server, "/.well-known/jwks.json", b'"kid"')
    wait_for(daemon.admin_server, "/readyz", b'"ready": true')
    wait_for(daemon.admin_server, "/metrics", b"rotator_")

    assert len(json.loads(found.body)["keys"]) == 1
    assert len(json.loads(combined.body)["keys"]) == 1
    assert daemon.health.serving()
    assert daemon.health.alive()
    assert Path(settings.publish.file).exists()
    started = next(fields for _, event, fields in log.events if event == "started")
    assert started == {
        "keysets": 2,
        "jwks": daemon.jwks_server and daemon.jwks_server.address,
        "admin": daemon.admin_server and daemon.admin_server.address,
    }


def test_a_daemon_that_ended_gives_everything_back(settings: Settings, log: RecordingLog) -> None:
    """Its ports, its file, its threads: another can start in its place at once."""
    daemon = Daemon(settings, log)
    daemon.start()
    assert daemon.jwks_server is not None
    wait_for(daemon.jwks_server, "/keysets/web/jwks.json", b'"kid"')
    address = daemon.jwks_server.address
    daemon.close()

    assert log.names()[-1] == "stopped"
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("worker", "http"))]
    publish = replace(settings.publish, http=address)
    again = Daemon(replace(settings, publish=publish), log)
    again.start()
    wait_for(again.jwks_server, "/keysets/web/jwks.json", b'"kid"')
    again.close()


def test_systemd_is_told_when_all_is_served(manager: socket.socket, daemon: Daemon, log: RecordingLog) -> None:
    """Not before, and once; that the daemon lives every turn, and its status whenever it changed."""
    told: list[bytes] = []

    def listen() -> None:
        try:
            while not (READY in b"".join(told) and b"STATUS=2 of 2 keysets ok" in b"".join(told)):
                told.append(manager.recv(4096))
            while told[-1] != b"WATCHDOG=1":
                told.append(manager.recv(4096))
        finally:
            daemon.stop()

    listening = threading.Thread(target=listen)
    listening.start()
    assert daemon.wait(SimpleQueue()) is False
    listening.join(20)

    first = next(number for number, message in enumerate(told) if message.startswith(READY))
    assert all(message.startswith((b"EXTEND_TIMEOUT_USEC=60000000\n", b"WATCHDOG=1")) for message in told[:first])
    assert all(message.startswith((b"STATUS=", b"WATCHDOG=1")) for message in told[first + 1 :])
    assert log.names().count("ready") == 1


def test_a_request_to_reload_ends_the_wait_as_one(daemon: Daemon) -> None:
    """The daemon goes on meanwhile: nothing is stopped."""
    reload: SimpleQueue[None] = SimpleQueue()
    reload.put(None)

    assert daemon.wait(reload) is True
    wait_for(daemon.jwks_server, "/keysets/web/jwks.json", b'"kid"')


@pytest.mark.parametrize(("reloading", "word"), [(False, b"STOPPING=1"), (True, b"RELOADING=1\nMONOTONIC_USEC=")])
def test_systemd_is_told_of_the_end(manager: socket.socket, settings: Settings, reloading: bool, word: bytes) -> None:
    """Or of a reload, which begins as an end."""
    daemon = Daemon(settings, RecordingLog())
    daemon.start()
    daemon.close(reloading=reloading)

    assert manager.recv(4096).startswith(word)


def at_rest(daemon: Daemon) -> bool:
    """Whether the daemon has seen its own last save, and has nothing to do before its next poll."""
    seen = daemon._fingerprint == daemon._engine.store.fingerprint()
    statuses = [tracker.status for tracker in daemon._queue.trackers]
    signing = all(status and status.keyset.current for status in statuses)
    return bool(seen and signing and not daemon._queue.busy)


def test_a_store_that_another_process_changed_is_read_at_once(daemon: Daemon, settings: Settings) -> None:
    """Files tell of it at the next beat, minutes before the next poll."""
    assert daemon.admin_server is not None
    deadline = time.monotonic() + 20
    while not at_rest(daemon):
        assert time.monotonic() < deadline
    (settings.store.path / "keys" / "internal.json").unlink()

    while b'"frozen"' not in (reply := ask(daemon.admin_server, "/readyz")).body:
        assert time.monotonic() < deadline, reply
    assert reply.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_chore_that_fails_ends_nothing(daemon: Daemon, log: RecordingLog) -> None:
    """It is logged; the next pass meets the store itself."""

    def fail() -> None:
        raise OSError("no space left")

    daemon._engine.store.maintain = fail  # type: ignore[method-assign]
    daemon._maintain()

    assert ("warning", "token_not_renewed", {"detail": "no space left"}) in log.events
    wait_for(daemon.admin_server, "/healthz", b"ok")


def test_a_daemon_that_stops_begins_no_pass(settings: Settings) -> None:
    """A beat that comes late, when the workers are gone, does nothing but be noted."""
    daemon = Daemon(settings, RecordingLog())
    daemon.stop()
    daemon.start()
    daemon.close()
    daemon._wake()

    assert daemon.health.alive()
    assert not (settings.store.path / "keys").exists()


def test_a_daemon_without_listeners_only_keeps_keys(settings: Settings, log: RecordingLog) -> None:
    """Verifiers find them in the store or in the file."""
    quiet = replace(settings, publish=replace(settings.publish, http=""), admin_http="")
    daemon = Daemon(quiet, log)
    daemon.start()
    deadline = time.monotonic() + 20
    while not daemon.health.readiness().ready:
        assert time.monotonic() < deadline, daemon.health.readiness()
    daemon.close()

    assert (daemon.jwks_server, daemon.admin_server) == (None, None)
    assert next(fields for _, event, fields in log.events if event == "started") == {
        "keysets": 2,
        "jwks": "",
        "admin": "",
    }
