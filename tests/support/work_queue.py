"""
A daemon's work queue in a world of fakes, over keysets of one policy.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.model.document import Stored, Tree
from rotator.model.policy import Policy
from rotator.model.publication import Publication
from rotator.model.reasons import AlarmReason
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.work_queue import WorkQueue
from tests.support.fakes import MemoryPublisher
from tests.support.memory_store import MemoryStore
from tests.support.process import Outside, Process, Workers
from tests.support.world import policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# P/8 = 10 s between polls; nothing of the keyset's own is due before its next is usable, at second 80.
SECRETS = policy("HS256", period=1000, p=80, life=100)


class WatchedStore(MemoryStore):
    """
    A store that notes which signing documents are asked for; those of `broken` make it raise what they name.
    """

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside.clock, outside.fuses)
        self.asked: list[str] = []
        self.broken: dict[str, Exception] = {}
        self.hook: Callable[[str], object] = lambda _: None

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Note the keyset; raise what it is broken with."""
        if tree is Tree.KEYS:
            self.asked.append(keyset)
        self.hook(keyset)
        if keyset in self.broken:
            raise self.broken[keyset]
        return super().load(tree, keyset)


class SlowPublisher(MemoryPublisher):
    """
    A publisher that takes some seconds for every publication.
    """

    def __init__(self, outside: Outside, took: float) -> None:
        super().__init__(outside.clock, fuses=outside.fuses)
        self._took = took

    def publish(self, publication: Publication) -> None:
        """Let time pass."""
        self._clock.advance(self._took)
        super().publish(publication)


class Daemon:
    """
    A work queue over keysets of one policy, in a world of fakes.
    """

    def __init__(
        self,
        *names: str,
        rules: Policy = SECRETS,
        poll: timedelta | None = None,
        slow: float = 0.0,
        state_dir: "Path | None" = None,
    ) -> None:
        self.outside = Outside()
        self.outside.publisher = SlowPublisher(self.outside, slow)
        self.outside.store = self.store = WatchedStore(self.outside)
        self.clock, self.notifier = self.outside.clock, self.outside.notifier
        self.process = Process(self.outside, rules, state_dir)
        self.alarms, self.log = self.process.alarms, self.process.log
        self.workers = Workers()
        self.limited = False
        self.trackers = {name: Tracker(name, rules) for name in names or ("web",)}
        self.queue = WorkQueue(
            self.trackers.values(),
            self.process.reconciler,
            self.process.last_known,
            self.notifier,
            self.alarms,
            self.log,
            self.clock,
            poll,
            lambda: self.limited,
        )

    def dispatch(self) -> list[str]:
        """Dispatch what is due, let it run, and return the keysets that were reconciled, each once, in their order."""
        before = len(self.store.asked)
        self.queue.dispatch_due(self.workers)
        self.workers.work()
        return list(dict.fromkeys(self.store.asked[before:]))

    def settled(self) -> "Daemon":
        """Create every keyset, and return this daemon."""
        assert sorted(self.dispatch()) == sorted(self.trackers)
        return self

    def seconds_until_due(self, limit: float, step: float = 0.25) -> float:
        """Advance the clock until something is reconciled; return how long that took."""
        elapsed = 0.0
        while elapsed <= limit:
            if self.dispatch():
                return elapsed
            self.clock.advance(step)
            elapsed += step
        raise AssertionError(f"nothing was due for {limit} s")

    def reasons(self, name: str) -> set[AlarmReason]:
        """Return the active alarms of one keyset."""
        return {alarm.reason for alarm in self.alarms.active() if alarm.keyset == name}
