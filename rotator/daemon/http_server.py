"""
A listener: an address and a function that answers paths. GET and HEAD only, bounded in threads, time and size.

Each connection has a thread of its own and each request one deadline, which http.server does not offer. Connections
that are slow are closed, and so are idle ones once every thread is in use: they never keep other callers out.
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

from rotator.errors import ConfigError

MAX_THREADS = 64
TIMEOUT = 5.0
MAX_HEAD = 32768
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Response:
    """
    The answer to a path: everything but Date, Content-Length and Connection, which the server adds.
    """

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""


Respond = Callable[[str, Mapping[str, str]], Response]


def plain(status: HTTPStatus, text: str = "", **headers: str) -> Response:
    """
    Return a short text that must not be cached; header names are written with underscores.
    """
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    body = f"{text or status.phrase.lower()}\n".encode()
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **named}, body)


class HttpServer:
    """
    A listener that answers every path with `respond`, which may be called from several threads at once.

    The constructor binds the port, so that one in use is reported at start-up: raises ConfigError naming *option*.
    """

    def __init__(self, address: str, respond: Respond, option: str) -> None:
        host, port = parse_address(address, option)
        try:
            self._server = _Server(host, port, respond)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(
                f"{option}: cannot listen on {address} ({reason}); free the port or name another"
            ) from error
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """
        The address it listens on; if port 0 was given, with the port that the system chose.
        """
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """
        Start to answer, in threads of its own.
        """
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """
        Accept no more connections, and free the port; open ones end after the answer they are at.
        """
        self._server.stopping = True
        if self._thread:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()


def parse_address(text: str, option: str) -> tuple[str, int]:
    """
    Return host and port of "127.0.0.1:8471" or "[::1]:8471"; raises ConfigError naming *option*.
    """
    try:
        split = urlsplit(f"//{text}")
        host, port = split.hostname, split.port
    except ValueError:
        host, port = None, None
    if not host or port is None or split.netloc != text or split.username is not None:
        raise ConfigError(f'{option}: "{text}" is no address; write it as "127.0.0.1:8471" or "[::1]:8471"')
    return host, port


class _Server(socketserver.ThreadingTCPServer):
    """
    Accepts connections, MAX_THREADS at a time; `crowded` while more are waiting.
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
        self._slots = threading.BoundedSemaphore(MAX_THREADS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """
        Wait for a free thread; meanwhile every answer ends its connection, so that idle ones cannot keep others out.
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
        Log what no handler caught; the base class would print it with its traceback.
        """
        _log.exception("connection failed")


class _BoundedInput(io.RawIOBase):
    """
    The bytes of one request after another, each at most MAX_HEAD bytes, received within TIMEOUT seconds in total.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.restart()

    def restart(self) -> None:
        """
        Start the limits of the next request.
        """
        self._deadline = time.monotonic() + TIMEOUT
        self._left = MAX_HEAD

    def readable(self) -> bool:
        """
        Return True: io.BufferedReader asks.
        """
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """
        Read what has arrived; sending single bytes does not extend the deadline.
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
    server: _Server

    def setup(self) -> None:
        """
        Read through the limits, write without a buffer.
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
        Answer what could not be parsed, without repeating it.
        """
        self.close_connection = True
        self._send(plain(HTTPStatus(code)))
