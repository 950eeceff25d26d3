"""
One server process: started, asked until it answers, stopped, killed, started again on the same port.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self

# Replaces itself by the server, which the kernel kills when its parent is gone (PR_SET_PDEATHSIG = 1; Linux only).
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execvp(sys.argv[1], sys.argv[1:])
"""
# "Parent" is the *thread* that forked: this one lives as long as the interpreter, whichever thread calls `start`.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="test-servers")
START_TIMEOUT = 20.0


class ServerError(Exception):
    """
    A server did not start or did not do what a test needs; the message ends with the tail of its log.
    """


def free_port() -> int:
    """
    A free loopback port below the ephemeral range, so that no outgoing connection takes it while its server is down.

    Each of up to ten workers of a run has a range of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10
    while True:
        port = random.SystemRandom().randrange(12000, 14000) + 2000 * worker
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server(ABC):
    """
    A server process with a folder and a port that it keeps over restarts. `environment` is added to its environment.
    """

    environment: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rotator-test-"))
        self.port = free_port()
        self.log_file = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """
        The command line that runs this server in the foreground.
        """

    @abstractmethod
    def answers(self) -> bool:
        """
        Whether the server takes requests now.
        """

    @property
    def pid(self) -> int | None:
        """
        The process id while the server runs.
        """
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """
        Whether the process is alive.
        """
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """
        Start the process and return when it answers.
        """
        if self.running:
            return
        with self.log_file.open("ab") as log:
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                [sys.executable, "-ISc", _LAUNCH, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), **self.environment},
                start_new_session=True,  # a Ctrl-C is for pytest, which then stops its servers in order
            ).result()
        self.wait_for(self.answers, "answer")

    def stop(self) -> None:
        """
        Ask the process to end, and wait until it has.
        """
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """
        End the process at once, as a crash does.
        """
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """
        Make the server hang: connections are accepted and nothing is answered, until `resume`.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """
        Let a paused server go on.
        """
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """
        Stop, then start on the same port with the same data.
        """
        self.stop()
        self.start()

    def close(self) -> None:
        """
        Kill the process and remove its folder.
        """
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """
        Poll *condition* until it holds; fail when the process ends or `START_TIMEOUT` seconds have passed.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if not self.running or time.monotonic() > deadline:
                raise self.failure(f"{type(self).__name__} on port {self.port} does not {what}")
            time.sleep(0.01)

    def failure(self, message: str) -> ServerError:
        """
        An error that shows the tail of the log.
        """
        return ServerError(f"{message}\n--- log of {type(self).__name__}, last lines ---\n{self.log_tail()}")

    def log_tail(self, lines: int = 30) -> str:
        """
        The last *lines* of what the server logged.
        """
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        self._signal(signal.SIGCONT)
        if self._process is not None:
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
