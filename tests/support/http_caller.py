"""
A caller of our listeners, over real sockets.
"""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rotator.daemon.http_server import HttpServer, parse_address


@dataclass(frozen=True)
class Reply:
    """One answer as a caller got it; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(server: HttpServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
    """Ask over a connection of its own."""
    connection = http.client.HTTPConnection(server.address, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        with connection.getresponse() as response:
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def connect(server: HttpServer) -> socket.socket:
    """Return an open connection."""
    return socket.create_connection(parse_address(server.address, ""), 10)


def raw(server: HttpServer, data: bytes) -> bytes:
    """Send *data* and return all that comes until the other side ends the connection."""
    with connect(server) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@contextlib.contextmanager
def running(server: HttpServer) -> Iterator[None]:
    """Run *server* for the length of a block."""
    server.start()
    try:
        yield
    finally:
        server.close()
