"""
One pass of the daemon without a daemon.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor

from rotator.config.settings import Settings
from rotator.model.reasons import AlarmReason
from rotator.ports.log import Log
from rotator.wiring import Engine, wire_engine

# A file that several keysets share is written once the last of them is known.
_ANOTHER = {AlarmReason.PUBLISH_FAILED, AlarmReason.UNCONFIRMED}
GAP = 1.1


def one_pass(settings: Settings, log: Log, workers: Executor, pause: Callable[[float], object] = time.sleep) -> Engine:
    """
    Reconcile every keyset once, in *workers*, and return when all is done. Troubles are alarms, not exceptions.

    What was not published or confirmed is tried once more, as the next pass of a daemon would.
    """
    engine = wire_engine(settings, log, patient=True)
    try:
        engine.queue.run_once(workers)
        if any(alarm.reason in _ANOTHER for alarm in engine.alarms.active()):
            pause(GAP)
            engine.queue.run_once(workers)
    finally:
        engine.close()
    return engine
