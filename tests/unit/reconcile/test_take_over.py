"""
A work queue that goes on where another ended: after a reload, over the keysets of another configuration.
"""

from rotator.errors import StoreUnavailableError
from rotator.model.document import Stored, Tree
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.work_queue import WorkQueue
from tests.support.memory_store import MemoryStore
from tests.support.process import Outside, Process, Workers
from tests.support.world import policy

SECRETS = policy("HS256", period=1000, p=80, life=100)


class WatchedStore(MemoryStore):
    """
    A store that notes which keysets were asked for, and can be away.
    """

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside.clock, outside.fuses)
        self.asked: list[str] = []
        self.away = False

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Note the keyset, and load it."""
        if tree is Tree.KEYS:
            self.asked.append(keyset)
        if self.away:
            raise StoreUnavailableError("away")
        return super().load(tree, keyset)


class World(Outside):
    """
    A world in which one queue follows another.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = self.watched = WatchedStore(self)

    def queue(self, *names: str) -> WorkQueue:
        """Return the queue of another process."""
        process = Process(self, SECRETS)
        trackers = [Tracker(name, SECRETS) for name in names]
        return WorkQueue(
            trackers, process.reconciler, process.last_known, self.notifier, process.alarms, process.log, self.clock
        )

    def dispatch(self, queue: WorkQueue) -> list[str]:
        """Let what is due run, and return the keysets that were reconciled."""
        before, workers = len(self.watched.asked), Workers()
        queue.dispatch_due(workers)
        workers.work()
        return list(dict.fromkeys(self.watched.asked[before:]))


def test_another_configuration_goes_on_where_the_former_was() -> None:
    """What is known of a keyset stays known, and all are due at once; one that is new begins."""
    world = World()
    before, after = world.queue("web", "gone"), world.queue("web", "new")
    world.dispatch(before)
    after.take_over(before, same_store=True)
    web, new = after.trackers

    assert (web.name, web.status) == ("web", before.trackers[0].status)
    assert (new.name, new.status) == ("new", None)
    assert world.dispatch(after) == ["web", "new"]


def test_in_another_store_nothing_is_known() -> None:
    """What was purged and shown there says nothing of this one."""
    world = World()
    before, after = world.queue("web"), world.queue("web")
    world.dispatch(before)
    after.take_over(before, same_store=False)

    assert before.trackers[0].status is not None
    assert after.trackers[0].status is None


def test_an_outage_goes_on_under_another_configuration() -> None:
    """The store is still probed by one keyset at a time."""
    world = World()
    before, after = world.queue("a", "b"), world.queue("a", "b")
    world.dispatch(before)
    world.clock.advance(20)
    world.watched.away = True
    world.dispatch(before)
    after.take_over(before, same_store=True)
    world.clock.advance(60)

    assert len(world.dispatch(after)) == 1
