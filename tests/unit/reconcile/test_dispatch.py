"""
Handing keysets to workers: side by side, one after another while the store is limited, and what is discovered on the way.
"""

from collections.abc import Mapping

from rotator.reconcile.dispatch import Dispatcher
from tests.support.fakes import MemoryNotifier
from tests.support.process import RecordingLog, Workers

NAMES = ("web", "api", "internal")


class Queue:
    """
    What a dispatcher works for; `limited` and `held` are what a test says, and the limit begins and ends with a keyset.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.released: list[str] = []
        self.discovered = 0
        self.limited = self.held = False
        self.limit_after = self.limit_until = ""
        self.workers = Workers()
        self.notifier, self.log = MemoryNotifier(), RecordingLog()
        self.dispatcher = Dispatcher(
            self._reconcile,
            self.released.append,
            self.notifier,
            self.log,
            lambda: self.limited,
            lambda: self.held,
        )

    def _reconcile(self, name: str, announced: Mapping[str, str] | None) -> None:
        assert announced == {}
        self.done.append(name)
        self.limited = (self.limited or name == self.limit_after) and name != self.limit_until

    def discover(self) -> None:
        """Count the call."""
        self.discovered += 1


def test_keysets_are_reconciled_side_by_side() -> None:
    """One here, the others in workers."""
    queue = Queue()
    queue.dispatcher.dispatch(NAMES, queue.workers)
    assert queue.done == ["web"]
    assert queue.workers.work() == 2
    assert queue.done == list(NAMES)
    assert queue.released == []


def test_while_the_store_is_limited_they_come_one_after_another() -> None:
    """Here, in their order, and no worker is held by one that waits."""
    queue = Queue()
    queue.limited = True
    queue.dispatcher.dispatch(NAMES, queue.workers)
    assert queue.done == list(NAMES)
    assert queue.workers.waiting == []


def test_a_limit_that_ends_leaves_the_rest_for_the_next_dispatch() -> None:
    """There they come side by side again."""
    queue = Queue()
    queue.limited = True
    queue.limit_until = "web"
    queue.dispatcher.dispatch(NAMES, queue.workers)
    assert (queue.done, queue.released) == (["web"], ["api", "internal"])


def test_those_that_would_compete_are_left_for_later() -> None:
    """A limit that is met by the first of many."""
    queue = Queue()
    queue.limit_after = "web"
    queue.dispatcher.dispatch(NAMES, queue.workers)
    queue.workers.work()
    assert (queue.done, queue.released) == (["web"], ["api", "internal"])


def test_an_end_or_an_outage_leaves_the_rest_for_later() -> None:
    """One that stops must not make a pass over each of them first."""
    queue = Queue()
    queue.limited = queue.held = True
    queue.dispatcher.dispatch(NAMES, queue.workers)
    assert (queue.done, queue.released) == ([], list(NAMES))


def test_a_pool_that_is_shut_down_takes_nothing() -> None:
    """What it refused is released."""
    queue = Queue()
    queue.dispatcher.discover_with(queue.discover, first=False)
    queue.workers.stopped = True
    queue.dispatcher.dispatch(NAMES, queue.workers)
    assert (queue.done, queue.released, queue.discovered) == (["web"], ["api", "internal"], 0)


def test_what_is_to_be_discovered_first_is() -> None:
    """Once before the first pass; from then on, and else from the beginning, beside it."""
    queue = Queue()
    queue.dispatcher.discover()
    queue.dispatcher.discover_with(queue.discover, first=True)
    queue.dispatcher.dispatch(["web"], queue.workers)
    assert (queue.discovered, queue.workers.waiting) == (1, [])
    queue.dispatcher.dispatch(["web"], queue.workers)
    assert (queue.discovered, len(queue.workers.waiting)) == (1, 1)
    queue.dispatcher.discover()
    assert queue.discovered == 2


def test_a_feed_that_cannot_be_read_is_unknown() -> None:
    """And one that is not there, too."""
    queue = Queue()
    queue.notifier.down = True
    assert queue.dispatcher.announced(NAMES) is None
    assert queue.log.names() == ["announced_unknown"]
    bare = Dispatcher(queue._reconcile, queue.released.append, None, queue.log, lambda: False, lambda: False)
    assert bare.announced(NAMES) is None
