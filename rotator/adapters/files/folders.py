"""
Folders that rotator makes: with the mode that was asked for, wherever the way to them leads.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

ABOVE = 0o755
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def make_folder(folder: Path, mode: int) -> None:
    """
    Make *folder* with *mode* if it is missing, and what is missing above it with 0755, whatever the umask.

    A folder that exists is left as it is. Each step is made relative to the one before and follows no link that was
    put there meanwhile, so that the owner of a folder above gains nothing by swapping one. Raises OSError.
    """
    missing, existing = [], folder
    while not existing.is_dir() and existing != existing.parent:
        missing.append(existing.name)
        existing = existing.parent
    if not missing:
        return
    directory = os.open(existing, _OPEN)
    try:
        while missing:
            inner = _entered(directory, missing.pop(), ABOVE if missing else mode)
            os.close(directory)
            directory = inner
    finally:
        os.close(directory)


def closed_folders(folder: Path) -> tuple[Path, ...]:
    """
    Return the folders on the way to *folder*, itself included, that other users, a web server for one, cannot enter.
    """
    found = []
    for step in (*reversed(folder.parents), folder):
        with suppress(OSError):
            if step.is_dir() and not step.stat().st_mode & stat.S_IXOTH:
                found.append(step)
    return tuple(found)


def _entered(directory: int, name: str, mode: int) -> int:
    """
    Return a descriptor of the folder *name* in *directory*, made with *mode* unless another process just made it.
    """
    made = True
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        made = False
    inner = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if made and os.fstat(inner).st_uid == os.geteuid():
            os.fchmod(inner, mode)
    except BaseException:
        os.close(inner)
        raise
    return inner
