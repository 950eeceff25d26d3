"""
What one connection may take from the others: turns, and memory. Over real sockets, into the loop itself.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

import pytest

from rotator.daemon.connection import CHUNK
from rotator.daemon.event_loop import MAX_RECEIVED
from rotator.daemon.http_message import MAX_HEAD, Request, Response, plain
from rotator.daemon.http_server import HttpServer
from tests.support.http_caller import connect, running


def request(path: str) -> bytes:
    """Return a request."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Pages:
    """Pages that note who asked; the first answer waits until `go` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()

    def respond(self, asked: Request) -> Response:
        """Answer any path."""
        self.go.wait(10)
        self.asked.append(asked.path)
        return plain(HTTPStatus.OK, "x" * 1000)


@pytest.fixture
def pages() -> Pages:
    """
    What the listener answers.
    """
    return Pages()


@pytest.fixture
def server(pages: Pages) -> Iterator[HttpServer]:
    """
    A listener.
    """
    with running(made := HttpServer("127.0.0.1:0", pages.respond, "test")):
        yield made
        pages.go.set()


def test_one_who_asks_much_at_once_is_answered_in_turn(server: HttpServer, pages: Pages) -> None:
    """One request each, so that another caller does not wait for all of them."""
    with connect(server) as greedy, connect(server) as modest:
        greedy.sendall(request("/greedy") * 200)
        modest.sendall(request("/modest"))
        pages.go.set()
        told = b""
        while told.count(b"HTTP/1.1 200 OK") < 200:
            told += greedy.recv(65536)
    assert pages.asked.index("/modest") < 5
    assert pages.asked.count("/greedy") == 200


def test_no_more_is_read_than_is_answered(server: HttpServer, pages: Pages) -> None:
    """One who asks without end and does not read is kept neither in requests nor in answers."""
    pages.go.set()
    with connect(server) as deaf, connect(server) as other:
        deaf.settimeout(0.5)
        with pytest.raises(TimeoutError):
            deaf.sendall(request("/deaf") * 1_000_000)
        assert server._loop._received <= CHUNK
        other.sendall(request("/other"))
        assert other.recv(65536).startswith(b"HTTP/1.1 200 OK")
        asked = len(pages.asked)
    assert asked < 5000


def test_unfinished_requests_are_bounded_together(server: HttpServer, pages: Pages) -> None:
    """Each may be long, but not all at once: those that began first must go, and whoever asks is answered."""
    pages.go.set()
    piece = b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD - 100)
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(MAX_RECEIVED // len(piece) + 40)]
        for caller in crowd:
            caller.sendall(piece)
        with connect(server) as good:
            good.sendall(request("/good"))
            assert good.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert crowd[0].recv(1) == b""
        assert server._loop._received <= MAX_RECEIVED
        crowd[-1].sendall(b"\r\nHost: x\r\n\r\n")
        assert crowd[-1].recv(65536).startswith(b"HTTP/1.1 200 OK")
