"""
What this host remembers of the store's clock over a restart: how it ran beside the monotonic clock of this boot.
"""

import json
import os
import stat
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rotator.adapters.files.atomic import others_may_write, write_atomically
from rotator.adapters.files.bounded import BoundedCalls
from rotator.adapters.files.folders import ABOVE, make_folder
from rotator.errors import RotatorError
from rotator.lifecycle.clock_steps import ClockState, SteadyClock, clock_of
from rotator.model.document import ClockReading
from rotator.model.keys import Kid

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
MAX_SIZE = 1 << 20
WRITE_EVERY, WRITE_AGAIN = 3600.0, 10.0
_END_OF_TIME = 2.0**40


class ClockFiles:
    """
    The ClockMemory in *directory*: `clock.json` for all keysets, `clocks/<keyset>.json` for one that has old keys.

    The second one says which old keys were there before a step that comes while nothing runs, and what a step concerns.

    The monotonic clock begins with each boot of the machine, so *boot_id* tells whose seconds a file holds. After a
    reboot it is unknown how long the machine was off, and no more is known than that time did not go back.
    """

    def __init__(self, directory: Path, *, writable: bool = True, boot_id: str | None = None) -> None:
        self._directory = directory
        self._writable = writable
        self._boot_id = _this_boot() if boot_id is None else boot_id
        self._lock = threading.Lock()
        self._calls = BoundedCalls()
        self._written: dict[Path, ClockState] = {}
        self._clean: set[str] = set()

    def recall(self, name: str, reading: ClockReading) -> ClockState | None:
        """
        Return what an earlier process knew when it read the clock for a keyset, None if that says nothing of *reading*.
        """
        for file in (self._file(name), self._directory / "clock.json"):
            with suppress(*_DAMAGE):
                content = json.loads(self._calls.call(partial(_read, file)))
                state = _decoded(content)
                if content["boot_id"] == self._boot_id and self._boot_id and state.steady.at <= reading.read_at:
                    return state
                return _of_another_boot(state, reading)
        return None

    def remember(self, name: str, state: ClockState) -> None:
        """
        Keep *state* for the next process; does nothing if that knows enough already.
        """
        if not self._writable:
            return
        with self._lock, suppress(OSError, RotatorError):
            file = self._file(name)
            if state.stepped or state.dated_by or state.known:
                self._keep(file, state)
                self._clean.discard(name)
            elif name not in self._clean:
                self._calls.call(partial(file.unlink, missing_ok=True))
                self._written.pop(file, None)
                self._clean.add(name)
            if state.stepped is None:
                self._keep(self._directory / "clock.json", ClockState(state.steady))

    def _keep(self, file: Path, state: ClockState) -> None:
        before = self._written.get(file)
        if before is None or _differs(before, state):
            self._write(file, state)
            self._written[file] = state

    def _file(self, name: str) -> Path:
        return self._directory / "clocks" / f"{name}.json"

    def _write(self, file: Path, state: ClockState) -> None:
        content = {
            "boot_id": self._boot_id,
            "steady": _encoded(state.steady),
            "stepped": _encoded(state.stepped) if state.stepped else None,
            "dated_by": {kid: _encoded(clock) for kid, clock in state.dated_by.items()},
            "known": sorted(state.known),
        }
        self._calls.call(partial(self._put, file, json.dumps(content).encode()))

    def _put(self, file: Path, data: bytes) -> None:
        # The folder of the state may hold that of the JWKS file, to which a web server must get.
        make_folder(file.parent, ABOVE if file.parent == self._directory else 0o700)
        write_atomically(file, data, 0o600)


def _differs(before: ClockState, now: ClockState) -> bool:
    """
    Return whether *now* says more than *before*, or the same of another clock, or *before* was kept an hour ago.
    """
    if (before.stepped, before.dated_by, before.known) != (now.stepped, now.dated_by, now.known):
        return True
    age = now.steady.at - before.steady.at
    another = abs(now.steady.time - before.steady.shows(now.steady.at)) > 1 + before.steady.tolerance
    return age >= WRITE_EVERY or (another and age >= WRITE_AGAIN)


def _this_boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _read(file: Path) -> bytes:
    """
    Return the content of a file that no other user may have written; raises OSError or ValueError for any other.
    """
    descriptor = os.open(file, _READ)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        trusted = status.st_uid in {0, os.geteuid()} or os.geteuid() == 0
        if not stat.S_ISREG(status.st_mode) or not trusted or others_may_write(status):
            raise ValueError("a file that others may write")
        return opened.read(MAX_SIZE)


def _encoded(clock: SteadyClock) -> list[float]:
    return [clock.time, clock.at, clock.tolerance]


def _clock(content: Any) -> SteadyClock:
    time, at, tolerance = map(float, content)
    if not all(0 <= number < _END_OF_TIME for number in (time, at, tolerance)):
        raise ValueError("no moment")
    return SteadyClock(time, at, tolerance)


def _decoded(content: Any) -> ClockState:
    stepped = content["stepped"]
    return ClockState(
        _clock(content["steady"]),
        None if stepped is None else _clock(stepped),
        {Kid(kid): _clock(clock) for kid, clock in content["dated_by"].items()},
        frozenset(Kid(str(kid)) for kid in content["known"]),
    )


def _of_another_boot(state: ClockState, reading: ClockReading) -> ClockState:
    """
    Return what *state*, kept before a reboot, says of *reading*: as if no time had passed since it was kept.
    """
    kept_at = state.stepped.at if state.stepped else state.steady.at
    dated_by = {
        kid: SteadyClock(clock.shows(kept_at), reading.read_at, clock.tolerance)
        for kid, clock in state.dated_by.items()
    }
    steady = SteadyClock(state.steady.shows(kept_at), reading.read_at, state.steady.tolerance)
    if reading.earliest.timestamp() > steady.time:
        steady = clock_of(reading)
    return ClockState(steady, None, dated_by, state.known)
