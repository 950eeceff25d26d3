"""
Alarms: what needs a person's eye, by keyset and reason, raised and cleared as conditions come and go.
"""

import threading
from dataclasses import dataclass

from rotator.model.reasons import Reason
from rotator.ports.log import Log


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    One alarm that stands; `detail` says what is wrong and the way out.
    """

    keyset: str
    reason: Reason
    detail: str


class Alarms:
    """
    The alarms that stand now. Raising one that stands already says nothing twice. Safe to use from several threads.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._active: dict[tuple[str, Reason], Alarm] = {}

    def raise_(self, keyset: str, reason: Reason, detail: str = "") -> None:
        """
        Raise an alarm: one log event at error level when it is new.
        """
        with self._lock:
            new = (keyset, reason) not in self._active
            self._active[keyset, reason] = Alarm(keyset, reason, detail)
        if new:
            self._log.error("alarm", keyset=keyset, reason=reason.value, detail=detail)

    def clear(self, keyset: str, *reasons: Reason) -> None:
        """
        End alarms whose condition is gone.
        """
        with self._lock:
            gone = [alarm for reason in reasons if (alarm := self._active.pop((keyset, reason), None))]
        for alarm in gone:
            self._log.info("alarm_cleared", keyset=keyset, reason=alarm.reason.value)

    def active(self) -> tuple[Alarm, ...]:
        """
        Return the alarms that stand, by keyset and reason.
        """
        with self._lock:
            return tuple(self._active[key] for key in sorted(self._active))
