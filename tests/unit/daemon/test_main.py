"""
The daemon as a whole: that it can be told to end at any instant.
"""

import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import pytest

from rotator.cli.context import Context
from rotator.cli.output import StderrLog
from rotator.daemon.main import Daemon
from tests.support.command_line import CommandLine

INTERNAL = '[keysets.internal]\nalgorithm = "HS256"\n'
INSTANTS = 30


@pytest.mark.parametrize("nth", range(INSTANTS))
def test_a_signal_may_come_at_any_instant(tmp_path: Path, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A handler runs in the main thread, between any two of its steps: what it calls must not wait for what that thread holds.
    """
    monkeypatch.setenv("WATCHDOG_USEC", "20000")  # so that each wait is short
    rotator = CommandLine(tmp_path, INTERNAL)
    daemon = Daemon(Context(str(rotator.config)).settings(command_line=False), StderrLog())
    reload: SimpleQueue[None] = SimpleQueue()
    left = nth

    def interrupt(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            sys.setprofile(None)
            daemon.stop()
        elif left < -1:
            sys.setprofile(None)

    def wait() -> None:
        sys.setprofile(interrupt)
        try:
            ended.append(daemon.wait(reload))
        finally:
            sys.setprofile(None)
            daemon.stop()

    ended: list[bool] = []
    waiting = threading.Thread(target=wait, daemon=True)
    daemon.start()
    waiting.start()
    waiting.join(10)

    assert ended == [False]
    daemon.close()
