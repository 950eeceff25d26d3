"""
What every test of the client begins with.
"""

import threading

import pytest

from tests.support import scripted


@pytest.fixture(autouse=True)
def _threads_of_others() -> None:
    """Threads that other tests keep for the session are none of a test's own."""
    scripted.elsewhere = set(threading.enumerate())
