"""
Where log lines go: written whole and at once, but never waited for longer than rotation can bear.
"""

import io
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

# How long one line may wait for a reader of the pipe who has stopped; then it is what is left of that, per second 1/30.
PATIENCE = 2.0
MIN_PATIENCE = 0.05
_REGAINED = 1 / 30
# What a pipe or socket takes without waiting, once it says that it takes something: PIPE_BUF.
_PIECE = 4096


class Lines:
    """
    Writes whole lines to *out*; a line that cannot be written is lost and counted, since rotation must go on.

    *tell* is called with the count once a line can be written again; it writes a line that says so, and returns whether
    it could.
    """

    def __init__(self, out: TextIO, tell: Callable[[int], bool] = lambda _lost: True) -> None:
        self.tell = tell
        self._out = out
        self._lock = threading.Lock()
        self._lost = 0
        self._torn = False
        self._patience, self._patience_at = PATIENCE, time.monotonic()

    def msg(self, line: str) -> bool:
        """
        Write one line; return whether it was written.
        """
        written = self._write(line.encode(errors="backslashreplace") + b"\n")
        lost, self._lost = (self._lost, 0) if written else (0, self._lost + 1)
        if lost and not self.tell(lost):
            self._lost += lost
        return written

    debug = info = warning = error = critical = exception = msg

    def write(self, text: str) -> None:
        """
        Write one line that has its end, for `logging`.
        """
        self.msg(text.removesuffix("\n"))

    def flush(self) -> None:
        """
        Do nothing: every line is written at once.
        """

    def _write(self, line: bytes) -> bool:
        """
        Write *line*, or give up once patience is at an end: with the reader, or with a thread that hangs in a write.
        """
        begun = time.monotonic()
        regained = (begun - self._patience_at) * _REGAINED
        patience = max(MIN_PATIENCE, min(PATIENCE, self._patience + regained))
        if not self._lock.acquire(timeout=patience):
            written = False
        else:
            try:
                written = self._write_until(line, begun + patience)
            finally:
                self._lock.release()
        self._patience_at = time.monotonic()
        self._patience = patience - (self._patience_at - begun)
        return written

    def _write_until(self, line: bytes, deadline: float) -> bool:
        try:
            descriptor = self._out.fileno()
        except io.UnsupportedOperation:
            return self._write_elsewhere(line.decode())
        except (OSError, ValueError):
            return False
        rest = memoryview(b"\n" + line if self._torn else line)
        whole = len(rest)
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        with suppress(OSError):
            while rest and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                rest = rest[os.write(descriptor, rest[:_PIECE]) :]
        if len(rest) < whole:
            self._torn = bool(rest)
        return not rest

    def _write_elsewhere(self, line: str) -> bool:
        """
        Write to a stream that is no file.
        """
        try:
            self._out.write(line)
            self._out.flush()
        except (OSError, ValueError):
            return False
        return True
