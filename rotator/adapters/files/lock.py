"""
Lock files: `flock` on a file beside what it guards. The kernel gives it up when a process dies.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from rotator.adapters.files.atomic import safe_directory

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL = 0.01


def try_lock(file: Path) -> int | None:
    """
    Return a descriptor that holds the lock *file* (made 0600) until it is closed, None if another process holds it.

    A second descriptor of this process counts as another. Raises UnsafePathError or OSError.
    """
    descriptor = _open(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def wait_for_lock(file: Path, deadline: float, monotonic: Callable[[], float]) -> int | None:
    """
    Do as `try_lock` until *deadline*, a moment of *monotonic*; return None if the lock was held all the time.
    """
    while (descriptor := try_lock(file)) is None:
        if monotonic() > deadline:
            return None
        time.sleep(_POLL)
    return descriptor


def _open(file: Path) -> int:
    with safe_directory(file.parent) as directory:
        return os.open(file.name, _OPEN, 0o600, dir_fd=directory)
