"""
Who waits for how long, and who makes room, as values: the time is told, nothing is sent.
"""

import socket
from collections.abc import Iterator

import pytest

from rotator.daemon.connection import Connection
from rotator.daemon.waiting import ANSWER_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, LINGER_TIMEOUT, Waiting


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    """
    Six connections.
    """
    made = [Connection(socket.socket()) for _ in range(6)]
    yield made
    for connection in made:
        connection.close()


def test_load_balancers_close_first() -> None:
    """They keep a connection that is idle for a minute; one that we closed as they use it would be a failed request."""
    assert IDLE_TIMEOUT > 60


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [
        ("fresh", HEAD_TIMEOUT),
        ("head", HEAD_TIMEOUT),
        ("answering", ANSWER_TIMEOUT),
        ("idle", IDLE_TIMEOUT),
        ("lingering", LINGER_TIMEOUT),
    ],
)
def test_each_wait_ends(connections: list[Connection], queue: str, seconds: float) -> None:
    """From the moment it began, in the order in which they began."""
    waiting = Waiting()
    for number, connection in enumerate(connections[:3]):
        waiting.put(connection, getattr(waiting, queue), 100.0 + number)
    assert list(waiting.expired(99.9 + seconds)) == []
    gone = []
    for connection in waiting.expired(101.0 + seconds):
        gone.append(connection)
        waiting.remove(connection)
    assert gone == connections[:2]
    assert list(waiting) == [connections[2]]


def test_a_new_wait_begins_anew(connections: list[Connection]) -> None:
    """It is in one queue at a time, behind those that began before."""
    waiting = Waiting()
    first, second = connections[:2]
    waiting.put(first, waiting.idle, 0.0)
    waiting.put(second, waiting.idle, 1.0)
    waiting.put(first, waiting.idle, 2.0)
    assert list(waiting.idle) == [second, first]
    waiting.put(first, waiting.head, 3.0)
    assert (list(waiting.idle), waiting.queue_of(first), len(waiting)) == ([second], waiting.head, 2)


def test_the_one_missed_least_makes_room(connections: list[Connection]) -> None:
    """A caller who has all, then an idle one, then those who are about to ask, and the one being answered last."""
    waiting = Waiting()
    order = [waiting.lingering, waiting.idle, waiting.idle, waiting.fresh, waiting.head, waiting.answering]
    for connection, queue in zip(connections, order, strict=True):
        waiting.put(connection, queue, 0.0)
    for connection in connections:
        assert waiting.dispensable(0.9) is connection
        waiting.remove(connection)
    assert waiting.dispensable(0.9) is None


def test_who_connects_and_says_nothing_goes_before_who_has_asked(connections: list[Connection]) -> None:
    """After a second: silent strangers do not push out the connections of a load balancer."""
    waiting = Waiting()
    for connection, queue in zip(connections, (waiting.idle, waiting.fresh), strict=False):
        waiting.put(connection, queue, 0.0)
    assert waiting.dispensable(0.9) is connections[0]
    assert waiting.dispensable(1.0) is connections[1]
