"""
The one HTTP client: every step, from the name's lookup to the last byte, ends by one deadline.

A socket's own timeout bounds each read, so a server that drips bytes would hold its caller for as long as it likes.
Redirects are never followed, and proxies of the environment are not used.
"""

import errno
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rotator.adapters.files.reading import read_regular

MAX_BODY = 4 << 20
# Answers that only announce another one ("100 Continue", "103 Early Hints").
MAX_INTERIM = 8
# What an answer may add to its body: headers, and the framing of chunks as small as one byte.
_MAX_FRAMING = 1 << 20
# Load balancers drop connections that are idle for a minute, some of them without closing them.
_MAX_IDLE = 45.0
_MAX_AGE = 10**6


def remaining(deadline: float) -> float:
    """
    Return the seconds until *deadline*, a moment of `time.monotonic()`; raises TimeoutError if it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _left(budget: int, count: int) -> int:
    if count > budget:
        raise OSError(errno.EMSGSIZE, "the answer does not end")
    return budget - count


class BoundedSocket(socket.socket):
    """
    A TCP socket that stops reading and writing at `deadline`, and reading after `budget` bytes.

    Its owner sets both for each request.
    """

    deadline = 0.0
    budget = _MAX_FRAMING

    def recv_into(self, *args: Any) -> int:
        """
        Read within the deadline and the budget.
        """
        self.settimeout(remaining(self.deadline))
        count = super().recv_into(*args)
        self.budget = _left(self.budget, count)
        return count

    def sendall(self, *args: Any) -> None:
        """
        Write within the deadline.
        """
        self.settimeout(remaining(self.deadline))
        super().sendall(*args)


class BoundedTlsSocket(ssl.SSLSocket):
    """
    The same with TLS around it.
    """

    deadline = 0.0
    budget = _MAX_FRAMING

    def recv_into(self, *args: Any) -> int:
        """
        Read within the deadline and the budget.
        """
        self.settimeout(remaining(self.deadline))
        count = super().recv_into(*args)
        self.budget = _left(self.budget, count)
        return count

    def send(self, *args: Any) -> int:
        """
        Write within the deadline; `sendall` of a TLS socket is many of these.
        """
        self.settimeout(remaining(self.deadline))
        return super().send(*args)


def tls_context(ca_file: Path | None, *, system: bool = False) -> ssl.SSLContext:
    """
    Return a context whose sockets keep to a deadline; certificates are verified against *ca_file*, else the system's.

    With *system* those of the system count beside the file's. Raises OSError if the file cannot be used.
    """
    # Not `create_default_context`: that one writes the session keys to a file if SSLKEYLOGFILE says so.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = BoundedTlsSocket
    if ca_file is None or system:
        context.load_default_certs()
    if ca_file is not None:
        read_regular(ca_file)  # a FIFO would keep its reader waiting
        context.load_verify_locations(ca_file)
    return context


def connect(host: str, port: int, tls: ssl.SSLContext | None, deadline: float) -> BoundedSocket | BoundedTlsSocket:
    """
    Return a connection to the first address of *host* that accepts one; *tls* is a context of `tls_context`.

    Raises OSError, of which TimeoutError and ssl.SSLError are kinds.
    """
    failure: OSError = OSError("the name has no address")
    addresses = _lookup(host, port, deadline)
    for position, (family, address) in enumerate(addresses):
        plain = BoundedSocket(family, socket.SOCK_STREAM)
        plain.deadline = deadline
        try:
            # One address that swallows packets must leave time for the next.
            plain.settimeout(remaining(deadline) / (len(addresses) - position))
            plain.connect(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain if tls is None else _wrap(plain, host, tls, deadline)
        except OSError as error:
            plain.close()
            failure = error
    raise failure


def _wrap(plain: BoundedSocket, host: str, tls: ssl.SSLContext, deadline: float) -> BoundedTlsSocket:
    wrapped = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    if not isinstance(wrapped, BoundedTlsSocket):
        raise TypeError("the context makes other sockets")
    wrapped.deadline = deadline
    try:
        wrapped.settimeout(remaining(deadline))
        wrapped.do_handshake()
    except OSError:
        wrapped.close()
        raise
    return wrapped


def _lookup(host: str, port: int, deadline: float) -> list[tuple[socket.AddressFamily, Any]]:
    """
    Look up *host* in a thread of its own, because the resolver takes no timeout.
    """
    found: Future[list[tuple[socket.AddressFamily, Any]]] = Future()

    def resolve() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result([(family, address) for family, _, _, _, address in entries])
        except (OSError, UnicodeError) as error:
            found.set_exception(error if isinstance(error, OSError) else OSError("not a host name"))

    threading.Thread(target=resolve, name="lookup", daemon=True).start()
    return found.result(remaining(deadline))


class _Response(http.client.HTTPResponse):
    """
    An answer that may be announced by a few others; the standard library skips any number of them, of one kind.
    """

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == HTTPStatus.SWITCHING_PROTOCOLS:  # noqa: PLR2004 - the class of such answers
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MAX_INTERIM} answers that announce another")


class _Http(http.client.HTTPConnection):
    response_class = _Response


class _Https(_Http):
    """
    With the port that a Host header leaves out.
    """

    default_port = 443


def max_age_of(response: http.client.HTTPResponse) -> int | None:
    """
    Return the seconds for which caches may keep an answer, at most 10^6; None if it does not say.
    """
    for directive in str(response.headers.get("Cache-Control", "")).split(","):
        name, _, value = directive.strip().partition("=")
        if name.lower() == "max-age" and value.isascii() and value.isdecimal():
            return int(value) if len(value) < len(str(_MAX_AGE)) else _MAX_AGE
    return None


class Connection:
    """
    One keep-alive connection; `open` says whether it can carry another request, `used` whether it carried one before.
    """

    def __init__(self, host: str, port: int, sock: BoundedSocket | BoundedTlsSocket) -> None:
        self._http = (_Https if isinstance(sock, BoundedTlsSocket) else _Http)(host, port)
        self._http.auto_open = 0
        self._http.sock = sock
        self._sock = sock
        self._idle_since = 0.0
        self.open = True
        self.used = False

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
        max_body: int = MAX_BODY,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """
        Send a request; return the answer's head and its body of *max_body* bytes at most.

        Raises OSError and HTTPException, and is then closed.
        """
        self._sock.deadline, self._sock.budget = deadline, max_body + _MAX_FRAMING
        try:
            self._http.request(method, path, body, dict(headers))
            response = self._http.getresponse()
            data = response.read(max_body + 1)
        except BaseException:
            self.close()
            raise
        if response.will_close or len(data) > max_body:
            self.close()
        if len(data) > max_body:
            raise http.client.HTTPException(f"more than {max_body} bytes")
        self.used = True
        self._idle_since = time.monotonic()
        return response, data

    def fit(self) -> bool:
        """
        Whether an idle connection is worth using: not idle for too long, and not closed by the server.
        """
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return time.monotonic() - self._idle_since < _MAX_IDLE and not poll.poll(0)

    def close(self) -> None:
        """
        Hang up.
        """
        self.open = False
        self._http.close()


def get(
    url: str, headers: Mapping[str, str], deadline: float, max_body: int = MAX_BODY, ca_file: Path | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """
    Return the head and body that *url* answers a GET with, whatever the status, on a connection of its own.

    The authorities in *ca_file* are trusted beside the system's.
    Raises ValueError for anything but an http or https address, OSError or HTTPException if no good answer came by
    *deadline*.
    """
    split = urlsplit(url)
    if not split.hostname or split.scheme not in {"http", "https"}:
        raise ValueError("not an http or https address")
    tls = tls_context(ca_file, system=True) if split.scheme == "https" else None
    port = split.port or (80 if tls is None else 443)
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    connection = Connection(split.hostname, port, connect(split.hostname, port, tls, deadline))
    try:
        return connection.exchange("GET", target, None, headers, deadline, max_body)
    finally:
        connection.close()
