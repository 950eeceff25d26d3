"""
Lock files: one holder at a time, given up with the descriptor.
"""

import os
import stat
from pathlib import Path

import pytest

from rotator.adapters.files.lock import try_lock, wait_for_lock
from rotator.errors import UnsafePathError
from tests.support.fakes import ManualClock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """A second descriptor waits in vain until the first is closed."""
    first = try_lock(tmp_path / ".lock")
    assert first is not None
    assert try_lock(tmp_path / ".lock") is None
    os.close(first)
    second = try_lock(tmp_path / ".lock")
    assert second is not None
    os.close(second)


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    """Others cannot hold it by opening it."""
    lock = try_lock(tmp_path / ".lock")
    assert lock is not None
    assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o600
    os.close(lock)


def test_waiting_ends_at_the_deadline(tmp_path: Path) -> None:
    """A held lock gives None once the deadline has passed, a free one is taken even then."""
    clock = ManualClock()

    def moving() -> float:
        clock.advance(1)
        return clock.monotonic()

    holder = try_lock(tmp_path / ".lock")
    assert holder is not None
    assert wait_for_lock(tmp_path / ".lock", 3, moving) is None
    assert clock.monotonic() == 4
    os.close(holder)
    taken = wait_for_lock(tmp_path / ".lock", 0, moving)
    assert taken is not None
    os.close(taken)


def test_an_unsafe_place_is_refused(tmp_path: Path) -> None:
    """A folder that others may write to, and a link in the lock's place."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"."):
        try_lock(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
    tmp_path.chmod(0o777)
    with pytest.raises(UnsafePathError, match="chmod go-w"):
        try_lock(tmp_path / ".lock")
