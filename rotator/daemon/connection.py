"""
One caller's connection, which never blocks: what has arrived of the next request, and what is left to send.
"""

import socket
import struct
from http import HTTPStatus

from rotator.daemon.http_message import MAX_HEAD, BadRequestError, Request, Response, is_token, parse_head

CHUNK = 8192
# A small answer is copied into one piece. Of a larger one all callers share the bytes, however slowly they read.
MAX_COPY = 4096
MAX_DISCARDED = 1 << 18
_AT_ONCE = struct.pack("ii", 1, 0)
_KEPT = b"\r\n"
_LAST = b"Connection: close\r\n\r\n"


class Connection:
    """
    A socket, what was received of the next request, and what is left to send of an answer.

    `at_end`: the caller has said all. `last`: the answer under way is the last one.
    """

    __slots__ = ("_scanned", "_socket", "_unsent", "at_end", "counted", "discarded", "fd", "last", "received")

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._socket = accepted
        self._scanned = 0
        self._unsent: list[memoryview] = []
        self.fd = accepted.fileno()
        self.received = b""
        self.at_end = False
        self.last = False
        self.counted = 0
        self.discarded = 0

    def receive(self) -> bytes:
        """
        Return what has arrived, at most CHUNK bytes; nothing if that was all, which sets `at_end`. Raises OSError.
        """
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return b""
        self.at_end = not data
        return data

    def next_request(self) -> Request | None:
        """
        Take a request out of what was received; None if none is whole. Raises BadRequestError.
        """
        received = self.received
        while received.startswith(_KEPT):  # empty lines before a request (RFC 9112 section 2.2)
            received = received[2:]
            self._scanned = 0
        end = received.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self.received = received
            self._refuse_early()
            return None
        self.received, self._scanned = received[end + 4 :], 0
        if end > MAX_HEAD:
            raise _too_large(received)
        return parse_head(received[:end])

    def _refuse_early(self) -> None:
        """
        Raise BadRequestError if what was received cannot become a head, whatever follows.
        """
        received, start = self.received, self._scanned
        if received and received != b"\r" and not is_token(received[:1]):
            raise BadRequestError  # TLS, for one
        if received.find(b"\n\n", start) >= 0 or received.find(b"\n\r\n", start) >= 0:
            raise BadRequestError
        if len(received) > MAX_HEAD:
            raise _too_large(received)
        if self.at_end and received:
            raise BadRequestError
        self._scanned = max(0, len(received) - 3)

    def answer(self, response: Response, date: bytes, *, with_body: bool = True) -> None:
        """
        Send *response*, as much as the caller takes now; the rest is left to `flush`. Raises OSError.
        """
        head = b"".join((response.head, date, _LAST if self.last else _KEPT))
        body = response.body if with_body else b""
        if len(body) > MAX_COPY:
            self._unsent = [memoryview(head), memoryview(body)]
            self.flush()
            return
        data = head + body
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent = [memoryview(data)[sent:]]

    @property
    def answering(self) -> bool:
        """
        Whether a part of an answer is left to send.
        """
        return bool(self._unsent)

    def flush(self) -> None:
        """
        Send what the caller takes now of what is left. Raises OSError.
        """
        try:
            sent = self._socket.sendmsg(self._unsent)
        except BlockingIOError:
            return
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.pop(0))
        if sent:
            self._unsent[0] = self._unsent[0][sent:]

    def say_end(self) -> None:
        """
        Tell the caller that nothing follows. Raises OSError.
        """
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """
        Give the socket back. If the caller did not take the answer, the kernel shall not keep it either.
        """
        if self._unsent:
            self._unsent = []
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._socket.close()


def _too_large(received: bytes) -> BadRequestError:
    if b"\n" in received[:MAX_HEAD]:
        return BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    return BadRequestError(HTTPStatus.REQUEST_URI_TOO_LONG)
