"""
The limit on what one answer of Redis may hold, and on what a connection keeps of it.
"""

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from redis.exceptions import InvalidResponse

from rotator.adapters.redis.bounded import MAX_REPLY, BoundedParser, ReplyTooLargeError


class Wire:
    """
    A parser, and the other end of its connection.
    """

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.settimeout(1)
        encoder = SimpleNamespace(decode=lambda value: value)
        self.parser = BoundedParser(65536)
        self.parser.on_connect(SimpleNamespace(_sock=ours, socket_timeout=1, encoder=encoder))
        self.ours = ours

    def answer(self, *data: bytes) -> object:
        """
        Send *data*, and return what it is parsed as.
        """
        for part in data:
            self.theirs.sendall(part)
        return self.parser.read_response()


@pytest.fixture(name="wire")
def _wire() -> Iterator[Wire]:
    """
    A connection of the test's own.
    """
    wire = Wire()
    yield wire
    wire.ours.close()
    wire.theirs.close()


def test_answers_are_parsed_as_ever(wire: Wire) -> None:
    """
    Texts, numbers, nulls and lists; as many as come.
    """
    for _ in range(3):
        assert wire.answer(b"*4\r\n$3\r\nweb\r\n:7\r\n$-1\r\n+OK\r\n") == [b"web", 7, None, b"OK"]


@pytest.mark.parametrize(
    "answer",
    [
        b"$%d\r\n" % (MAX_REPLY + 1),
        b"$536870912\r\n",
        b"*3\r\n$1\r\na\r\n$%d\r\n" % MAX_REPLY,
        b"*2\r\n*1\r\n$1\r\na\r\n*1\r\n$999999999\r\n",
    ],
)
def test_a_value_too_large_is_refused_before_it_comes(wire: Wire, answer: bytes) -> None:
    """
    By its length alone, that of all values of the answer together.
    """
    with pytest.raises(ReplyTooLargeError, match="more than 8 MB"):
        wire.answer(answer)


def test_a_list_of_too_many_is_refused(wire: Wire) -> None:
    """
    However small they are.
    """
    wire.parser._buffer._spent = MAX_REPLY - 20
    with pytest.raises(ReplyTooLargeError):
        wire.answer(b"*1000000000\r\n" + b":1\r\n" * 10)


def test_a_line_without_an_end_is_refused(wire: Wire) -> None:
    """
    It is never whole, so its length cannot be counted when it is.
    """
    wire.ours.setblocking(True)
    wire.parser._buffer._buffer.write(b"+" + b"x" * 2 * MAX_REPLY)
    wire.parser._buffer._buffer.seek(0)
    with pytest.raises(ReplyTooLargeError):
        wire.answer(b"x")


def test_a_negative_length_is_no_length(wire: Wire) -> None:
    """
    It would mean all that has come.
    """
    with pytest.raises(InvalidResponse, match="negative"):
        wire.answer(b"$-7\r\nsecret\r\n")


def test_an_answer_in_pieces_counts_once(wire: Wire) -> None:
    """
    What was read of it is read again when the rest is there.
    """
    half = MAX_REPLY // 2 // 40000 * 40000
    wire.ours.settimeout(0.01)
    for _ in range(3):
        with pytest.raises(Exception, match="Timeout"):
            wire.answer(b"" if wire.parser._buffer.unread_bytes() else b"*2\r\n$%d\r\n" % half + b"x" * 40000)
    assert wire.parser._buffer._spent == 0


def test_a_flood_is_given_back(wire: Wire) -> None:
    """
    Answers that are read slower than they come do not grow the buffer: what was read of it is dropped.
    """
    wire.theirs.sendall(b"$9000\r\n" + b"x" * 9000 + b"\r\n$1\r\n")
    for _ in range(500):
        assert wire.answer(b"y\r\n$9000\r\n" + b"x" * 9000 + b"\r\n$1\r\n")
        assert wire.parser.read_response() == b"y"
    assert wire.parser._buffer._buffer.getbuffer().nbytes < 2 * 1024 * 1024
