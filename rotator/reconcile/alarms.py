"""
Alarms: what needs a person's eye, by keyset and reason, raised and cleared as conditions come and go.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from rotator.model.reasons import AlarmReason
from rotator.ports.log import Log


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    One active alarm; `detail` says what is wrong and the way out. `keyset` is "" for one that concerns the daemon.
    """

    keyset: str
    reason: AlarmReason
    detail: str

    def __str__(self) -> str:
        concerns = f"{self.keyset}: " if self.keyset else ""
        return f"{concerns}{self.reason.value}: {self.detail}"


class Alarms:
    """
    The active alarms. Raising one that is active already logs nothing. Safe to use from several threads.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._active: dict[tuple[str, AlarmReason], Alarm] = {}

    def raise_(self, keyset: str, reason: AlarmReason, detail: str = "") -> None:
        """
        Raise an alarm: one log event at error level if it is new.
        """
        with self._lock:
            new = (keyset, reason) not in self._active
            self._active[keyset, reason] = Alarm(keyset, reason, detail)
        if new:
            self._log.error("alarm", keyset=keyset, reason=reason.value, detail=detail)

    def clear(self, keyset: str, *reasons: AlarmReason) -> None:
        """
        End alarms whose condition is gone.
        """
        with self._lock:
            gone = [alarm for reason in reasons if (alarm := self._active.pop((keyset, reason), None))]
        for alarm in gone:
            self._log.info("alarm_cleared", keyset=keyset, reason=alarm.reason.value)

    def active(self) -> tuple[Alarm, ...]:
        """
        Return the active alarms, ordered by keyset and reason.
        """
        with self._lock:
            return tuple(self._active[key] for key in sorted(self._active))

    def take_over(self, before: "Alarms", names: Iterable[str]) -> None:
        """
        Go on with the alarms of *before* that concern *names* or the daemon, without a word in the log.
        """
        kept = {"", *names}
        with self._lock:
            self._active |= {(alarm.keyset, alarm.reason): alarm for alarm in before.active() if alarm.keyset in kept}
