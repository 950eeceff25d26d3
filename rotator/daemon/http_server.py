"""
A listener: an address, and a function that answers paths.
"""

import threading
from urllib.parse import urlsplit

from rotator.daemon.http_handler import Respond, Server
from rotator.errors import ConfigError


def parse_address(text: str, option: str) -> tuple[str, int]:
    """
    Return host and port of "127.0.0.1:8471" or "[::1]:8471"; raises ConfigError naming *option*.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.netloc != text or parts.username is not None:
        raise ConfigError(f'{option}: "{text}" is no address; write it as "127.0.0.1:8471" or "[::1]:8471"')
    return host, port


class HttpServer:
    """
    A listener that answers every path with `respond`, which may be called from several threads at once.

    It is bound on construction, so that a port in use is told at start-up: raises ConfigError naming *option*.
    """

    def __init__(self, address: str, respond: Respond, option: str) -> None:
        host, port = parse_address(address, option)
        try:
            self._server = Server(host, port, respond)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(
                f"{option}: cannot listen on {address} ({reason}); free the port or name another"
            ) from error
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """
        The address listened on, with the port the system chose where 0 was asked for.
        """
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """
        Begin to answer, in threads of its own.
        """
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """
        Accept nothing more; answers under way are ended.
        """
        self._server.stopping = True
        if self._thread:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
