"""
The one daemon of a state_dir, and what it says of its configuration.
"""

import json
import os
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rotator.daemon import instance
from rotator.daemon.instance import Instance, read_answer
from rotator.errors import ConfigError


def test_a_state_dir_has_one_daemon(tmp_path: Path) -> None:
    """Another is refused as long as it runs; its folder is made for it alone."""
    with closing(Instance(tmp_path / "state")):
        with pytest.raises(ConfigError, match=r"\[daemon\] state_dir: another daemon uses "):
            Instance(tmp_path / "state")
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    Instance(tmp_path / "state").close()


def test_a_daemon_that_ends_makes_room_for_one_that_waits(tmp_path: Path) -> None:
    """As in a restart."""
    first = Instance(tmp_path)
    threading.Timer(0.1, first.close).start()
    second = Instance(tmp_path)
    second.close()
    second.close()


def test_a_folder_without_a_lock_is_used_without_one(tmp_path: Path) -> None:
    """Keys are kept all the same; the first record there raises the alarm."""
    (tmp_path / "state").write_text("no folder")
    with closing(Instance(tmp_path / "state")) as unlocked:
        unlocked.answer(1.0)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    Instance(tmp_path / "open").close()

    assert read_answer(tmp_path / "state") is None
    assert read_answer(tmp_path / "open") is None


def test_the_last_answer_is_that_of_a_daemon_that_runs(tmp_path: Path) -> None:
    """With the faults, if there were any; afterwards there is none."""
    assert read_answer(tmp_path) is None
    with closing(Instance(tmp_path)) as running:
        first = read_answer(tmp_path)
        assert first is not None
        assert (first.pid, first.faults) == (os.getpid(), ())
        running.answer(first.read_at + 1, "one", "two")
        second = read_answer(tmp_path)
        assert second is not None
        assert (second.pid, second.read_at, second.faults) == (os.getpid(), first.read_at + 1, ("one", "two"))
        assert stat.S_IMODE((tmp_path / "reload.json").stat().st_mode) == 0o600

    assert read_answer(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "started": "", "read_at": 1, "faults": []}'])
def test_what_is_no_answer_is_none(tmp_path: Path, text: str) -> None:
    """Whatever lies there."""
    with closing(Instance(tmp_path)):
        (tmp_path / "reload.json").write_text(text)

        assert read_answer(tmp_path) is None


def test_another_process_of_that_number_is_not_taken_for_the_daemon(tmp_path: Path) -> None:
    """It may be of another container, and would be sent a signal."""
    with closing(Instance(tmp_path)):
        file = tmp_path / "reload.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"started": "1"}))

        assert read_answer(tmp_path) is None


def test_a_process_that_is_gone_has_no_start() -> None:
    """The number of one that ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    assert instance._started(child) == ""
    assert instance._started(os.getpid()).isdecimal()
