"""
One connection over a pair of sockets: requests as they arrive in pieces, and answers to callers who do not read.
"""

import socket
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from rotator.daemon.connection import CHUNK, MAX_COPY, Connection
from rotator.daemon.http_message import MAX_HEAD, BadRequestError, Request, Response

REQUEST = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
DATE = b"Date: now\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Connection]]:
    """
    The caller's end, and ours.
    """
    caller, accepted = socket.socketpair()
    connection = Connection(accepted)
    yield caller, connection
    caller.close()
    connection.close()


def arrive(ends: tuple[socket.socket, Connection], data: bytes) -> Request | None:
    """Let data arrive, and return the next request if that made it whole."""
    caller, connection = ends
    caller.sendall(data)
    while data := connection.receive():
        connection.received += data
    return connection.next_request()


def test_a_request_may_arrive_byte_by_byte(ends: tuple[socket.socket, Connection]) -> None:
    """And empty lines before it (RFC 9112 section 2.2)."""
    *head, last = (bytes([byte]) for byte in b"\r\n\r\n" + REQUEST)
    assert [arrive(ends, byte) for byte in head] == [None] * len(head)
    request = arrive(ends, last)
    assert request is not None
    assert request.path == "/here"
    assert ends[1].received == b""


def test_requests_that_arrive_together_are_taken_one_by_one(ends: tuple[socket.socket, Connection]) -> None:
    """In their order; what is not whole stays."""
    assert arrive(ends, REQUEST + REQUEST.replace(b"here", b"there") + REQUEST[:9])
    second = ends[1].next_request()
    assert second is not None
    assert second.path == "/there"
    assert ends[1].next_request() is None
    assert arrive(ends, REQUEST[9:]) is not None


def test_the_end_is_told_from_silence(ends: tuple[socket.socket, Connection]) -> None:
    """Nothing arrived yet is not the end."""
    caller, connection = ends
    assert (connection.receive(), connection.at_end) == (b"", False)
    caller.shutdown(socket.SHUT_WR)
    assert (connection.receive(), connection.at_end) == (b"", True)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b" GET", 400),
        (b"\nGET", 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\r\n", 400),
        (b"GET /" + b"a" * MAX_HEAD, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, 431),
    ],
)
def test_what_cannot_become_a_request_is_refused_at_once(
    ends: tuple[socket.socket, Connection], data: bytes, status: int
) -> None:
    """Its caller is not left to wait for the deadline."""
    with pytest.raises(BadRequestError) as caught:
        arrive(ends, data)
    assert caught.value.status == status


def test_half_a_request_at_the_end_is_refused(ends: tuple[socket.socket, Connection]) -> None:
    """It will not get the rest."""
    caller, connection = ends
    assert arrive(ends, b"GET / HT") is None
    caller.shutdown(socket.SHUT_WR)
    assert connection.receive() == b""
    with pytest.raises(BadRequestError):
        connection.next_request()


@pytest.mark.parametrize("size", [0, 10, MAX_COPY, MAX_COPY + 1, 5_000_000])
def test_an_answer_arrives_whole_however_slowly_it_is_read(ends: tuple[socket.socket, Connection], size: int) -> None:
    """In pieces, if it must be."""
    caller, connection = ends
    response = Response(HTTPStatus.OK, {}, bytes(size))
    expected = response.head + DATE + b"\r\n" + response.body
    connection.answer(response, DATE)
    told = b""
    while len(told) < len(expected):
        told += caller.recv(99_999)
        if connection.answering:
            connection.flush()
    assert told == expected
    assert not connection.answering


def test_callers_who_do_not_read_share_the_bytes_of_an_answer(ends: tuple[socket.socket, Connection]) -> None:
    """A large answer is not copied for each of them."""
    response = Response(HTTPStatus.OK, {}, bytes(5_000_000))
    ends[1].answer(response, DATE)
    assert ends[1].answering
    assert all(piece.obj is response.body for piece in ends[1]._unsent)


def test_small_answers_wait_too(ends: tuple[socket.socket, Connection]) -> None:
    """A caller who asks and asks and does not read fills what the kernel keeps, and then is answered no more."""
    caller, connection = ends
    response, answers = Response(HTTPStatus.OK, {}, b"x" * 1000), 0
    while not connection.answering:
        connection.answer(response, DATE)
        answers += 1
    told = 0
    while connection.answering:
        told += len(caller.recv(CHUNK))
        connection.flush()
    caller.setblocking(False)
    while told < answers * len(response.head + DATE + b"\r\n" + response.body):
        told += len(caller.recv(CHUNK))
    with pytest.raises(BlockingIOError):
        caller.recv(1)


def test_the_last_answer_says_so(ends: tuple[socket.socket, Connection]) -> None:
    """And HEAD has no body."""
    caller, connection = ends
    connection.last = True
    connection.answer(Response(HTTPStatus.OK, {}, b"body"), DATE, with_body=False)
    connection.say_end()
    told = b"".join(iter(lambda: caller.recv(CHUNK), b""))
    assert told.endswith(b"Content-Length: 4\r\nDate: now\r\nConnection: close\r\n\r\n")
