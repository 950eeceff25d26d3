"""
What is asked of the process: noted at any instant, and many requests to reload are one.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from rotator.daemon.signals import Signals

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the handlers of this process back."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_many_requests_to_reload_are_one() -> None:
    """And one that comes after it was taken is another."""
    signals = Signals()
    assert not signals.take_reload()
    for _ in range(100):
        signals.reload()

    assert signals.wait(0.0)
    assert signals.take_reload()
    assert not signals.take_reload()
    signals.reload()
    assert signals.take_reload()


def test_a_wait_ends_early_when_something_is_asked() -> None:
    """A minute is not waited for."""
    signals = Signals()
    threading.Thread(target=signals.reload).start()
    began = time.monotonic()

    assert signals.wait(60.0)
    assert time.monotonic() - began < 30


def test_the_end_goes_before_a_reload() -> None:
    """However many of those were asked for."""
    signals = Signals()
    signals.reload()
    signals.stop()
    signals.reload()

    assert not signals.wait(60.0)
    assert signals.stopping


@pytest.mark.usefixtures("handlers")
def test_signals_ask() -> None:
    """SIGHUP for a reload, SIGTERM and SIGINT for the end; in the end none of them does anything."""
    signals = Signals()
    signals.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.take_reload()
    for number in (signal.SIGTERM, signal.SIGINT):
        signals.stopping = False
        os.kill(os.getpid(), number)
        assert signals.stopping

    signals.ignore()
    for number in NUMBERS:
        os.kill(os.getpid(), number)
    assert not signals.take_reload()
