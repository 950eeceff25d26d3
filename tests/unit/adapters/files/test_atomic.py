"""
Files are there whole or not at all.
"""

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.adapters.files.atomic import check_target, write_atomically
from rotator.errors import UnsafePathError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Each umask that a service may have been started with."""
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_content_and_mode_are_exact(tmp_path: Path, umask: int, mode: int) -> None:
    """The file has the bytes and the mode that were asked for, whatever the umask, also when it replaces another."""
    del umask
    tmp_path.chmod(0o700)
    for data in (b"first", b"", b"second" * 100_000):
        write_atomically(tmp_path / "file", data, mode)
        assert (tmp_path / "file").read_bytes() == data
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """A link in the file's place, dangling or not, is never followed nor replaced."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(UnsafePathError, match="symbolic link"):
            write_atomically(tmp_path / name, b"data", 0o600)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def folder_of(tmp_path: Path, mode: int, group: int | None = None) -> Path:
    """Make a folder with that mode, perhaps of another group."""
    folder = tmp_path / "shared"
    folder.mkdir()
    if group is not None:
        os.chown(folder, -1, group)
    folder.chmod(mode)
    return folder


@pytest.mark.parametrize("mode", [0o775, 0o770, 0o2775, 0o2770])
def test_a_folder_of_our_own_group_is_accepted(tmp_path: Path, mode: int) -> None:
    """As Kubernetes makes volumes with `fsGroup`, again at each mount; nobody else is in that group."""
    folder = folder_of(tmp_path, mode)
    write_atomically(folder / "file", b"data", 0o600)
    check_target(folder / "file")


@pytest.mark.parametrize(
    ("mode", "group"),
    [
        (0o777, None),
        (0o2777, None),
        (0o1777, None),
        (0o702, None),
        pytest.param(0o775, 12345, marks=AS_ROOT),
        pytest.param(0o2770, 12345, marks=AS_ROOT),
    ],
)
def test_a_folder_others_may_write_to_is_refused(tmp_path: Path, mode: int, group: int | None) -> None:
    """Whoever may write to the folder could swap the file; the message names the way out. Checking says the same."""
    folder = folder_of(tmp_path, mode, group)
    with pytest.raises(UnsafePathError, match="chmod go-w"):
        check_target(folder / "file")
    with pytest.raises(UnsafePathError, match="chmod go-w"):
        write_atomically(folder / "file", b"data", 0o600)
    assert list(folder.iterdir()) == []


@AS_ROOT
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    """A folder that belongs to another user than root and us is not ours to write to."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, -1)
    with pytest.raises(UnsafePathError, match="user id 12345"):
        write_atomically(folder / "file", b"data", 0o600)


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """The folder is not made: who writes decides about its mode."""
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"data", 0o600)


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    """Our old temporary files go with a process's first write into a folder; young ones and other programs' stay."""
    names = (f".file.{'0a' * 8}.tmp", f".other.{'0b' * 8}.tmp", ".other.0c.tmp")
    stale, young, foreign = (tmp_path / name for name in names)
    for path in (stale, young, foreign):
        path.write_bytes(b"half")
    long_ago = time.time() - 3600
    os.utime(stale, (long_ago, long_ago))
    os.utime(foreign, (long_ago, long_ago))
    write_atomically(tmp_path / "file", b"data", 0o600)
    assert not stale.exists()
    assert young.exists()
    assert foreign.exists()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """When the rename fails the former content stays and no temporary file is left."""
    (tmp_path / "file").mkdir()
    with pytest.raises(UnsafePathError, match="no regular file"):
        write_atomically(tmp_path / "file", b"data", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    """A reader that loops through 500 swaps sees one whole content or another."""
    path = tmp_path / "file"
    contents = {bytes([number]) * 50_000 for number in range(2)}
    write_atomically(path, min(contents), 0o644)
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(250):
            for content in contents:
                write_atomically(path, content, 0o644)
    finally:
        done.set()
        reader.join()
    assert seen <= contents
