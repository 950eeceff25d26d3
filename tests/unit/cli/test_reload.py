"""
`rotator reload`: the daemon's word on its configuration, as an exit code.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rotator.cli import reload
from rotator.daemon.instance import Instance
from rotator.daemon.signals import Signals
from tests.support.command_line import CommandLine


class Daemon:
    """
    What `rotator reload` sees of a daemon: here it is this process, which answers SIGHUP with *faults*.
    """

    def __init__(self, state_dir: Path) -> None:
        self.faults: tuple[str, ...] = ()
        self.asked = 0
        self._instance = Instance(state_dir)
        self._former = signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.asked += 1
        threading.Timer(0.1, lambda: self._instance.answer(float("inf"), *self.faults)).start()

    def close(self) -> None:
        """End it."""
        signal.signal(signal.SIGHUP, self._former)
        self._instance.close()


@pytest.fixture
def rotator(tmp_path: Path) -> CommandLine:
    """
    A configuration.
    """
    return CommandLine(tmp_path)


@pytest.fixture
def daemon(rotator: CommandLine) -> Iterator[Daemon]:
    """
    The daemon of its state_dir.
    """
    made = Daemon(rotator.folder / "state")
    yield made
    made.close()


@pytest.fixture
def main_pid() -> Iterator[Signals]:
    """
    The requests to this process, in the place of the one that systemd names.
    """
    signals = Signals()
    former = signal.signal(signal.SIGHUP, lambda *_: signals.reload())
    os.environ["MAINPID"] = str(os.getpid())
    yield signals
    del os.environ["MAINPID"]
    signal.signal(signal.SIGHUP, former)


def test_a_configuration_in_force_is_0(rotator: CommandLine, daemon: Daemon) -> None:
    """Once the daemon has said so."""
    answer = rotator.run("reload")

    assert (answer.code, answer.stdout, answer.stderr) == (0, "reloaded\n", "")
    assert daemon.asked == 1


def test_a_refused_one_is_78_with_every_reason(rotator: CommandLine, daemon: Daemon) -> None:
    """As at a start."""
    daemon.faults = ("one", "two")
    answer = rotator.run("reload")

    assert (answer.code, answer.stdout, answer.stderr) == (78, "", "rotator: one\nrotator: two\n")


def test_without_a_daemon_there_is_nothing_to_reload(rotator: CommandLine) -> None:
    """Or it uses another state_dir."""
    answer = rotator.run("reload")

    assert answer.code == 69
    assert f"no daemon of this machine has said that it uses {rotator.folder / 'state'}" in answer.stderr


def test_a_faulty_file_is_78_and_the_daemon_hears_of_it(rotator: CommandLine, main_pid: Signals) -> None:
    """It raises the alarm; which one it is, systemd says."""
    rotator.config.write_text("[[[")
    assert rotator.run("reload").code == 78
    assert main_pid.take_reload()


@pytest.mark.parametrize("fault", ["[[[", "[keysets.Web]\n"])
def test_by_hand_the_daemon_of_the_state_dir_that_a_faulty_file_names_hears_of_it(
    rotator: CommandLine, daemon: Daemon, fault: str
) -> None:
    """It raises the alarm, though the file cannot be loaded here."""
    rotator.config.write_text(f"{rotator.config.read_text()}\n{fault}")
    assert rotator.run("reload").code == 78
    assert daemon.asked == 1


def test_a_fifo_in_the_place_of_the_file_is_refused_at_once(rotator: CommandLine) -> None:
    """Its reader would wait for ever."""
    rotator.config.unlink()
    os.mkfifo(rotator.config)
    answer = rotator.run("reload")
    assert answer.code == 78
    assert "config.toml: is no regular file" in answer.stderr


def test_a_fifo_in_the_place_of_the_answer_is_none(rotator: CommandLine, daemon: Daemon) -> None:
    """As a daemon that has said nothing."""
    answer = rotator.folder / "state" / "reload.json"
    answer.unlink()
    os.mkfifo(answer, 0o600)
    assert rotator.run("reload").code == 69
    assert daemon.asked == 0


def test_another_state_dir_is_heard_of_by_the_daemon_that_runs(rotator: CommandLine, main_pid: Signals) -> None:
    """It refuses it, and raises the alarm."""
    with closing(Instance(rotator.folder / "state")):
        rotator.config.write_text(rotator.config.read_text().replace('"state"', '"elsewhere"'))
        assert rotator.run("reload").code == 69
    assert main_pid.take_reload()


@pytest.mark.parametrize("pid", ["", "0", "-1", "1", "x"])
def test_a_number_that_is_no_daemon_is_not_asked(
    rotator: CommandLine, pid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 would be every process of the group."""
    monkeypatch.setenv("MAINPID", pid)
    assert rotator.run("reload").code == 69


def test_a_daemon_that_gives_no_answer_is_75(
    rotator: CommandLine, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Perhaps later."""
    monkeypatch.setattr(daemon, "_on_signal", None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(reload, "MAX_WAIT", 0.2)
    answer = rotator.run("reload")

    assert answer.code == 75
    assert "no answer" in answer.stderr


def test_a_daemon_of_another_user_is_77(rotator: CommandLine, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be sent a signal."""

    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    answer = rotator.run("reload")

    assert (answer.code, daemon.asked) == (77, 0)
    assert "run this as its user" in answer.stderr
