"""
The HTTP server by itself, over real sockets: what it answers, and what it does to callers who keep others waiting.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

import pytest

from rotator.daemon.http_message import MAX_HEAD, NOT_ALLOWED, Request, Response, plain
from rotator.daemon.http_server import HttpServer, parse_address
from rotator.errors import ConfigError
from tests.support.http_caller import ask, connect, raw, running

REQUEST = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"


def respond(request: Request) -> Response:
    """One page, one that fails, and one that tells a header."""
    if request.method == "OPTIONS":
        return NOT_ALLOWED
    match request.path:
        case "/here":
            return Response(HTTPStatus.OK, {"Content-Type": "text/x", "ETag": '"1"'}, b"body")
        case "/unchanged":
            return Response(HTTPStatus.NOT_MODIFIED, {"ETag": '"1"'})
        case "/header":
            return plain(HTTPStatus.OK, request.headers.get("x-said") or "none")
        case "/fault":
            raise RuntimeError("inside, secret")
    return plain(HTTPStatus.NOT_FOUND, retry_after="7")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """
    A listener on a port that the system chose.
    """
    made = HttpServer("127.0.0.1:0", respond, "[test] http")
    with running(made):
        yield made


def test_an_answer_has_the_headers_of_the_page_and_few_others(server: HttpServer) -> None:
    """No name and no version of a program among them; what follows "?" does not choose a page."""
    reply = ask(server, "/here?a=b")
    assert (reply.status, reply.body) == (200, b"body")
    assert reply.headers.keys() == {"date", "content-type", "etag", "content-length"}
    assert reply.headers["content-length"] == "4"


def test_head_is_get_without_the_body(server: HttpServer) -> None:
    """With the length that the body has."""
    got, told = ask(server, "/here"), ask(server, "/here", "HEAD")
    assert told.body == b""
    assert {**told.headers, "date": ""} == {**got.headers, "date": ""}


def test_304_has_no_length(server: HttpServer) -> None:
    """RFC 9110 section 8.6: it would have to be that of the page."""
    reply = ask(server, "/unchanged")
    assert (reply.status, reply.body) == (304, b"")
    assert "content-length" not in reply.headers


def test_a_short_text_is_not_to_be_cached(server: HttpServer) -> None:
    """It tells of a moment; without a text it is the phrase of the status."""
    reply = ask(server, "/nowhere")
    assert (reply.status, reply.body) == (404, b"not found\n")
    assert (reply.headers["cache-control"], reply.headers["retry-after"]) == ("no-store", "7")


def test_the_page_sees_the_headers(server: HttpServer) -> None:
    """By any case of their names."""
    assert ask(server, "/header", x_said="hello").body == b"hello\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_405_and_end_the_connection(server: HttpServer, method: str) -> None:
    """Their body, if any, is left unread."""
    reply = ask(server, "/here", method, b"body")
    assert (reply.status, reply.headers["allow"], reply.headers["connection"]) == (405, "GET, HEAD", "close")


def test_a_connection_serves_one_request_after_another(server: HttpServer) -> None:
    """Also when they arrive together, until one asks for the end."""
    last = REQUEST.replace(b"Host: x", b"Host: x\r\nConnection: close")
    told = raw(server, REQUEST * 3 + last + REQUEST)
    assert told.count(b"HTTP/1.1 200 OK") == 4
    assert told.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /here HTTP/1.0\r\n\r\n" + REQUEST, {b"200"}),
        (b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + REQUEST, {b"404"}),
        (b"GET /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + REQUEST, {b"400"}),
        (b"GET /\r\n", {b"400"}),
        (b"<script>alert(1)</script> HTTP/1.1\r\n\r\n", {b"400"}),
        (b"GET http://[::1 HTTP/1.1\r\n\r\n", {b"400"}),
        (b"GET /here HTTP/1.1\r\n\r\n" + REQUEST, {b"400"}),
        (b"GET / HTTP/9.9\r\n\r\n", {b"505"}),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", {b"431"}),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", {b"414"}),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", {b"431"}),
        (b"\x16\x03\x01\x02\x00\x01\x00", {b"400"}),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 40 + b"\r\n", {b"431"}),
        (b"\r\n\r\n", {b""}),
        (b"", {b""}),
    ],
)
def test_an_odd_request_gets_one_answer_or_none_and_ends_the_connection(
    server: HttpServer, data: bytes, statuses: set[bytes]
) -> None:
    """Nothing of it is repeated, and the next caller is served."""
    told = raw(server, data)
    assert told.count(b"HTTP/1.1 ") <= 1
    assert told[9:12] in statuses
    assert b"script" not in told
    assert b"Server:" not in told
    assert ask(server, "/here").status == 200


def test_a_fault_of_ours_is_500_without_details(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log has them, the caller has not."""
    with caplog.at_level(logging.ERROR):
        reply = ask(server, "/fault")
    assert (reply.status, reply.body) == (500, b"internal server error\n")
    assert "inside, secret" in caplog.text


def test_nothing_is_printed_for_requests(server: HttpServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Good ones and bad ones are the proxy's to log."""
    ask(server, "/here")
    ask(server, "/here", "POST")
    raw(server, b"nonsense\r\n\r\n")
    assert capfd.readouterr() == ("", "")


def test_when_all_connections_are_taken_the_longest_idle_makes_room(caplog: pytest.LogCaptureFixture) -> None:
    """The newcomer is served at once, the others keep theirs, and the log says it once."""
    with running(server := HttpServer("127.0.0.1:0", respond, "[test] http", max_connections=4)), ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(4)]
        for caller in (*crowd[1:], crowd[0]):
            caller.sendall(REQUEST)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")
        for closed in (crowd[1], crowd[2]):
            newcomer = stack.enter_context(connect(server))
            newcomer.sendall(REQUEST)
            assert newcomer.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert closed.recv(1) == b""
        for kept in (crowd[3], crowd[0]):
            kept.sendall(REQUEST)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert [record.getMessage() for record in caplog.records] == [
        f"{server.address} is full: of 4 connections the longest idle are closed"
    ]


def test_pages_may_be_swapped_while_the_socket_stays(server: HttpServer) -> None:
    """The next request of a connection that is open gets the new ones."""
    with connect(server) as caller:
        caller.sendall(REQUEST)
        assert caller.recv(65536).endswith(b"body")
        server.swap(lambda _request: plain(HTTPStatus.OK, "other"))
        caller.sendall(REQUEST)
        assert caller.recv(65536).endswith(b"other\n")


def test_a_listener_that_is_closed_finishes_what_is_under_way() -> None:
    """Callers who were connected are answered, told that it is the end, and the port is free at once."""
    page = Response(HTTPStatus.OK, {}, b"x" * 3_000_000)
    server = HttpServer("127.0.0.1:0", lambda _request: page, "[test] http")
    server.start()
    with connect(server) as reading, connect(server) as idle, connect(server) as late:
        for caller in (idle, reading):
            caller.sendall(REQUEST.replace(b"GET", b"HEAD"))
            assert b"Connection: close" not in caller.recv(65536)
        reading.sendall(REQUEST)
        told = reading.recv(1000)
        closing = threading.Thread(target=server.close)
        closing.start()
        assert idle.recv(1) == b""
        late.sendall(REQUEST.replace(b"GET", b"HEAD"))
        assert b"Connection: close" in late.recv(65536)
        while data := reading.recv(1 << 20):
            told += data
        closing.join(10)
    assert told.endswith(b"\r\n\r\n" + page.body)
    server.close()
    with running(again := HttpServer(server.address, respond, "[test] http")):
        assert ask(again, "/here").status == 200


def test_callers_who_asked_before_the_end_are_answered() -> None:
    """Also those whom the listener had no time to accept, or to hear."""
    busy, go = threading.Event(), threading.Event()

    def respond_slowly(request: Request) -> Response:
        if request.path == "/slow":
            busy.set()
            go.wait(10)
        return plain(HTTPStatus.OK)

    server = HttpServer("127.0.0.1:0", respond_slowly, "[test] http")
    server.start()
    with connect(server) as first, connect(server) as second, connect(server) as idle:
        for caller in (second, idle):
            caller.sendall(REQUEST)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")
        first.sendall(REQUEST.replace(b"here", b"slow"))
        assert busy.wait(10)
        with connect(server) as late:
            closing = threading.Thread(target=server.close)
            closing.start()
            for caller in (second, late):
                caller.sendall(REQUEST)
            go.set()
            for caller in (first, second, late):
                assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert idle.recv(1) == b""
        closing.join(10)


def test_a_body_on_its_way_takes_no_answer_away(server: HttpServer) -> None:
    """It is not read as a request, but the connection stays until its caller has heard what is said."""
    with connect(server) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert caller.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 405"
        for _ in range(10):
            caller.sendall(REQUEST.ljust(10000))
            time.sleep(0.01)
        caller.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: caller.recv(65536), b""))
    assert told.count(b"HTTP/1.1 ") == 1


def test_a_server_that_never_started_can_be_stopped() -> None:
    """Its port was bound, and is free again."""
    first = HttpServer("127.0.0.1:0", respond, "[test] http")
    first.close()
    HttpServer(first_address := "127.0.0.1:0", respond, first_address).close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8471", ("127.0.0.1", 8471)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    """As in a URL."""
    assert parse_address(text, "[test] http") == expected


@pytest.mark.parametrize(
    "text", ["8471", ":8471", "localhost", "h:port", "::1:8471", "h:70000", "http://h:80", "a@b:1", "[::1:80"]
)
def test_what_is_no_address_names_the_option(text: str) -> None:
    """And how it is written."""
    with pytest.raises(ConfigError, match=r'^\[test\] http: ".*" is no address; write it as "127\.0\.0\.1:8471"'):
        HttpServer(text, respond, "[test] http")


def test_a_port_in_use_is_told_at_once(server: HttpServer) -> None:
    """Not when the first caller fails."""
    with pytest.raises(ConfigError, match=r"^\[test\] http: cannot listen on .*; free the port or name another"):
        HttpServer(server.address, respond, "[test] http")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_is_written_as_in_a_url() -> None:
    """In brackets."""
    try:
        made = HttpServer("[::1]:0", respond, "[test] http")
    except ConfigError:
        pytest.skip("no IPv6 here")
    with running(made):
        assert made.address.startswith("[::1]:")
        assert ask(made, "/here").status == 200
