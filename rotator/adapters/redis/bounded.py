"""
A limit on what one answer of Redis may hold: whoever may write there could make it send 512 MB at once.
"""

import io
from typing import Any

from redis._parsers.resp2 import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import InvalidResponse

# A hundred of our largest events, or many thousand positions.
MAX_REPLY = 8 * 1024 * 1024
_KEEP = 1024 * 1024


class ReplyTooLargeError(InvalidResponse):
    """
    An answer of Redis holds more than MAX_REPLY bytes. The connection is of no further use.
    """

    def __init__(self) -> None:
        super().__init__(f"an answer of more than {MAX_REPLY // 1024 // 1024} MB, which rotator did not write")


class BoundedParser(_RESP2Parser):
    """
    The RESP2 parser of redis-py, with MAX_REPLY. Set it as `parser_class` of a connection.
    """

    def on_connect(self, connection: Any) -> None:
        """
        Begin with an empty, bounded buffer.
        """
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        assert self._sock is not None, "the base class has just set it"  # noqa: S101
        self._buffer = BoundedBuffer(self._sock, self.socket_read_size, connection.socket_timeout)


class BoundedBuffer(SocketBuffer):
    """
    The buffer of a connection. It also gives memory back while more arrives than is read, which redis-py's does not.
    """

    _spent = 0

    def read(self, length: int, *arguments: Any, **options: Any) -> bytes:
        """
        Return a value of *length* bytes; raises ReplyTooLargeError before it is received if it is too long.
        """
        if length < 0:
            raise InvalidResponse("a value of negative length")
        self._spend(length)
        return super().read(length, *arguments, **options)

    def readline(self, *arguments: Any, **options: Any) -> bytes:
        """
        Return one line; raises ReplyTooLargeError once the answer has too many of them.
        """
        line = super().readline(*arguments, **options)
        self._spend(len(line) + 2)
        return line

    def _read_from_socket(self, *arguments: Any, **options: Any) -> bool:
        if self._buffer.getbuffer().nbytes > 2 * MAX_REPLY:  # a line without an end
            raise ReplyTooLargeError
        return super()._read_from_socket(*arguments, **options)

    def rewind(self, pos: int) -> None:
        """
        Go back to the beginning of an answer of which too little has arrived.
        """
        self._spent = 0
        super().rewind(pos)

    def purge(self) -> None:
        """
        Forget an answer that was read whole.
        """
        self._spent = 0
        super().purge()
        if self._buffer.tell() > _KEEP:
            self._buffer = io.BytesIO(self._buffer.read())

    def _spend(self, length: int) -> None:
        self._spent += length
        if self._spent > MAX_REPLY:
            raise ReplyTooLargeError
