"""
A listener: an address, and a function that answers requests. Its connections are in `event_loop.py`.
"""

import socket
import threading
from urllib.parse import urlsplit

from rotator.daemon.event_loop import BACKLOG, EventLoop, Respond
from rotator.daemon.file_limit import connection_limit
from rotator.errors import ConfigError

# What the kernel keeps for a caller who does not read, in bytes and milliseconds. Else it is megabytes, for minutes.
SEND_BUFFER = 1 << 17
SEND_TIMEOUT = 20_000


class HttpServer:
    """
    A listener at which *respond* answers every GET, HEAD and OPTIONS, in the listener's own thread: so it must be quick.

    The constructor binds the port, so that one in use is reported at start-up: raises ConfigError naming *option*.
    """

    def __init__(
        self,
        address: str,
        respond: Respond,
        option: str,
        *,
        max_connections: int | None = None,
    ) -> None:
        host, port = parse_address(address, option)
        try:
            self._socket = _bind(host, port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(
                f"{option}: cannot listen on {address} ({reason}); free the port or name another"
            ) from error
        self._bound: tuple[str, int] = self._socket.getsockname()[:2]
        self._loop = EventLoop(self._socket, respond, max_connections or connection_limit(), self.address)
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """
        The address it listens on; if port 0 was given, with the port that the system chose.
        """
        host, port = self._bound
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """
        Start to answer.
        """
        self._thread = threading.Thread(target=self._loop.run, name="http", daemon=True)
        self._thread.start()

    def swap(self, respond: Respond) -> None:
        """
        Answer with *respond* from the next request on. The socket and its connections stay.
        """
        self._loop.respond = respond

    def close(self) -> None:
        """
        Accept no more connections and free the port, after the answers under way, or half a second. May be called twice.
        """
        if self._thread:
            self._loop.stop()
            self._thread.join()
            self._thread = None
        self._loop.close()
        self._socket.close()


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


def _bind(host: str, port: int) -> socket.socket:
    """
    Return a listening socket; what is set here, accepted connections inherit. Raises OSError.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
