"""
What tests of the client share.
"""

import threading
from collections.abc import Iterator

import pytest

from tests.support import scripted
from tests.support.attacks import FORGES
from tests.support.forgery import Forge
from tests.support.scripted import Leaping, ScriptedSource, readers_threads, until


@pytest.fixture(autouse=True)
def _threads_of_others() -> None:
    """Threads that other tests keep for the session do not count as a test's own."""
    scripted.elsewhere = set(threading.enumerate())


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test does to a reader, its thread ends with it."""
    yield
    until(lambda: not readers_threads())


@pytest.fixture(name="time_")
def _leaping() -> Leaping:
    """A clock that leaps."""
    return Leaping()


@pytest.fixture(name="source")
def _source() -> ScriptedSource:
    """A source with the first save in it, read at hints and at the start only."""
    return ScriptedSource()


@pytest.fixture(params=FORGES)
def forge(request: pytest.FixtureRequest) -> Forge:
    """The legitimate signer, with a shared secret and with a key pair."""
    return FORGES[request.param]()
