"""
`rotator run`: how the process begins, reads its configuration again, and ends.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import ENVIRONMENT, CommandLine

INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'


class Running:
    """A daemon in a process of its own, whose log is read line by line."""

    def __init__(self, rotator: CommandLine) -> None:
        command = [sys.executable, "-m", "rotator", "--config", str(rotator.config), "run"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | ENVIRONMENT)

    def next(self, event: str) -> dict[str, object]:
        """Return the next line of that event; fail when the process ends before it."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line: dict[str, object] = json.loads(text)
            if line["event"] == event:
                return line
        raise AssertionError(f"ended with {self.process.wait()} before {event}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)


@pytest.fixture
def rotator(tmp_path: Path) -> CommandLine:
    """
    A configuration of one keyset, which draws one warning.
    """
    return CommandLine(tmp_path, INTERNAL + "[log]\nformat = 'json'\n", '[admin]\nhttp = "127.0.0.1:0"\n')


@pytest.fixture
def running(rotator: CommandLine) -> Iterator[Running]:
    """
    The daemon, which has started.
    """
    started = Running(rotator)
    try:
        started.next("started")
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(running: Running, number: int) -> None:
    """Exit code 0, and the last line says so."""
    running.next("ready")
    running.signal(number)
    running.next("stopped")
    assert running.process.wait() == 0


def test_sighup_reads_the_configuration_again(running: Running, rotator: CommandLine) -> None:
    """A faulty one is told and not taken; a good one is in force at once, in the same process."""
    good = rotator.config.read_text()
    rotator.config.write_text(good + "[log]\nlevel = 1\n")
    running.signal(signal.SIGHUP)
    assert "twice" in str(running.next("configuration_refused")["detail"])

    rotator.config.write_text(good.replace("internal", "other"))
    running.signal(signal.SIGHUP)
    running.next("configuration_changed")
    while running.next("keyset_created")["keyset"] != "other":
        pass
    running.signal(signal.SIGTERM)
    running.next("stopped")
    assert running.process.wait() == 0
    assert rotator.keyset("other").sequence


def test_warnings_are_logged_at_the_start(tmp_path: Path) -> None:
    """What works and is likely a mistake."""
    rotator = CommandLine(tmp_path, "[log]\nformat = 'json'\n[keysets.web]\n")
    running = Running(rotator)
    try:
        assert str(running.next("configuration")["detail"]).startswith("[publish] verify_urls is empty")
        running.next("started")
        running.signal(signal.SIGTERM)
        running.next("stopped")
        assert running.process.wait() == 0
    finally:
        running.process.kill()
        running.process.communicate()


def test_a_faulty_configuration_is_78(rotator: CommandLine) -> None:
    """Nothing is started."""
    rotator.config.write_text("[keysets.internal]\nalgorithm = 'none'\n")
    answer = rotator.run("run")
    assert (answer.code, answer.stdout) == (78, "")
    assert "[keysets.internal] algorithm: must be one of" in answer.stderr
