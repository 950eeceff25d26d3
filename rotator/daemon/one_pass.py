"""
One pass of the daemon without a daemon.
"""

from concurrent.futures import Executor

from rotator.config.settings import Settings
from rotator.ports.log import Log
from rotator.wiring import Engine, wire_engine


def one_pass(settings: Settings, log: Log, workers: Executor) -> Engine:
    """
    Reconcile every keyset once, in *workers*, and return when all is done. Troubles are alarms, not exceptions.
    """
    engine = wire_engine(settings, log, patient=True)
    try:
        engine.queue.run_once(workers)
    finally:
        engine.close()
    return engine
