"""
Passes that take far too long: which keysets they are of, and what they hang in.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarms

HANG_AFTER = 100.0


class HangWatch:
    """
    Watches the passes under way, and raises an alarm for each that takes longer than *hang_after* seconds.

    Every wait of a pass has a deadline of its own; what has none is the file system. Safe to use from several threads.
    """

    def __init__(self, alarms: Alarms, monotonic: Callable[[], float], hang_after: float = HANG_AFTER) -> None:
        self._alarms = alarms
        self._monotonic = monotonic
        self._hang_after = hang_after
        self._passes: dict[str, tuple[float, int]] = {}
        self._hanging: set[str] = set()

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """
        Watch a pass over the keyset *name* in this thread. Its end ends the alarm.
        """
        self._passes[name] = (self._monotonic(), threading.get_ident())
        try:
            yield
        finally:
            del self._passes[name]
            if name in self._hanging:
                self._hanging.discard(name)
                self._alarms.clear(name, AlarmReason.HANGS)

    def look(self) -> tuple[str, ...]:
        """
        Raise an alarm for each pass that hangs, and return their keysets. Never waits.
        """
        now = self._monotonic()
        for name, (began, thread) in list(self._passes.items()):
            if now - began > self._hang_after:
                detail = (
                    f"its pass takes {now - began:.0f} s by now, in {_place_of(thread)}; other keysets go on. Look at the "
                    "disk or network mount that this reads or writes, then restart the daemon"
                )
                self._hanging.add(name)
                self._alarms.raise_(name, AlarmReason.HANGS, detail)
        return tuple(sorted(self._hanging))


def _place_of(thread: int) -> str:
    """
    Return the function of ours that *thread* is in.
    """
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to ask
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("rotator."):
            return f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "an unknown place"
