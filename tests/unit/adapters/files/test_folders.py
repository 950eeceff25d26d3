"""
Folders that rotator makes have the mode that was asked for, and never change one that it did not make.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.adapters.files.folders import closed_folders, make_folder
from tests.support.privileges import with_modes


@pytest.fixture(params=[0o000, 0o022, 0o077], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each umask that a service may have been started with."""
    former = os.umask(request.param)
    yield
    os.umask(former)


def mode(path: Path) -> int:
    """Return the permissions of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wanted", [0o700, 0o755])
def test_modes_are_exact_and_what_lies_above_can_be_entered(tmp_path: Path, wanted: int) -> None:
    """Whatever the umask: a web server of another user must get through to the JWKS."""
    make_folder(tmp_path / "a" / "b" / "c", wanted)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o755, 0o755, wanted]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    """Its mode is its owner's business."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o2751)
    make_folder(tmp_path / "a", 0o700)
    make_folder(tmp_path / "a" / "b", 0o755)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o2751, 0o755)


def test_a_link_of_the_administrator_is_followed_to_a_folder(tmp_path: Path) -> None:
    """As where the data of a service lies on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "lib").symlink_to(tmp_path / "disk")
    make_folder(tmp_path / "lib" / "rotator", 0o700)
    assert mode(tmp_path / "disk" / "rotator") == 0o700


def test_a_link_in_the_place_of_the_folder_is_never_followed(tmp_path: Path) -> None:
    """One that leads nowhere yet: who could make it decides about no folder of ours."""
    (tmp_path / "public").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
        make_folder(tmp_path / "public", 0o755)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_folder_is_in_the_way(tmp_path: Path) -> None:
    """It stays as it is."""
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(tmp_path / "file" / "below", 0o755)
    assert (tmp_path / "file").read_text() == "precious"


def test_folders_that_others_cannot_enter_are_found_wherever_they_lie(tmp_path: Path) -> None:
    """All on the way, in its order, be the rest missing."""
    make_folder(tmp_path / "a" / "b", 0o755)
    above = closed_folders(tmp_path / "a" / "b")
    assert tmp_path / "a" not in above
    (tmp_path / "a").chmod(0o700)
    assert closed_folders(tmp_path / "a" / "b" / "c") == (*above, tmp_path / "a")
    assert with_modes(lambda: closed_folders(tmp_path / "a")) == (*above, tmp_path / "a")
