"""
One process of rotator on fakes of every port: what the daemon's engine and a command are made of, joined by hand.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TypeVar

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.store import StorePublisher
from rotator.cli.output import StderrLog
from rotator.documents.signing import decode_keyset
from rotator.errors import StoreConflictError
from rotator.lifecycle.clock_steps import ClockState
from rotator.lifecycle.decisions import Wait
from rotator.model.document import ClockReading, Fields, Stored, Tree
from rotator.model.event import EventType
from rotator.model.keys import CurrentKey, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.reasons import AlarmReason
from rotator.ports.clock_memory import ClockMemory
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.clock_trust import ClockTrust
from rotator.reconcile.effects import Effects
from rotator.reconcile.last_known import LastKnown
from rotator.reconcile.loading import Loader
from rotator.reconcile.operator_effects import Operator, OperatorEffects
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.reconciler import Reconciler
from rotator.reconcile.saving import SeenRecord
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.tracker import Tracker
from tests.support.fakes import START, ManualClock, MemoryNotifier, MemoryPublisher, PooledKeyGenerator
from tests.support.memory_store import Fuses, MemoryStore

T = TypeVar("T")


class RecordingLog(StderrLog):
    """
    A log that keeps what is told: `events` holds (level, event, fields).
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        """Keep it."""
        self.events.append(("debug", event, fields))

    def info(self, event: str, **fields: object) -> None:
        """Keep it."""
        self.events.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Keep it."""
        self.events.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep it."""
        self.events.append(("error", event, fields))

    exception = error

    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [name for _, name, _ in self.events]


class Workers(Executor):
    """
    An Executor that runs what it holds in the caller's own thread, once `work` is called; *hands_on* runs it at once.

    `stopped`: from now on it accepts no more, as a pool that was shut down.
    """

    def __init__(self, *, hands_on: bool = False) -> None:
        self.stopped = False
        self.waiting: list[Callable[[], object]] = []
        self._hands_on = hands_on

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        """Hold a call, or make it."""
        if self.stopped:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - a pool keeps what a call raises for those who ask
                future.set_exception(error)

        if self._hands_on:
            call()
        else:
            self.waiting.append(call)
        return future

    def work(self) -> int:
        """Make every call that is held, and those that these calls submit; return how many there were."""
        done = 0
        while self.waiting:
            self.waiting.pop(0)()
            done += 1
        return done


class Outside:
    """
    The world around processes: clock, store, publisher, notifier, and where keys come from.
    """

    def __init__(self) -> None:
        self.clock, self.fuses = ManualClock(), Fuses()
        self.store, self.keygen = MemoryStore(self.clock, self.fuses), PooledKeyGenerator()
        self.publisher, self.notifier = MemoryPublisher(self.clock, fuses=self.fuses), MemoryNotifier(self.fuses)

    def announced(self) -> dict[str, str] | None:
        """Return the positions that the feed holds, None while it is down."""
        return None if self.notifier.down else dict(self.notifier.positions)


class Overtaken(MemoryStore):
    """
    A store that another process writes to first, as often as `races` says.
    """

    races = 0

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """Lose the race, or save."""
        if self.races:
            self.races -= 1
            raise StoreConflictError(f"{tree}/{keyset}: version {cas + 1} is saved already")
        return super().save(tree, keyset, fields, cas)


class Process:
    """
    One process that looks after the keyset `web`: what it knows dies with it, except what it keeps in *state_dir*.

    *in_store*: it publishes the JWKS in the store, too.
    """

    def __init__(
        self,
        outside: Outside,
        policy: Policy,
        state_dir: Path | None = None,
        clock_memory: ClockMemory | None = None,
        *,
        pause: Callable[[float], None] = lambda _: None,
        in_store: bool = False,
    ) -> None:
        o, self.log = outside, RecordingLog()
        self.alarms, self.cache = Alarms(self.log), JwksCache(())
        last_seen = LastSeenFiles(state_dir) if state_dir else None
        loader = Loader(o.store)
        stored = [StorePublisher(o.store, loader.seals.get, o.clock.monotonic)] if in_store else []
        self.publishing = Publishing([*stored, o.publisher], o.notifier, self.alarms, self.log)
        seen = SeenRecord(last_seen, self.alarms)
        self.effects = Effects(o.store, loader, self.publishing, o.keygen, seen, self.log, o.clock)
        self.reconciler = Reconciler(
            o.store,
            loader,
            self.effects,
            self.publishing,
            last_seen,
            self.cache,
            self.alarms,
            self.log,
            o.clock,
            ClockTrust(clock_memory, self.alarms),
            pause=pause,
        )
        self.last_known = LastKnown(o.store, loader.seals, last_seen, self.cache, self.publishing)
        unseen = SeenRecord(None, self.alarms)
        own = Loader(o.store)
        effects = OperatorEffects(o.store, own, self.publishing, o.keygen, unseen, self.log, o.clock)
        self.operator = Operator(o.store, own, self.publishing, effects, ClockTrust(clock_memory))
        self.tracker = Tracker("web", policy)


class MemoryClockMemory:
    """
    A ClockMemory that outlives the processes of a test.
    """

    def __init__(self) -> None:
        self._states: dict[str, ClockState] = {}

    def recall(self, name: str, reading: ClockReading) -> ClockState | None:
        """Return what was kept; a test has one boot."""
        assert reading.read_at >= 0
        return self._states.get(name)

    def remember(self, name: str, state: ClockState) -> None:
        """Keep it."""
        self._states[name] = state


class Place(Outside):
    """
    The world outside, and one process in it that can be restarted.
    """

    def __init__(self, policy: Policy, state_dir: Path | None = None) -> None:
        super().__init__()
        self.policy, self._state_dir = policy, state_dir
        self.restart()

    def restart(self) -> None:
        """Begin a new process, which knows what is in its state_dir only."""
        self.process = Process(self, self.policy, self._state_dir)
        self.tracker, self.cache = self.process.tracker, self.process.cache

    def reconcile(self) -> Wait:
        """Make one pass."""
        return self.process.reconciler.reconcile(self.tracker, self.announced())

    def live(self, for_: float, every: float = 1.0) -> None:
        """Make a pass every so often for some seconds."""
        elapsed = 0.0
        while elapsed < for_:
            self.reconcile()
            self.clock.advance(every)
            elapsed += every

    @property
    def keyset(self) -> Keyset:
        """The keyset as stored."""
        latest = self.store.history(Tree.KEYS, "web")[-1]
        assert latest is not None
        return decode_keyset(latest, "web")

    @property
    def current(self) -> CurrentKey:
        """The key that signs; there must be one."""
        current = self.keyset.current
        assert current is not None, "no key signs"
        return current

    @property
    def next_key(self) -> NextKey:
        """The next key; there must be one."""
        next_key = self.keyset.next
        assert next_key is not None, "there is no next key"
        return next_key

    def snapshot(self) -> Snapshot:
        """Load the keyset."""
        return self.process.operator.loader.load("web", self.policy)

    def effects_of(self, act: Callable[[], object]) -> list[str]:
        """Return the names of the effects that *act* has, in their order."""
        before = len(self.fuses.done)
        act()
        return self.fuses.done[before:]

    def reasons(self) -> set[AlarmReason]:
        """The reasons of the active alarms."""
        return {alarm.reason for alarm in self.process.alarms.active()}

    def types(self) -> list[EventType]:
        """The types of the events so far."""
        return [event.type for event in self.notifier.events]


def snapshot_of(keyset: Keyset, policy: Policy, version: int = 1) -> Snapshot:
    """
    Return *keyset* as a store would show it in the very second of START.
    """
    return Snapshot(keyset, policy, version, ClockReading(START, START, read_at=0.0), START, loaded=True)
