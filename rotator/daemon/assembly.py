"""
What a daemon and a single pass are both made of.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.keygen import Keygen
from rotator.config.settings import Settings
from rotator.errors import FrozenError
from rotator.model.algorithms import Algorithm
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.log import Log
from rotator.ports.notifier import Notifier
from rotator.ports.store import DocumentStore
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.effects import Effects
from rotator.reconcile.reconciler import Reconciler
from rotator.reconcile.tracker import Watch
from rotator.reconcile.work_queue import WorkQueue
from rotator.wiring import (
    Observe,
    OwnUrl,
    make_notifier,
    make_publishers,
    make_store,
    neighbours,
    redis_arguments,
    well_known,
)


@dataclass(frozen=True, slots=True)
class Wiring:
    """
    The parts that look after keysets, connected.
    """

    alarms: Alarms
    board: JwksCache
    memory: LastSeenStore
    store: DocumentStore
    notifier: Notifier | None
    effects: Effects
    reconciler: Reconciler
    rounds: WorkQueue

    def close(self) -> None:
        """
        Give back connections and file locks.
        """
        for publisher in self.effects.publishers:
            publisher.close()
        if self.notifier is not None:
            self.notifier.close()
        self.store.close()


def assemble(
    settings: Settings,
    log: Log,
    memory: LastSeenStore,
    board: JwksCache,
    own_url: OwnUrl | None = None,
    observe: Observe | None = None,
) -> Wiring:
    """
    Connect the parts that *settings* name; raises ConfigError or FrozenError where one cannot be had.
    """
    alarms = Alarms(log)
    store = make_store(settings, log, state_dir=settings.daemon.state_dir, observe=observe)
    notifier = make_notifier(redis_arguments(settings))
    effects = Effects(
        store,
        make_publishers(settings, store, board, own_url),
        notifier,
        Keygen(),
        alarms,
        log,
        LOCAL_CLOCKS,
        saved=lambda view, policy: reconciler.saved(view, policy),  # noqa: PLW0108 - made below
        neighbours=neighbours(_sharing(settings, memory, log)),
    )
    reconciler = Reconciler(effects, memory, board, alarms, log, LOCAL_CLOCKS)
    rounds = WorkQueue(
        watches(settings, memory, log),
        reconciler,
        board,
        notifier,
        lambda: effects.unannounced,
        alarms,
        log,
        LOCAL_CLOCKS,
        settings.daemon.poll_interval,
    )
    return Wiring(alarms, board, memory, store, notifier, effects, reconciler, rounds)


def make_board(settings: Settings, memory: LastSeenStore, log: Log) -> JwksCache:
    """
    Return an empty board that waits for every keyset of the combined set, those gone from the configuration included.
    """
    return JwksCache(_sharing(settings, memory, log))


def _gone(settings: Settings, memory: LastSeenStore, log: Log) -> Iterable[tuple[str, LastSeen]]:
    for name in memory.names():
        if name in settings.keysets:
            continue
        try:
            remembered = memory.get(name)
        except FrozenError as error:
            log.error("memory_damaged", keyset=name, detail=str(error))  # noqa: TRY400 - the text says it all
            continue
        if remembered is not None:
            yield name, remembered


def _sharing(settings: Settings, memory: LastSeenStore, log: Log) -> tuple[str, ...]:
    gone = (name for name, seen in _gone(settings, memory, log) if seen.well_known and not seen.symmetric)
    return (*well_known(settings), *gone)


def watches(settings: Settings, memory: LastSeenStore, log: Log) -> Iterable[Watch]:
    """
    Yield a watch for each configured keyset, and for each that is remembered but gone from the configuration.
    """
    for name, policy in settings.keysets.items():
        yield Watch(name, policy)
    for name, remembered in _gone(settings, memory, log):
        yield Watch(
            name,
            Policy(
                algorithm=Algorithm.HS256 if remembered.symmetric else Algorithm.RS256,
                rotation_period=2 * remembered.timing.propagation_time,
                timing=remembered.timing,
                well_known=remembered.well_known,
                rotates=False,
            ),
        )
