"""
Files of other programs are read at once, whole, or not at all.
"""

import os
import socket
from pathlib import Path

import pytest

from rotator.adapters.files.reading import read_regular, read_with_status


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    """Through a symbolic link, too, as Kubernetes mounts secrets; unless links are not to be followed."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"content"
    assert read_regular(tmp_path / "file", 7, follow=False) == b"content"
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(tmp_path / "link", follow=False)


def test_a_name_may_be_relative_to_an_open_folder(tmp_path: Path) -> None:
    """And the status is that of the very file that was read."""
    (tmp_path / "file").write_bytes(b"content")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        data, status = read_with_status("file", dir_fd=directory)
    finally:
        os.close(directory)
    assert (data, status.st_ino) == (b"content", (tmp_path / "file").stat().st_ino)


def test_what_would_keep_its_reader_waiting_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO without a writer, a device, a folder, a socket; links to them, too."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    for odd in (tmp_path / "fifo", tmp_path / "link", Path("/dev/zero"), Path("/dev/tty"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|No such device"):
            read_regular(odd)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            read_regular(tmp_path / "socket")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Nor is more of one that lies about its size."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 1048576 bytes"):
        read_regular(tmp_path / "large")
    assert len(read_regular("/proc/self/maps", 100)) == 100
