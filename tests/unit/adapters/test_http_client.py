"""
The one HTTP client: one deadline for everything, bounded bodies, connections that are used again.
"""

import itertools
import os
import socket
import ssl
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from rotator.adapters.http_client import Connection, connect, get, remaining, tls_context
from tests.support.certificates import certificate
from tests.support.peer import Answer, Hole, Peer, Request, Script, answer, elapsed


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


def test_an_answer_may_be_announced_by_a_few_others() -> None:
    """A proxy that says "continue", or sends hints early, is understood: the answer that counts comes after those."""
    announced = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
    with Peer(lambda _: announced * 4 + answer(200, b"x")) as peer:
        response, body = get(peer.address, {}, soon())
    assert (response.status, body) == (200, b"x")


def _endless(piece: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") -> Script:
    return lambda _: itertools.chain([head], itertools.repeat(piece * 100))


ENDLESS: dict[str, tuple[Script, str]] = {
    "100 Continue": (_endless(b"HTTP/1.1 100 Continue\r\n\r\n", b""), "more than 8 answers that announce another"),
    "103 Early Hints": (_endless(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b""), "more than 8 answers"),
    "a status line": (_endless(b"H", b""), "status line"),
    "headers": (_endless(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n"), "100 headers"),
    "a chunk extension": (_endless(b"x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"), "chunk size"),
    "chunks of a byte with long extensions": (_endless(b"1;" + b"x" * 1000 + b"\r\nx\r\n"), "does not end"),
    "a body": (_endless(b"x", b"HTTP/1.1 200 OK\r\n\r\n"), "more than 100000 bytes"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_an_end_costs_little(name: str) -> None:
    """It is given up after so much of it, long before the deadline: no answer keeps a processor busy until then."""
    script, said = ENDLESS[name]
    with Peer(script) as peer:
        before = time.thread_time()
        with pytest.raises((HTTPException, OSError), match=said):
            get(peer.address, {}, soon(60), 100_000)
        assert time.thread_time() - before < 1


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
    os.mkfifo(tmp_path / "fifo.pem")
    for file in ("ca.pem", "missing.pem", "fifo.pem"):
        with pytest.raises(OSError, match=r"."):
            tls_context(tmp_path / file)


def test_authorities_of_a_file_may_count_beside_those_of_the_system(tmp_path: Path) -> None:
    """A host of our own, signed by an authority that nobody else knows, and a public one, with one context."""
    ca_file, context = certificate(tmp_path, "127.0.0.1")
    with Peer(lambda _: answer(200, b"x"), context) as peer:
        assert get(peer.address, {}, soon(), ca_file=ca_file)[1] == b"x"
        with pytest.raises(ssl.SSLCertVerificationError):
            get(peer.address, {}, soon())
    alone, beside = tls_context(ca_file), tls_context(ca_file, system=True)
    assert len(alone.get_ca_certs()) == 1
    assert len(beside.get_ca_certs()) == len(tls_context(None).get_ca_certs()) + 1
