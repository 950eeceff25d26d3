"""
Turns for the workers of one run: tests run side by side, except for those that need the machine for themselves.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """
    Two lock files that the workers share. A worker that dies leaves no lock behind.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate.lock").open("w")
        self._room = (folder / "room.lock").open("w")

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """
        Wait for a turn and hold it: beside other tests, or *alone*.

        A test that waits to be alone keeps the gate shut, so that those behind it cannot hold it up for ever.
        """
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """
        Close the files.
        """
        self._gate.close()
        self._room.close()
