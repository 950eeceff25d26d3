"""
A source that answers as a test says, the keys it gives, and a clock that leaps.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.client import KeysetReader, Source, clock
from rotator.client.jose.keys import Keys, secret_key
from rotator.client.refresh import Pace
from rotator.model.algorithms import Algorithm
from rotator.model.event import Hint
from rotator.model.policy import Timing

# Long enough that nothing is due by itself within a test: polls every 5 minutes, searches every 30 s.
TIMING = Timing(timedelta(hours=2), timedelta(hours=1), timedelta(minutes=1))
EPOCH = "epoch-1"


def keys(sequence: int = 1, *kids: str, epoch: str = EPOCH, op_id: str = "", timing: Timing = TIMING) -> Keys:
    """
    The keys of one save, by default one that is named after its *sequence*; the first signs.
    """
    pairs = [secret_key(kid, Algorithm.HS256, f"{kid:_<64}".encode()) for kid in kids or (f"k{sequence}",)]
    return Keys(
        verifying={key.kid: key for key, _ in pairs},
        signing=pairs[0][1],
        timing=timing,
        keyset="web",
        epoch=epoch,
        sequence=sequence,
        op_id=op_id or f"op-{sequence}",
    )


class ScriptedSource:
    """
    A Source with `document` in it; `answer` replaces what `read` does. It counts, and notices two reads at once.
    """

    place = "the source"

    def __init__(self, document: Keys | None = None, *, keyset: str = "web") -> None:
        self.keyset = keyset
        self.document = document or keys()
        self.answer: Callable[[Keys | None], Keys] = self.unchanged
        self.may_keep: timedelta | None = None
        self.has_changed = False
        self.began: list[float] = []
        self.fresh: list[bool] = []
        self.overlapped = False
        self._busy = threading.Lock()
        self._open = threading.Event()
        self._open.set()

    @property
    def readings(self) -> int:
        """
        How many reads have begun.
        """
        return len(self.began)

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Give the answer, once the source does not hang.
        """
        del timeout
        self.overlapped |= not self._busy.acquire(blocking=False)
        try:
            self.began.append(time.monotonic())
            self.fresh.append(fresh)
            self._open.wait(30)
            return self.answer(known), self.may_keep
        finally:
            self._busy.release()

    def changed(self) -> bool:
        """
        Return what a test says.
        """
        self.overlapped |= self._busy.locked()
        return self.has_changed

    def unchanged(self, known: Keys | None) -> Keys:
        """
        Return *known* if it is the document.
        """
        document = self.document
        same = known is not None and (known.epoch, known.sequence, known.op_id) == (
            document.epoch,
            document.sequence,
            document.op_id,
        )
        return known if known is not None and same else document

    def fail(self, error: BaseException | None) -> None:
        """
        Raise *error* at each read from now on; None: answer well again.
        """

        def failing(_: Keys | None) -> Keys:
            assert error is not None
            raise error

        self.answer = failing if error else self.unchanged

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """
        Let reads hang within the block.
        """
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


class Leaping:
    """
    A clock that runs as the real one, and leaps ahead when told, as after a suspend.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """
        Return what `clock.now` would.
        """
        return clock.now() + self._ahead

    def leap(self, by: timedelta | float) -> None:
        """
        Let time pass in no time.
        """
        self._ahead += by.total_seconds() if isinstance(by, timedelta) else by


# Refreshes may follow one another sooner than in earnest.
PACE = Pace(min_gap=0.02)


def reader_of(source: Source, time_: Leaping | None = None, *, pace: Pace = PACE, **options: Any) -> KeysetReader:
    """
    Return a reader that refreshes sooner than in earnest; with *time_*, one that lives by it and notices leaps at once.
    """
    if time_ is None:
        return KeysetReader(source, pace=pace, **options)
    return KeysetReader(source, clock=time_.now, pace=replace(pace, check_interval=0.01), **options)


class HandMadeHints:
    """
    Hints that a test gives.
    """

    fault = ""

    def __init__(self) -> None:
        self._on_hint: Callable[[Hint], None]
        self.gap: Callable[[], None]
        self.listening = 0

    def listen(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> "HandMadeHints":
        """
        Keep the callbacks.
        """
        self._on_hint, self.gap = on_hint, on_gap
        self.listening += 1
        return self

    def hint(self, keyset: str, epoch: str, sequence: int, *, source: str = "") -> None:
        """
        Give a hint.
        """
        self._on_hint(Hint(keyset, epoch, sequence, source))

    def stop(self) -> None:
        """
        Stop listening.
        """
        self.listening -= 1


def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """
    Wait for *condition*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def settled(source: ScriptedSource, seconds: float = 0.5) -> int:
    """
    Return how many reads there were once none began for so many *seconds*.
    """
    count, since = source.readings, time.monotonic()
    while time.monotonic() - since < seconds:
        if source.readings != count:
            count, since = source.readings, time.monotonic()
        time.sleep(0.01)
    return count


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """
    Fail when the block takes longer.
    """
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took < seconds, f"it took {took:.2f} s"


elsewhere: set[threading.Thread] = set()


def readers_threads() -> list[threading.Thread]:
    """
    The threads of readers that were begun since the test began: other tests keep theirs for a session.
    """
    return [thread for thread in threading.enumerate() if thread.name == "keyset" and thread not in elsewhere]


def serves(reader: KeysetReader, kid: str) -> bool:
    """
    Whether *reader* verifies with *kid* now.
    """
    return kid in reader.verifying().verifying


forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def forked(work: Callable[[], object], seconds: float = 15) -> object:
    """
    Return what *work* returns in a forked child, which is killed when it does not end in time.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 - the parent is to see it
            answer = repr(error)
        os.write(send, json.dumps(answer).encode())
        os._exit(0)
    os.close(send)
    end = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(receive)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    with os.fdopen(receive) as answer:
        return json.load(answer)
