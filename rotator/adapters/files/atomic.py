"""
Files that exist whole or not at all, whatever crashes, and that other users cannot swap.
"""

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from rotator.adapters.files.reading import read_with_status
from rotator.errors import UnsafePathError

_STALE_AFTER = 60.0
_TEMPORARY = ".tmp"
_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_swept: set[int] = set()
_sweeping = threading.Lock()


def write_atomically(path: str | os.PathLike[str], data: bytes, mode: int) -> None:
    """
    Make *path* a regular file of exactly *data* and *mode*; once this returns it survives a loss of power.

    Readers see the former content or the new one, never a part. The folder must exist, and no other user may write to
    it. The first write of a process removes temporary files that crashes left there. Raises UnsafePathError or OSError.
    """
    target = Path(path)
    with safe_directory(target.parent) as directory:
        _refuse_odd_target(directory, target)
        _remove_stale(directory)
        temporary = f".{target.name}.{token_hex(8)}{_TEMPORARY}"
        descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
        try:
            try:
                os.fchmod(descriptor, mode)
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, target.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)


def read_safely(path: str | os.PathLike[str]) -> bytes:
    """
    Return the content of a file of ours, which no other user can have written or swapped.

    It never waits: a FIFO is refused. Raises UnsafePathError or OSError.
    """
    target = Path(path)
    with safe_directory(target.parent) as directory:
        try:
            data, status = read_with_status(target.name, follow=False, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnsafePathError(f"{target} is a symbolic link; remove it") from error
            raise
        if status.st_uid not in (0, os.geteuid(), os.fstat(directory).st_uid):
            raise UnsafePathError(f"{target} belongs to user id {status.st_uid}; remove it")
        if others_may_write(status):
            raise UnsafePathError(f"others may write to {target}; remove it, for they may have")
        return data


@contextmanager
def safe_directory(folder: Path) -> Iterator[int]:
    """
    Open *folder* and yield its descriptor; raises UnsafePathError if others may write to it, or OSError.

    Its owner must be root or we. A group may write to it if we are in that group, as Kubernetes' `fsGroup` has it.
    """
    directory = os.open(folder, _OPEN_DIRECTORY)
    try:
        status = os.fstat(directory)
        if others_may_write(status):
            raise UnsafePathError(f"others may write to the folder {folder}; chmod go-w it, or name a folder inside it")
        if status.st_uid not in (0, os.geteuid()):
            raise UnsafePathError(
                f"the folder {folder} belongs to user id {status.st_uid}; run rotator as that user, or name another"
            )
        yield directory
    finally:
        os.close(directory)


def others_may_write(status: os.stat_result) -> bool:
    """
    Return whether users other than the owner may write there: all of them, or a group that is not one of ours.
    """
    by_group = bool(status.st_mode & stat.S_IWGRP) and status.st_gid not in {os.getegid(), *os.getgroups()}
    return by_group or bool(status.st_mode & stat.S_IWOTH)


def check_target(target: Path) -> None:
    """
    Raise what `write_atomically` would, as far as that can be told without writing: UnsafePathError or OSError.
    """
    with safe_directory(target.parent) as directory:
        _refuse_odd_target(directory, target)


def _refuse_odd_target(directory: int, target: Path) -> None:
    try:
        status = os.stat(target.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePathError(f"{target} is a symbolic link or no regular file; remove it, or name another path")


def _remove_stale(directory: int) -> None:
    """
    Remove what crashes between create and rename left, once per process; a young file may belong to an active writer.
    """
    folder = os.fstat(directory).st_ino
    with _sweeping:
        if folder in _swept:
            return
        _swept.add(folder)
    young_since = time.time() - _STALE_AFTER
    for entry in os.listdir(directory):
        if _TEMPORARY_NAME.fullmatch(entry):
            with suppress(FileNotFoundError):
                if os.stat(entry, dir_fd=directory, follow_symlinks=False).st_mtime < young_since:
                    os.unlink(entry, dir_fd=directory)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
