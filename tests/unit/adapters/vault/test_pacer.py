"""
Keeping to a rate limit: turns in order, an interval that is learnt, and nothing of it once the limit is gone. Virtual time.
"""

import math
from contextlib import closing

import pytest

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.vault.pacer import MAX_INTERVAL, Pacer
from rotator.adapters.vault.transport import Call, Transport
from rotator.errors import StoreUnavailableError
from tests.support.peer import Peer, Request, answer


class Time:
    """
    A clock that moves only while somebody sleeps.
    """

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return the moment."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Limited:
    """
    A server that lets *rate* requests through in each second, as Vault's quota does.
    """

    def __init__(self, time: Time, rate: int) -> None:
        self.rate, self.refused = rate, 0
        self._time, self._window, self._left = time, -1, 0

    def ask(self) -> bool:
        """Return whether a request is let through; it takes five milliseconds."""
        self._time.sleep(0.005)
        if (window := math.floor(self._time.now)) != self._window:
            self._window, self._left = window, self.rate
        self._left -= 1
        self.refused += self._left < 0
        return self._left >= 0


@pytest.fixture(name="time")
def _time() -> Time:
    """The clock of a test."""
    return Time()


@pytest.fixture(name="pacer")
def _pacer(time: Time) -> Pacer:
    """A pacer by that clock."""
    return Pacer(time.monotonic, time.sleep)


def send(pacer: Pacer, server: Limited, deadline: float = math.inf) -> bool:
    """Send one request as often as it takes; return whether it was let through by the deadline."""
    while (turn := pacer.turn(deadline)) is not None:
        if server.ask():
            pacer.worked()
            return True
        pacer.refused(turn)
    return False


def test_without_a_limit_there_are_no_turns(time: Time, pacer: Pacer) -> None:
    """A thousand requests wait for nothing."""
    server = Limited(time, 10**6)
    assert all(send(pacer, server) for _ in range(1000))
    assert time.now == pytest.approx(105)
    assert not pacer.slow


@pytest.mark.parametrize("rate", [1, 2, 10])
def test_a_limit_is_learnt_and_kept_to(time: Time, pacer: Pacer, rate: int) -> None:
    """Most of what the server allows is used, and few requests are refused."""
    server, began = Limited(time, rate), time.now
    assert all(send(pacer, server) for _ in range(200))
    assert 200 / (time.now - began) > rate * 2 / 3
    assert server.refused < 60


def test_a_limit_that_is_gone_is_forgotten(time: Time, pacer: Pacer) -> None:
    """Within about a minute; from then on nothing waits."""
    server = Limited(time, 1)
    assert all(send(pacer, server) for _ in range(20))
    server.rate = 10**6
    began = time.now
    while pacer.turn(math.inf) != time.now or pacer._interval:
        pacer.worked()
    assert time.now - began < 90
    assert not pacer.slow


def test_turns_come_in_the_order_in_which_they_were_asked_for(time: Time, pacer: Pacer) -> None:
    """Eight that ask at one moment are spread, and each knows at once if its turn comes too late."""
    first = pacer.turn(math.inf)
    assert first == time.now
    pacer.refused(first, retry_after=2.0)
    waits: list[float] = []
    pacer._sleep = waits.append  # eight threads would sleep at the same time
    turns = [pacer.turn(time.now + 5) for _ in range(8)]
    assert turns[0] == time.now + 2
    assert turns == sorted(turns)
    assert len(set(turns)) == 8
    assert pacer.turn(time.now + 1) is None
    assert len(waits) == 8


def test_refusals_of_one_burst_count_once(time: Time, pacer: Pacer) -> None:
    """Otherwise eight workers that are refused together would wait for hours."""
    turns = [pacer.turn(math.inf) for _ in range(8)]
    time.sleep(0.01)
    for turn in turns:
        assert turn is not None
        pacer.refused(turn)
    assert pacer._interval < 0.1


def test_the_interval_has_an_end(time: Time, pacer: Pacer) -> None:
    """However often it is refused."""
    for _ in range(100):
        turn = pacer.turn(math.inf)
        assert turn is not None
        pacer.refused(turn)
    assert pacer._interval == MAX_INTERVAL
    assert time.now < 2000


# -- requests ----------------------------------------------------------------------------------------------------------


def call(transport: Transport, seconds: float = 5) -> Call:
    """Return what sends requests until so many seconds from now."""
    return Call(transport, None, LOCAL_CLOCKS.monotonic() + seconds)


def test_a_refused_request_is_sent_again_within_its_deadline() -> None:
    """A write, too: it was not carried out. The server's word is kept to."""
    asked: list[float] = []

    def script(_: Request) -> bytes:
        asked.append(LOCAL_CLOCKS.monotonic())
        return (
            answer(429, {"errors": []}, headers={"Retry-After": "1"}) if len(asked) < 2 else answer(200, {"data": {}})
        )

    with Peer(script) as peer, closing(Transport(peer.address)) as transport:
        assert call(transport).post("/v1/kv/data/x", json={}).status == 200
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 1


def test_a_wait_beyond_the_deadline_is_told_at_once() -> None:
    """And those that ask meanwhile are told without a request."""
    with (
        Peer(lambda _: answer(429, {"errors": []}, headers={"Retry-After": "60"})) as peer,
        closing(Transport(peer.address)) as transport,
    ):
        began = LOCAL_CLOCKS.monotonic()
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="it limits the rate of requests"):
                call(transport).get("/v1/kv/data/x")
        assert LOCAL_CLOCKS.monotonic() - began < 1
        assert len(peer.requests) == 1


@pytest.mark.parametrize("told", ["", "soon", "-1", "9" * 5000, "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_what_is_no_number_of_seconds_is_ignored(told: str) -> None:
    """The request is sent again when its turn comes."""
    answers = iter([answer(429, {"errors": []}, headers={"Retry-After": told}), answer(200, {"data": {}})])
    with Peer(lambda _: next(answers)) as peer, closing(Transport(peer.address)) as transport:
        assert call(transport).get("/v1/kv/data/x").status == 200
