"""
Log lines over real pipes and files: whole and at once, and never waited for longer than rotation can bear.
"""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from rotator.telemetry import lines as module
from rotator.telemetry.lines import Lines
from rotator.telemetry.logs import configure

SIZE = 4 * 4096


class Pipe:
    """A pipe of four pages: its writer as a stream, and what its reader takes."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SIZE)
        os.set_blocking(self._reader, False)
        self.out: TextIO = os.fdopen(writer, "w")

    def read(self) -> str:
        """Take what there is."""
        with suppress(BlockingIOError):
            return os.read(self._reader, 1 << 20).decode()
        return ""

    def close(self) -> None:
        """Close both ends."""
        self.out.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the reader's end."""
        with suppress(OSError):
            os.close(self._reader)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """One whose reader does nothing; nobody waits long for it."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    made = Pipe()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    former = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], root.level, logging.raiseExceptions = former


def test_a_reader_who_stops_holds_no_writer(pipe: Pipe) -> None:
    """The first line that does not fit waits for a while, those after it hardly: rotation goes on. Libraries' too."""
    log = configure("info", "json", pipe.out)
    begun = time.monotonic()
    threads = [threading.Thread(target=log.info, args=(f"event {n} " + "word " * 180,), daemon=True) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for n in range(5):
        logging.getLogger("library").warning("%d %s", n, "word " * 180)
    assert not any(thread.is_alive() for thread in threads)
    assert time.monotonic() - begun < 5


def test_lines_that_were_lost_are_counted_once_it_reads_again(pipe: Pipe) -> None:
    """What came before and what comes after is whole."""
    log = configure("info", "json", pipe.out)
    for n in range(30):
        log.info("early", n=n, text="word " * 180)
    early = [json.loads(line) for line in pipe.read().splitlines()]
    log.info("late")
    late = [json.loads(line) for line in pipe.read().splitlines()]

    assert [line["n"] for line in early] == list(range(len(early)))
    assert 0 < len(early) < 30
    assert [(line["event"], line.get("lines")) for line in late] == [("late", None), ("lines_lost", 30 - len(early))]
    log.info("later")
    assert len(pipe.read().splitlines()) == 1


def test_a_reader_who_is_slow_loses_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the pipe is written as it reads."""
    monkeypatch.setattr(module, "PATIENCE", 20.0)
    taken: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(0.002):
            taken.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    written = [Lines(pipe.out).msg(str(n) * 40_000) for n in range(3)]
    ended.set()
    reader.join()
    taken.append(pipe.read())
    assert written == [True, True, True]
    assert "".join(taken).splitlines() == [str(n) * 40_000 for n in range(3)]


def test_a_torn_line_is_ended_before_the_next(pipe: Pipe) -> None:
    """So that only that one is unfit."""
    lines = Lines(pipe.out)
    assert not lines.msg("x" * 20_000)
    assert pipe.read() == "x" * SIZE
    assert lines.msg("next")
    assert pipe.read() == "\nnext\n"


def test_a_thread_that_hangs_in_a_write_holds_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a file of a network mount whose server is away."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    told: list[int] = []
    with (tmp_path / "log").open("w") as out:
        lines = Lines(out, lambda lost: not told.append(lost))
        with lines._lock:
            assert not lines.msg("meanwhile")
        assert lines.msg("after")
    assert (tmp_path / "log").read_text() == "after\n"
    assert told == [1]


def test_a_count_that_cannot_be_told_is_kept(pipe: Pipe) -> None:
    """It is told with the next line."""
    told: list[int] = []
    lines = Lines(pipe.out, lambda lost: bool(told.append(lost)) or len(told) > 1)
    assert not lines.msg("x" * 20_000)
    pipe.read()
    lines.msg("one")
    lines.msg("two")
    lines.msg("three")
    assert told == [1, 1]


def test_a_reader_who_has_gone_or_a_closed_stream_raises_nothing(pipe: Pipe) -> None:
    """The line is lost."""
    lines = Lines(pipe.out)
    pipe.hang_up()
    assert not lines.msg("unheard")
    pipe.out.close()
    assert not lines.msg("unheard")
