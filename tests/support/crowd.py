"""
A crowd of strangers at a listener, in a process of its own: they keep silent, drip, or do not read.

    python -m tests.support.crowd PORT PATH silent=2000 idle=3000 dripping=500 deaf=50

It prints a line once all have come, and those whom the listener lets go come again, until its standard input ends.
"""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rotator.daemon.file_limit import raise_file_limit

DRIP = 0.5
# So many connect at a time: the crowd is there, it does not storm the door.
BATCH = 100


class Crowd:
    """
    The strangers at one port, by kind.

    `silent` connect and say nothing, `idle` asked once and stay, `dripping` send a byte of a request now and then, and
    `deaf` ask and ask without reading.
    """

    def __init__(self, port: int, path: str, numbers: dict[str, int]) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self._missing = [kind for kind, number in numbers.items() for _ in range(number)]
        self._let_go: list[str] = []
        self._number, self._came = len(self._missing), 0
        self._selector = selectors.DefaultSelector()
        self._talking: dict[socket.socket, str] = {}
        self._talked_at = 0.0

    @property
    def complete(self) -> bool:
        """
        Whether all have come; some may have been let go since.
        """
        return self._came >= self._number

    def turn(self) -> None:
        """
        Connect those who are missing, drip, and notice who was let go.
        """
        batch, self._missing = self._missing[:BATCH], self._missing[BATCH:]
        for kind in batch:
            self._connect(kind)
        if time.monotonic() - self._talked_at > DRIP:
            self._talked_at = time.monotonic()
            self._missing, self._let_go = self._missing + self._let_go, []
            for stranger, kind in tuple(self._talking.items()):
                self._talk(stranger, kind)
        for key, _ in self._selector.select(0.05):
            assert isinstance(key.fileobj, socket.socket)
            self._listen(key.fileobj, key.data)

    def _connect(self, kind: str) -> None:
        stranger = socket.socket()
        if kind == "deaf":
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger.settimeout(10)
        try:
            stranger.connect(("127.0.0.1", self._port))
            if kind == "idle":
                stranger.sendall(self._request)
        except OSError:
            stranger.close()
            self._missing.append(kind)
            return
        self._came += 1
        stranger.setblocking(False)
        if kind in {"dripping", "deaf"}:
            self._talking[stranger] = kind
        if kind != "deaf":
            self._selector.register(stranger, selectors.EVENT_READ, kind)

    def _talk(self, stranger: socket.socket, kind: str) -> None:
        try:
            while stranger.send(self._request * 20 if kind == "deaf" else b"G") and kind == "deaf":
                pass
        except BlockingIOError:
            pass
        except OSError:
            self._gone(stranger, kind)

    def _listen(self, stranger: socket.socket, kind: str) -> None:
        with contextlib.suppress(ConnectionError):
            if stranger.recv(65536):
                return
        self._gone(stranger, kind)

    def _gone(self, stranger: socket.socket, kind: str) -> None:
        self._talking.pop(stranger, None)
        if kind != "deaf":
            self._selector.unregister(stranger)
        stranger.close()
        self._let_go.append(kind)


@contextlib.contextmanager
def crowd(port: int, path: str, **numbers: int) -> Iterator[None]:
    """
    Keep a crowd at a port for the length of a block; it begins when all have come.
    """
    arguments = [f"{kind}={number}" for kind, number in numbers.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.crowd", str(port), path, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), "the crowd did not come together"
            yield
        finally:
            process.kill()


def main() -> None:
    """
    Be a crowd, for as long as standard input is open.
    """
    raise_file_limit()
    port, path, *numbers = sys.argv[1:]
    strangers = Crowd(int(port), path, {kind: int(number) for kind, _, number in (n.partition("=") for n in numbers)})
    said = False
    with selectors.DefaultSelector() as end:
        end.register(sys.stdin, selectors.EVENT_READ)
        while not end.select(0):
            strangers.turn()
            if strangers.complete and not said:
                said = True
                print("complete", flush=True)


if __name__ == "__main__":
    main()
