"""
What is asked of the process from outside: to end, and to read its configuration again. Light: `run` imports it first.
"""

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue


class Signals:
    """
    SIGTERM and SIGINT ask for the end, SIGHUP for a reload; `stop` and `reload` do the same without a signal.

    A handler runs between any two steps of the main thread, so it must not wait for what that thread holds. Putting
    into a SimpleQueue is reentrant; the lock of an Event is not, and the main thread holds it now and then.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._reloads: SimpleQueue[None] = SimpleQueue()
        self._woken: SimpleQueue[None] = SimpleQueue()

    def listen(self) -> None:
        """
        Install the handlers.
        """
        self.end_at(signal.SIGTERM, signal.SIGINT)
        signal.signal(signal.SIGHUP, lambda *_: self.reload())

    def end_at(self, *numbers: signal.Signals) -> None:
        """
        Let each of these signals ask for the end.
        """
        for number in numbers:
            signal.signal(number, lambda *_: self.stop())

    def ignore(self) -> None:
        """
        Let none of these signals end the process, which is about to end by itself with the exit code it chose.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def stop(self) -> None:
        """
        Ask for the end.
        """
        self.stopping = True
        self._woken.put(None)

    def reload(self) -> None:
        """
        Ask for a reload.
        """
        self._reloads.put(None)
        self._woken.put(None)

    def take_reload(self) -> bool:
        """
        Return whether a reload was asked for since the last call: however often, it is one.
        """
        return _emptied(self._reloads)

    def wait(self, seconds: float) -> bool:
        """
        Wait, at most until something is asked; return whether the process goes on.
        """
        if not self.stopping:
            with suppress(Empty):
                self._woken.get(timeout=seconds)
            _emptied(self._woken)
        return not self.stopping


def _emptied(queue: "SimpleQueue[None]") -> bool:
    found = False
    with suppress(Empty):
        while True:
            queue.get_nowait()
            found = True
    return found
