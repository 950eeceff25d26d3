"""
Work on files that hangs is given up, and only one thread hangs in it.
"""

import threading
from collections.abc import Iterator

import pytest

from rotator.adapters.files.bounded import BoundedCalls


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """A file system that answers when the event is set."""
    event = threading.Event()
    yield event
    event.set()


def test_a_call_returns_and_raises_what_its_work_does() -> None:
    """Nothing is also something to return."""
    calls = BoundedCalls()
    assert calls.call(lambda: 42) == 42
    assert calls.call(lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        calls.call(lambda: 1 // 0)


def test_a_call_that_hangs_is_given_up_and_the_next_fails_at_once(hanging: threading.Event) -> None:
    """However many follow, one thread hangs; once it is back, calls are made again."""
    calls = BoundedCalls(0.05)
    threads = threading.active_count()
    with pytest.raises(TimeoutError, match=r"the file system hangs \(no answer within 0.05 s\)"):
        calls.call(hanging.wait)
    for _ in range(20):
        with pytest.raises(TimeoutError, match="an earlier call still hangs"):
            calls.call(lambda: 42)
    assert threading.active_count() == threads + 1

    (thread,) = (thread for thread in threading.enumerate() if thread.name == "files")
    hanging.set()
    thread.join(5)
    assert calls.call(lambda: 42) == 42
