"""
One HTTP/1.1 connection at a time in a thread of its own: GET and HEAD only, bounded in threads, time and size.
"""

import io
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import cast
from urllib.parse import urlsplit

THREADS = 64
TIMEOUT = 5.0
MAX_HEAD = 32768
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Response:
    """
    What is answered to a path: everything but Date, Content-Length and Connection.
    """

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""


Respond = Callable[[str, Mapping[str, str]], Response]


def plain(status: HTTPStatus, text: str = "", **headers: str) -> Response:
    """
    Return a short text that nobody may cache; header names are written with underscores.
    """
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    body = f"{text or status.phrase.lower()}\n".encode()
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **named}, body)


class Server(socketserver.ThreadingTCPServer):
    """
    Accepts connections, THREADS at a time; `crowded` while more are waiting.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, respond: Respond) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.respond = respond
        self.stopping = False
        self.crowded = False
        self._slots = threading.BoundedSemaphore(THREADS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """
        Wait for a free thread. Meanwhile every answer ends its connection, so that idle ones cannot keep others out.
        """
        while not self._slots.acquire(timeout=0.1):
            self.crowded = True
            if self.stopping:
                self.shutdown_request(request)
                return
        self.crowded = False
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """
        Serve one connection and give its slot back.
        """
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:  # noqa: ARG002 - the base's signature
        """
        Tell what no handler caught, which the base would print with its traceback.
        """
        _log.exception("connection failed")


class _BoundedInput(io.RawIOBase):
    """
    The bytes of one request after another: each at most MAX_HEAD long and there within TIMEOUT seconds in all.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.restart()

    def restart(self) -> None:
        """
        Begin another request.
        """
        self._deadline = time.monotonic() + TIMEOUT
        self._left = MAX_HEAD

    def readable(self) -> bool:
        """
        Tell the buffer above that this can be read.
        """
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """
        Read what is there; a sender of single bytes gains no time by them.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0 or self._left <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        count = self._connection.recv_into(buffer[: self._left])
        self._left -= count
        return count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers leave at once instead of waiting for an acknowledgement of the one before.
    disable_nagle_algorithm = True
    timeout = TIMEOUT
    server: Server

    def setup(self) -> None:
        """
        Read through the bounds, write without a buffer.
        """
        super().setup()
        self.rfile.close()
        self._input = _BoundedInput(self.connection)
        self.rfile = io.BufferedReader(self._input)

    def handle_one_request(self) -> None:
        """
        Answer one request, or end the connection.
        """
        self.close_connection = True
        self._input.restart()
        try:
            self.raw_requestline = self.rfile.readline(MAX_HEAD)
            if not self.raw_requestline:
                return
            if not self.raw_requestline.endswith(b"\n"):
                self.requestline, self.request_version, self.command = "", "", ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            elif self.parse_request():
                self._answer()
        except (OSError, ValueError):  # gone, too slow, or not HTTP
            self.close_connection = True

    def _answer(self) -> None:
        headers = cast("Mapping[str, str]", self.headers)
        try:
            path = urlsplit(self.path).path
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif self.command not in {"GET", "HEAD"}:
            self.close_connection = True  # its body, if any, is left unread
            self._send(plain(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD"))
        else:
            if "Content-Length" in headers or "Transfer-Encoding" in headers or self.request_version == "HTTP/1.0":
                self.close_connection = True
            try:
                response = self.server.respond(path, headers)
            except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer
                _log.exception("no answer to a request")
                response = plain(HTTPStatus.INTERNAL_SERVER_ERROR)
            self._send(response)

    def _send(self, response: Response) -> None:
        if self.server.crowded or self.server.stopping:
            self.close_connection = True
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Date: {self.date_time_string()}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if response.status is not HTTPStatus.NOT_MODIFIED:
            lines.append(f"Content-Length: {len(response.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.connection.settimeout(TIMEOUT)
        self.connection.sendall(head if self.command == "HEAD" else head + response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - the base's signature
        """
        Refuse what could not be parsed, without repeating it.
        """
        self.close_connection = True
        self._send(plain(HTTPStatus(code)))
