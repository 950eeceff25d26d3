"""
Reading a file that another program wrote, without waiting for it.
"""

import errno
import os
import stat

MAX_SIZE = 1 << 20
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def read_regular(
    file: str | os.PathLike[str], max_size: int = MAX_SIZE, *, follow: bool = True, dir_fd: int | None = None
) -> bytes:
    """
    Return the content of a regular file of at most *max_size* bytes; *follow*: it may be a symbolic link to one.

    Anything else raises OSError at once: a FIFO, whose reader would wait for a writer, a device, a folder.
    """
    return read_with_status(file, max_size, follow=follow, dir_fd=dir_fd)[0]


def read_with_status(
    file: str | os.PathLike[str], max_size: int = MAX_SIZE, *, follow: bool = True, dir_fd: int | None = None
) -> tuple[bytes, os.stat_result]:
    """
    Do as `read_regular`; return the status of the file, too.
    """
    descriptor = os.open(file, _READ if follow else _READ | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", os.fspath(file))
        if status.st_size > max_size:
            raise OSError(errno.EFBIG, f"it has more than {max_size} bytes", os.fspath(file))
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.read(max_size), status
    finally:
        os.close(descriptor)
