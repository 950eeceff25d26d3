"""
The one daemon of a state_dir: a lock that says that it runs, and a file that says how its last reload ended.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rotator.adapters.files.atomic import read_safely, write_atomically
from rotator.adapters.files.lock import try_lock, wait_for_lock
from rotator.errors import ConfigError, RotatorError, UnsafePathError

MAX_WAIT = 1.0
_LOCK, _ANSWER = "daemon.lock", "reload.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the daemon says of its configuration: read at *read_at* (seconds of CLOCK_MONOTONIC), refused if it has faults.

    `started` tells its process from another that got its number later, or has it outside of its container.
    """

    pid: int
    started: str
    read_at: float
    faults: tuple[str, ...] = ()


class Instance:
    """
    Owns *state_dir* until `close`; raises ConfigError if another daemon does.

    A folder in which no lock can be made is used without one: the first record there raises the alarm for it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir
        self._lock: int | None = None
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = wait_for_lock(state_dir / _LOCK, time.monotonic() + MAX_WAIT, time.monotonic)
        except (OSError, UnsafePathError):
            return
        if self._lock is None:
            raise ConfigError(
                f"[daemon] state_dir: another daemon uses {state_dir}; stop it, or give each a state_dir of its own"
            )
        self.answer(time.monotonic())

    def answer(self, read_at: float, *faults: str) -> None:
        """
        Leave word of the configuration read last, for `rotator reload`. A folder that cannot be written holds no answer.
        """
        told = Answer(os.getpid(), _started(os.getpid()), read_at, faults)
        try:
            write_atomically(self._folder / _ANSWER, json.dumps(asdict(told)).encode(), 0o600)
        except (OSError, RotatorError):
            return

    def close(self) -> None:
        """
        Let another daemon have the folder.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_answer(state_dir: Path) -> Answer | None:
    """
    Return what the daemon that owns *state_dir* said last, None if no daemon runs there or it has said nothing.
    """
    try:
        lock = try_lock(state_dir / _LOCK)
        if lock is not None:
            os.close(lock)
            return None
        told = json.loads(read_safely(state_dir / _ANSWER))
        answer = Answer(int(told["pid"]), str(told["started"]), float(told["read_at"]), tuple(map(str, told["faults"])))
        return answer if answer.started == _started(answer.pid) else None
    except (OSError, UnsafePathError, ValueError, KeyError, TypeError):
        return None


def _started(pid: int) -> str:
    """
    Return when a process was started, in ticks since the machine was; "" if that cannot be known.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
