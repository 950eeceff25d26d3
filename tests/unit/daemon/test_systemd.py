"""
What systemd is told, through real datagram sockets.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.daemon import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket as the service manager has it, by path or in the abstract namespace."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@rotator-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening


def test_fields_leave_in_one_datagram(manager: socket.socket) -> None:
    """Reloading needs two fields that arrive together."""
    assert systemd.notify(RELOADING="1", MONOTONIC_USEC="123")
    assert manager.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=123"


def test_a_status_cannot_forge_a_field_nor_leak(manager: socket.socket) -> None:
    """A status is one line, and everybody on the machine may read it."""
    assert systemd.notify(STATUS=f"bad\nWATCHDOG=trigger {'ab' * 32}")
    assert manager.recv(4096) == b"STATUS=bad WATCHDOG=trigger [redacted]"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, or a dead one, is no error."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.notify(READY="1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not systemd.notify(READY="1")


@pytest.mark.parametrize(
    ("allowed", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        ("500000", None, 0.25),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_interval_is_half_of_what_is_allowed(
    allowed: str | None, pid: str | None, interval: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no lower bound, and concerns the process it names only."""
    for name, value in (("WATCHDOG_USEC", allowed), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval
