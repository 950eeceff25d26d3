"""
The one HTTP client: one deadline for everything, bounded bodies, connections that are used again.
"""

import socket
import ssl
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from rotator.adapters.http_client import Connection, connect, get, remaining, tls_context
from tests.support.peer import Answer, Hole, Peer, Request, answer, elapsed


def soon(seconds: float = 5.0) -> float:
    """Return a deadline."""
    return time.monotonic() + seconds


def test_a_deadline_that_passed_is_a_timeout() -> None:
    """Whole and fractional seconds are left before it, none after."""
    assert 0 < remaining(soon(1)) <= 1
    with pytest.raises(TimeoutError):
        remaining(soon(-0.001))


def test_get_sends_target_and_headers_and_returns_any_status() -> None:
    """The query is kept, the fragment is not sent, and a status is for the caller to judge."""
    with Peer(lambda _: answer(404, "nothing")) as peer:
        response, body = get(f"{peer.address}/a?b=c#d", {"Accept": "text/plain"}, soon())
        (request,) = peer.requests
    assert (response.status, body) == (404, b"nothing")
    assert (request.method, request.path, request.headers["accept"]) == ("GET", "/a?b=c", "text/plain")
    assert request.headers["host"] == peer.address.removeprefix("http://")


def test_get_follows_no_redirect() -> None:
    """Even to itself."""
    with Peer(lambda _: answer(302, headers={"Location": "/there"})) as peer:
        response, _ = get(peer.address, {}, soon())
    assert response.status == 302
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http:///x", "", "http://[::1/", "http://h:x"]
)
def test_what_is_no_address_is_a_value_error(url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValueError, match=r"."):
        get(url, {}, soon())


def test_a_body_is_bounded() -> None:
    """One byte over the limit is refused, the limit itself is not."""
    with Peer(lambda _: answer(200, b"x" * 100)) as peer:
        assert len(get(peer.address, {}, soon(), 100)[1]) == 100
        with pytest.raises(HTTPException, match="more than 99 bytes"):
            get(peer.address, {}, soon(), 99)


def _drip(_: Request) -> Answer:
    return [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *([b"x", 0.05] * 200)]


def test_a_server_that_drips_or_says_nothing_is_given_up() -> None:
    """Each byte in time gains it nothing; neither does an open connection."""

    def asked(address: str) -> None:
        with pytest.raises(TimeoutError):
            get(address, {}, soon(0.3))

    with Peer(_drip) as peer:
        assert elapsed(lambda: asked(peer.address)) < 2
    with Hole() as hole:
        assert elapsed(lambda: asked(f"http://127.0.0.1:{hole.port}")) < 2
        assert elapsed(lambda: asked(f"https://127.0.0.1:{hole.port}")) < 2


def test_a_connection_carries_several_requests() -> None:
    """It stays open, says that it was used, and is fit until the server hangs up."""
    with Peer(lambda _: answer(200, "ok")) as peer:
        host, port = "127.0.0.1", int(peer.address.rpartition(":")[2])
        connection = Connection(host, port, connect(host, port, None, soon()))
        assert not connection.used
        for _ in range(3):
            assert connection.exchange("GET", "/", None, {}, soon())[1] == b'"ok"'[1:-1]
        assert (connection.open, connection.used, connection.fit()) == (True, True, True)
        assert peer.connections == 1
        connection.close()
        assert not connection.open


def test_a_failed_exchange_closes_the_connection() -> None:
    """What is left on it could be taken for the answer to the next request."""
    with Peer(lambda _: b"") as peer:
        host, port = "127.0.0.1", int(peer.address.rpartition(":")[2])
        connection = Connection(host, port, connect(host, port, None, soon()))
        with pytest.raises((HTTPException, OSError)):
            connection.exchange("GET", "/", None, {}, soon())
        assert not connection.open


def test_nobody_listening_is_an_os_error() -> None:
    """So is a name without an address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", port, None, soon())
    with pytest.raises(OSError, match=r"."):
        connect("x" * 300, 1, None, soon())


def test_a_tls_context_verifies_and_writes_no_session_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and certificates are checked, whatever the environment asks for."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = tls_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.keylog_filename
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in ("ca.pem", "missing.pem"):
        with pytest.raises(OSError, match=r"."):
            tls_context(tmp_path / file)
