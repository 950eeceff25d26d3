"""
One pass of the daemon without a daemon.
"""

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Never

import pytest

from rotator.adapters.files.lock import try_lock
from rotator.config.load import load
from rotator.config.settings import Settings
from rotator.daemon.one_pass import one_pass
from rotator.model.reasons import AlarmReason
from tests.support.command_line import CommandLine
from tests.support.process import RecordingLog, Workers

KEYSETS = '[keysets.internal]\nalgorithm = "HS256"\n[keysets.other]\nalgorithm = "HS512"\n'


@pytest.fixture
def rotator(tmp_path: Path) -> CommandLine:
    """
    A configuration with two keysets of secrets on a file store.
    """
    return CommandLine(tmp_path, KEYSETS)


@pytest.fixture
def settings(rotator: CommandLine) -> Settings:
    """
    Its settings.
    """
    return load(rotator.config, environ={}, command_line=False)


def test_every_keyset_is_reconciled_when_it_returns(settings: Settings, rotator: CommandLine) -> None:
    """In as many workers as there are; without troubles there are no alarms."""
    with ThreadPoolExecutor(2) as workers:
        engine = one_pass(settings, RecordingLog(), workers)

    assert engine.alarms.active() == ()
    assert all(tracker.status for tracker in engine.queue.trackers)
    assert rotator.keyset("internal").current is not None
    assert rotator.keyset("other").current is not None


def test_the_trouble_of_one_keyset_is_an_alarm(settings: Settings, rotator: CommandLine) -> None:
    """It is no exception, and the other keyset is done."""
    (rotator.folder / "store" / "keys").mkdir(parents=True)
    (rotator.folder / "store" / "keys" / "internal.json").write_text("by hand")
    engine = one_pass(settings, RecordingLog(), Workers(hands_on=True))

    assert [alarm.keyset for alarm in engine.alarms.active()] == ["internal"]
    assert all(alarm.reason is not AlarmReason.INTERNAL for alarm in engine.alarms.active())
    assert rotator.keyset("other").current is not None


class Broken(Workers):
    """
    Workers that cannot work.
    """

    def submit(self, *_arguments: object, **_options: object) -> Never:
        """Fail."""
        raise RuntimeError("no threads")


def test_what_was_opened_is_closed_whatever_happens(settings: Settings) -> None:
    """A pass that could not be made leaves room for the next."""
    broken: Executor = Broken()
    with pytest.raises(RuntimeError, match="no threads"):
        one_pass(settings, RecordingLog(), broken)

    assert one_pass(settings, RecordingLog(), Workers(hands_on=True)).alarms.active() == ()


def test_another_process_may_own_the_published_file_afterwards(tmp_path: Path) -> None:
    """The lock was given back, though the engine is still at hand."""
    rotator = CommandLine(tmp_path, "[keysets.web]\n")
    engine = one_pass(load(rotator.config, environ={}, command_line=False), RecordingLog(), Workers(hands_on=True))
    assert engine.alarms.active() == ()
    assert (tmp_path / "public" / "jwks.json").exists()

    lock = try_lock(tmp_path / "public" / ".jwks.json.lock")
    assert lock is not None
    os.close(lock)
