"""
One pass of the daemon without a daemon.
"""

from concurrent.futures import Executor

from rotator.alarms import Log
from rotator.assembly import Assembly, assemble, make_board
from rotator.memory import Memory
from rotator.settings import Settings


def one_pass(settings: Settings, log: Log, workers: Executor) -> Assembly:
    """
    Look at every keyset once, in *workers*, and return when all is done; troubles are alarms, not exceptions.
    """
    memory = Memory(settings.daemon.state_dir)
    assembly = assemble(settings, log, memory, make_board(settings, memory, log))
    try:
        assembly.rounds.run_once(workers)
    finally:
        assembly.close()
    return assembly
