"""
One pass of the daemon without a daemon.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

from rotator.adapters.board import Board
from rotator.alarms import Alarms, Log
from rotator.effects import Effects
from rotator.keygen import Keygen
from rotator.memory import Memory
from rotator.parts import LOCAL, make_notifier, make_publishers, make_store, redis_arguments, watches, well_known
from rotator.reconciler import Reconciler
from rotator.rounds import Rounds
from rotator.settings import Settings


@dataclass(frozen=True, slots=True)
class Passed:
    """
    What one pass left behind.
    """

    rounds: Rounds
    alarms: Alarms


def one_pass(settings: Settings, log: Log, workers: Executor) -> Passed:
    """
    Look at every keyset once, in *workers*, and return when all is done; troubles are alarms, not exceptions.
    """
    alarms, board = Alarms(log), Board(well_known(settings))
    memory = Memory(settings.daemon.state_dir)
    store = make_store(settings, log, state_dir=settings.daemon.state_dir)
    notifier = make_notifier(redis_arguments(settings))
    effects = Effects(
        store,
        make_publishers(settings, store, board),
        notifier,
        Keygen(),
        alarms,
        log,
        saved=lambda view, policy: reconciler.saved(view, policy),  # noqa: PLW0108 - made below
        neighbours=lambda name: (other for other in well_known(settings) if other != name),
    )
    reconciler = Reconciler(effects, memory, board, alarms, log, LOCAL)
    rounds = Rounds(
        watches(settings, memory), reconciler, board, notifier, lambda: effects.unannounced, alarms, log, LOCAL
    )
    rounds.run_once(workers)
    return Passed(rounds, alarms)
