"""
One pass of the daemon without a daemon.
"""

from concurrent.futures import Executor

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.config.settings import Settings
from rotator.daemon.assembly import Wiring, assemble, make_board
from rotator.ports.log import Log


def one_pass(settings: Settings, log: Log, workers: Executor) -> Wiring:
    """
    Look at every keyset once, in *workers*, and return when all is done; troubles are alarms, not exceptions.
    """
    memory = LastSeenFiles(settings.daemon.state_dir)
    assembly = assemble(settings, log, memory, make_board(settings, memory, log))
    try:
        assembly.rounds.run_once(workers)
    finally:
        assembly.close()
    return assembly
