"""
Noticing, each time the daemon wakes, what happened to this machine's clocks.
"""

from rotator.ports.clocks import Clocks
from rotator.ports.log import Log

CLOCK_STEP = 2.0


class ClockWatch:
    """
    Compares the clocks with each other, from one call of `notice` to the next.
    """

    def __init__(self, clocks: Clocks, log: Log) -> None:
        self._clocks = clocks
        self._log = log
        self._offset, self._asleep = self._read()

    def notice(self) -> bool:
        """
        Return whether the wall clock stepped or the machine was suspended since the last call, and log it once.
        """
        before, slept = self._offset, self._asleep
        self._offset, self._asleep = self._read()
        stepped = abs(self._offset - before) > CLOCK_STEP
        resumed = self._asleep - slept > CLOCK_STEP
        if stepped:
            self._log.warning("clock_stepped", seconds=round(self._offset - before))
        if resumed:
            self._log.info("resumed", suspended=round(self._asleep - slept))
        return stepped or resumed

    def _read(self) -> tuple[float, float]:
        monotonic = self._clocks.monotonic()
        return self._clocks.wall().timestamp() - monotonic, monotonic - self._clocks.awake()
