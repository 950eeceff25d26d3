"""
The end of a process that has threads which never end: a call that hangs in the file system cannot be given up.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rotator.ports.log import Log

WORKER = "worker"
MAX_SAY = 3.0


@contextmanager
def ended_within(seconds: float, log: Log) -> Iterator[None]:
    """
    Leave the process with exit code 0 if what is done here takes longer than *seconds*, or leaves workers that hang.

    The interpreter would wait for them for ever. What they would have done is done by the next process.
    """
    timer = threading.Timer(seconds, _leave, (log,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if busy_workers():
        _leave(log)


def busy_workers(prefix: str = WORKER) -> tuple[str, ...]:
    """
    Return the names of the workers that have not ended: those that begin with *prefix*.
    """
    return tuple(thread.name for thread in threading.enumerate() if thread.name.startswith(prefix))


def _leave(log: Log) -> None:
    saying = threading.Thread(target=_say, args=(log, list(busy_workers())), daemon=True)
    saying.start()
    saying.join(MAX_SAY)  # what hangs may be the log
    os._exit(0)


def _say(log: Log, hanging: list[str]) -> None:
    log.error("left_hanging", workers=hanging)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
