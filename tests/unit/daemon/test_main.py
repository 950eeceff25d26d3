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
from types import FrameType

import pytest

from rotator.cli.context import Context
from rotator.cli.output import StderrLog
from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.daemon.http_server import HttpServer
from rotator.daemon.listeners import ADMIN, JWKS
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
    settings = Context(str(rotator.config)).settings(command_line=False)
    daemon = Daemon(settings, StderrLog())
    left = nth

    def interrupt(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            sys.setprofile(None)
            daemon.stop()
        elif left < -1:
            sys.setprofile(None)

    def serve() -> None:
        sys.setprofile(interrupt)
        try:
            daemon.serve(lambda: settings)
            ended.append(True)
        finally:
            sys.setprofile(None)
            daemon.stop()

    ended: list[bool] = []
    serving = threading.Thread(target=serve, daemon=True)
    daemon.start()
    serving.start()
    serving.join(10)

    assert ended == [True]
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


def jwks_server(daemon: Daemon) -> HttpServer:
    """The listener of the JWKS; there must be one."""
    return daemon.listeners.open[JWKS].listener


def admin_server(daemon: Daemon) -> HttpServer:
    """The listener of the operator; there must be one."""
    return daemon.listeners.open[ADMIN].listener


def wait_for(server: HttpServer, path: str, body: bytes) -> Reply:
    """Ask until the answer is 200 and holds *body*, for twenty seconds at most."""
    deadline = time.monotonic() + 20
    while (reply := ask(server, path)).status != HTTPStatus.OK or body not in reply.body:
        assert time.monotonic() < deadline, reply
    return reply


def test_a_daemon_begins_at_once_and_serves_what_it_made(daemon: Daemon, settings: Settings, log: RecordingLog) -> None:
    """The set of a keyset, the combined one, readiness and metrics; the file too."""
    found = wait_for(jwks_server(daemon), "/keysets/web/jwks.json", b'"kid"')
    combined = wait_for(jwks_server(daemon), "/.well-known/jwks.json", b'"kid"')
    wait_for(admin_server(daemon), "/readyz", b'"ready": true')
    wait_for(admin_server(daemon), "/metrics", b"rotator_")

    assert len(json.loads(found.body)["keys"]) == 1
    assert len(json.loads(combined.body)["keys"]) == 1
    assert daemon.health.serving()
    assert daemon.health.alive()
    assert Path(settings.publish.file).exists()
    started = next(fields for _, event, fields in log.events if event == "started")
    assert started == {
        "keysets": 2,
        "jwks": jwks_server(daemon).address,
        "admin": admin_server(daemon).address,
    }


def test_a_daemon_that_ended_gives_everything_back(settings: Settings, log: RecordingLog) -> None:
    """Its ports, its file, its threads: another can start in its place at once."""
    daemon = Daemon(settings, log)
    daemon.start()
    wait_for(jwks_server(daemon), "/keysets/web/jwks.json", b'"kid"')
    address = jwks_server(daemon).address
    daemon.close()

    assert log.names()[-1] == "stopped"
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("worker", "http"))]
    publish = replace(settings.publish, http=address)
    again = Daemon(replace(settings, publish=publish), log)
    again.start()
    wait_for(jwks_server(again), "/keysets/web/jwks.json", b'"kid"')
    again.close()


def test_systemd_is_told_when_all_is_served(
    manager: socket.socket, daemon: Daemon, settings: Settings, log: RecordingLog
) -> None:
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
    daemon.serve(lambda: settings)
    listening.join(20)

    first = next(number for number, message in enumerate(told) if message.startswith(READY))
    assert all(message.startswith((b"EXTEND_TIMEOUT_USEC=60000000\n", b"WATCHDOG=1")) for message in told[:first])
    assert all(message.startswith((b"STATUS=", b"WATCHDOG=1")) for message in told[first + 1 :])
    assert log.names().count("ready") == 1


def test_systemd_is_told_of_the_end(manager: socket.socket, settings: Settings) -> None:
    """Before anything ends."""
    daemon = Daemon(settings, RecordingLog())
    daemon.start()
    daemon.close()

    assert manager.recv(4096) == b"STOPPING=1"


def at_rest(daemon: Daemon) -> bool:
    """Whether the daemon has seen its own last save, and has nothing to do before its next poll."""
    setup = daemon._setup
    seen = setup._fingerprint == setup.engine.store.fingerprint()
    statuses = [tracker.status for tracker in setup.engine.queue.trackers]
    signing = all(status and status.keyset.current for status in statuses)
    return bool(seen and signing and setup.at_rest())


def test_a_store_that_another_process_changed_is_read_at_once(daemon: Daemon, settings: Settings) -> None:
    """Files tell of it at the next beat, minutes before the next poll."""
    deadline = time.monotonic() + 20
    while not at_rest(daemon):
        assert time.monotonic() < deadline
    (settings.store.path / "keys" / "internal.json").unlink()

    while b'"frozen"' not in (reply := ask(admin_server(daemon), "/readyz")).body:
        assert time.monotonic() < deadline, reply
    assert reply.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_chore_that_fails_ends_nothing(daemon: Daemon, log: RecordingLog) -> None:
    """It is logged; the next pass meets the store itself."""

    def fail() -> None:
        raise OSError("no space left")

    daemon._setup.engine.store.maintain = fail  # type: ignore[method-assign]
    daemon._setup.maintain()

    assert ("warning", "token_not_renewed", {"detail": "no space left"}) in log.events
    wait_for(admin_server(daemon), "/healthz", b"ok")


def test_a_daemon_that_stops_begins_no_pass(settings: Settings) -> None:
    """A beat that comes late, when the workers are gone, does nothing but be noted."""
    daemon = Daemon(settings, RecordingLog())
    daemon.stop()
    daemon.start()
    daemon.close()
    daemon._setup.wake()

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

    assert daemon.listeners.open == {}
    assert next(fields for _, event, fields in log.events if event == "started") == {
        "keysets": 2,
        "jwks": "",
        "admin": "",
    }
