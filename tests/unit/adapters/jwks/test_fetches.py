"""
Addresses are read beside the passes: who waits, who is told, which answer counts, and when an address is left alone.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator.adapters.jwks.fetches import FRESH, PER_HOST, Fetches
from rotator.adapters.jwks.read_back import Answer, require_keys
from rotator.errors import PublicationError, PublicationPendingError
from rotator.model.publication import Publication
from tests.support.fakes import ManualClock
from tests.support.publications import jwks, kid, publication
from tests.support.scripted import until

A, B, ELSEWHERE = "https://a.example/1", "https://a.example/2", "https://b.example/1"
WEB = publication("web", 1)


class World:
    """
    Addresses that answer when they are told to; time stands still unless a test moves it.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shown: dict[str, str] = {}
        self.asked: list[str] = []
        self.told: list[str] = []
        self.under_way = 0
        self._open: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, url: str, timeout: float, ca_file: Path | None) -> Answer:
        """Answer, or wait to be told to."""
        del ca_file
        with self._lock:
            self.asked.append(url)
            self.under_way += 1
            gate = self._open.get(url)
        try:
            if gate is not None:
                assert gate.wait(10)
            text = self.shown.get(url, jwks(1))
            if text == "timeout":
                raise PublicationError(f"{url} did not answer within {timeout:g} s")
            if text == "bug":
                raise RuntimeError("CANARY")
            return Answer(text.encode())
        finally:
            with self._lock:
                self.under_way -= 1

    def hold(self, *urls: str) -> None:
        """Make addresses silent from now on."""
        with self._lock:
            for url in urls:
                self._open[url] = threading.Event()

    def release(self, *urls: str) -> None:
        """Let the requests under way end, and later ones go through."""
        with self._lock:
            gates = [self._open.pop(url) for url in urls if url in self._open]
        for gate in gates:
            gate.set()

    def close(self) -> None:
        """Let every request end."""
        self.release(*list(self._open))

    def fetches(self, patience: float = 0.0) -> Fetches:
        """Fetches that tell this world of results; without patience they never wait."""
        return Fetches(
            timeout=9.0,
            patience=patience,
            on_result=self.told.append,
            get=self.get,
            monotonic=time.monotonic if patience else self.clock.monotonic,
        )


@pytest.fixture
def world() -> Iterator[World]:
    """The addresses."""
    made = World()
    yield made
    made.close()


def read(fetches: Fetches, what: Publication, *urls: str) -> None:
    """Read back as a publisher does."""
    fetches.read(what, urls, lambda url, answer: require_keys(what, answer.body, url))


def outcome(call: Callable[[], None]) -> str:
    """Return what a call says: "" for a confirmation."""
    try:
        call()
    except PublicationPendingError:
        return "pending"
    except PublicationError as error:
        return str(error)
    return ""


def idle(world: World, asked: int) -> None:
    """Wait until so many requests were made and all have ended."""
    until(lambda: len(world.asked) >= asked and not world.under_way)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "read-back"])


def test_a_quick_answer_is_waited_for(world: World) -> None:
    """The pass goes on with it, and nothing brings another one."""
    read(world.fetches(5.0), WEB, A, B, ELSEWHERE)
    assert sorted(world.asked) == [A, B, ELSEWHERE]
    assert world.told == []


def test_a_slow_answer_ends_the_pass_and_brings_the_next(world: World) -> None:
    """That one finds it, and asks no more."""
    world.hold(A)
    fetches = world.fetches(0.05)
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    assert world.asked == [A]
    assert world.told == []

    world.release(A)
    until(lambda: world.told == ["web"])
    assert outcome(lambda: read(fetches, WEB, A)) == ""
    assert world.asked == [A]


def test_a_host_that_was_slow_is_not_waited_for(world: World) -> None:
    """Whichever address of it is asked next; until it answers quickly again."""
    world.hold(A)
    fetches = world.fetches(0.4)
    begun = time.monotonic()
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    world.hold(B)
    between = time.monotonic()
    for _ in range(5):
        assert outcome(lambda: read(fetches, WEB, B)) == "pending"
    assert between - begun >= 0.4
    assert time.monotonic() - between < 0.3

    world.release(A, B)
    idle(world, 2)
    world.clock.advance(FRESH)
    assert outcome(lambda: read(fetches, WEB, ELSEWHERE)) == ""


def test_a_request_that_began_before_the_question_cannot_fail_it(world: World) -> None:
    """The set it shows may be older than the publication: the address is asked once more."""
    fetches, later = world.fetches(), publication("web", 1, 2, sequence=2)
    world.hold(A)
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    until(lambda: world.under_way == 1)
    world.clock.advance(1)
    assert outcome(lambda: read(fetches, later, A)) == "pending"
    world.release(A)
    idle(world, 2)
    assert outcome(lambda: read(fetches, later, A)) == f"{A} does not show kid {kid(2)}"


def test_an_earlier_answer_confirms_as_long_as_it_is_fresh(world: World) -> None:
    """Other keysets of the same set need no request of their own; after some seconds they do."""
    fetches, other = world.fetches(), publication("other", 2)
    world.shown[A] = jwks(1, 2)
    world.hold(A)
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    world.release(A)
    idle(world, 1)
    assert outcome(lambda: read(fetches, WEB, A)) == ""
    assert outcome(lambda: read(fetches, other, A)) == ""
    assert world.asked == [A]
    world.clock.advance(FRESH + 0.1)
    world.hold(A)
    assert outcome(lambda: read(fetches, other, A)) == "pending"


def test_what_an_old_answer_said_is_no_news(world: World) -> None:
    """A keyset that comes back after long asks again; neither an error nor a missing key of then counts."""
    fetches = world.fetches()
    for text in ("timeout", jwks(2)):
        world.shown[A] = text
        before = len(world.asked)
        world.hold(A)
        assert outcome(lambda: read(fetches, WEB, A)) == "pending"
        world.release(A)
        idle(world, before + 1)
        world.clock.advance(60)
        world.shown[A] = jwks(1)
        world.hold(A)
        assert outcome(lambda: read(fetches, WEB, A)) == "pending"
        world.release(A)
        idle(world, before + 2)
        assert outcome(lambda: read(fetches, WEB, A)) == ""
        world.clock.advance(60)


def test_a_silent_host_delays_no_other(world: World) -> None:
    """Though many of its addresses are asked; of those so many at a time as there is room for."""
    silent = [f"https://silent.example/{number}" for number in range(3 * PER_HOST)]
    world.hold(*silent)
    fetches = world.fetches()
    for number, url in enumerate(silent):
        assert outcome(lambda url=url, number=number: read(fetches, publication(f"k{number}", 1), url)) == "pending"  # type: ignore[misc]
    until(lambda: world.under_way == PER_HOST)
    world.hold(ELSEWHERE)
    assert outcome(lambda: read(fetches, WEB, ELSEWHERE)) == "pending"
    world.release(ELSEWHERE)
    until(lambda: world.told == ["web"])
    assert outcome(lambda: read(fetches, WEB, ELSEWHERE)) == ""
    assert world.under_way == PER_HOST

    world.release(*silent)
    until(lambda: len(world.told) == 1 + len(silent))
    assert sorted(world.asked) == sorted([*silent, ELSEWHERE])


def test_an_address_that_failed_slowly_is_left_alone_for_a_while(world: World) -> None:
    """Longer each time, for all keysets together, up to P/4 and half a minute; each is told at once what was wrong."""
    world.shown[A] = "timeout"
    fetches, waits = world.fetches(), []
    world.hold(A)
    assert outcome(lambda: read(fetches, WEB, A)) == "pending"
    for number in range(1, 9):
        until(lambda number=number: len(world.asked) == number)  # type: ignore[misc]
        world.clock.advance(9)
        world.release(A)
        idle(world, number)
        world.hold(A)
        waited = 0.0
        while (said := outcome(lambda: read(fetches, publication("other", 1), A))) != "pending":
            assert said == f"{A} did not answer within 9 s"
            world.clock.advance(0.4)
            waited += 0.4
        waits.append(waited)
    assert waits == [pytest.approx(rest, abs=0.5) for rest in (0.8, 1.6, 3.2, 6.4, 12.8, 20, 20, 20)]  # P is 100 s


def test_what_fails_at_once_may_be_asked_again_at_once(world: World) -> None:
    """As our own listener, which waits for the keys of another keyset; the keyset's own back-off is enough."""
    world.shown[A] = "bug"
    fetches = world.fetches(5.0)
    assert outcome(lambda: read(fetches, WEB, A)) == f"{A} cannot be read: RuntimeError"
    world.shown[A] = jwks(1)
    assert outcome(lambda: read(fetches, WEB, A)) == ""
    assert world.asked == [A, A]
