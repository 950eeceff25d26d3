"""
A peer that answers HTTP as its script says, well or badly, and remembers what it was asked.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.servers.vault import VaultServer


@dataclass(frozen=True)
class Request:
    """
    One request as it arrived; the names of headers are in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """
        The decoded body, None where there is none.
        """
        return json.loads(self.body) if self.body else None


# What a script returns: raw bytes, raw bytes in pieces with pauses between them, or nothing (hang up).
Answer = bytes | Iterable[bytes | float]
Script = Callable[[Request], Answer]


def answer(
    status: int, body: object = None, *, headers: Mapping[str, str] | None = None, date: str | None = "now"
) -> bytes:
    """
    A well-formed HTTP response; *body* is text, bytes, or something for JSON, None for an empty one.
    """
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    if isinstance(body, str):
        data = body.encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", "Content-Type: application/json"]
    if date is not None:
        lines.append(f"Date: {formatdate(usegmt=True) if date == 'now' else date}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def forward(server: VaultServer, request: Request) -> bytes:
    """
    What a real Vault answers to *request*.
    """
    token = request.headers.get("x-vault-token", "")
    status, body = server.request(request.method, request.path.removeprefix("/v1/"), request.json, token)
    return answer(status, body or None)


class Peer:
    """
    The server; its address is loopback, plain HTTP or, with *tls*, HTTPS.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._script = script
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pause(self, seconds: float) -> None:
        """
        Wait, unless the peer is to end.
        """
        self._over.wait(seconds)

    def _send(self, handler: BaseHTTPRequestHandler, given: Answer) -> None:
        pieces = [given] if isinstance(given, bytes) else given
        handler.close_connection = not (isinstance(given, bytes) and given)
        for piece in pieces:
            if isinstance(piece, bytes):
                handler.wfile.write(piece)
            else:
                self.pause(piece)

    def _handler(peer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                peer.connections += 1
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    self.raw_requestline = self.rfile.readline(65537)
                    if not self.raw_requestline or not self.parse_request():
                        self.close_connection = True
                        return
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    request = Request(self.command, self.path, headers, body)
                    peer.requests.append(request)
                    peer._send(self, peer._script(request))
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Hole:
    """
    A listener that accepts and never says a word, not even a TLS one.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def elapsed(work: Callable[[], object]) -> float:
    """
    The seconds that *work* takes.
    """
    started = time.monotonic()
    work()
    return time.monotonic() - started
