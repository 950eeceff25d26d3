"""
Whether what a reader is shown may be the past. No thread, no clock and no lock in here.

A node of the store that is cut off from the others, or deposed without knowing it, goes on answering: whole documents,
and old ones. Two things tell. A document with a heartbeat says when a daemon saved it last. And hints name a sequence
that does not arrive.
"""

from rotator.client.jose.keys import Keys
from rotator.client.log import StdlibLog
from rotator.model.event import Hint
from rotator.model.times import format_time


def left_to_sign(keys: Keys, wall: float) -> float | None:
    """
    Return for how many seconds from *wall* (seconds since 1970) *keys* may sign; None if no heartbeat bounds that.

    That is until the last save is older than the propagation time, by this host's clock less `clock_skew`.
    """
    if keys.seen_at is None:
        return None
    longest = keys.timing.propagation_time + keys.timing.clock_skew
    return keys.seen_at.timestamp() + longest.total_seconds() - wall


def unseen(keys: Keys, place: str) -> str:
    """
    Say that *keys* do not sign because their document was saved too long ago.
    """
    return (
        f"{place} was last saved at {format_time(keys.seen_at)}, longer ago than propagation_time: the daemon is down, or "
        "this node of the store is cut off and shows the past"
    )


class Announcements:
    """
    The latest change that was announced and did not arrive at *place*.

    A hint may be forged, so that it makes nothing stop. It is only said.
    """

    def __init__(self, place: str) -> None:
        self._place, self._log = place, StdlibLog()
        self._epoch, self._sequence, self._since = "", 0, 0.0
        self._told = False

    def heard(self, keys: Keys | None, hint: Hint, now: float) -> None:
        """
        Note a hint that came while *keys* were the latest that were read.
        """
        if keys is None or hint.epoch != keys.epoch or hint.sequence <= keys.sequence:
            return
        if not self._awaited(keys):
            self._epoch, self._sequence, self._since = hint.epoch, hint.sequence, now
        self._sequence = max(self._sequence, hint.sequence)

    def missing(self, keys: Keys, now: float) -> str:
        """
        Say which change did not arrive within a quarter of the propagation time, "" if all did.
        """
        if not self._awaited(keys) or now - self._since <= keys.timing.propagation_time.total_seconds() / 4:
            return ""
        return (
            f"{self._place} shows sequence {keys.sequence}, but {self._sequence} was announced {now - self._since:.0f} s "
            "ago: this node of the store lags or is cut off, and shows the past"
        )

    def tell(self, keys: Keys | None, now: float) -> None:
        """
        Log once that a change is missing.
        """
        text = self.missing(keys, now) if keys else ""
        if text and not self._told:
            self._log.warning("keys_behind", fault=text)
        self._told = bool(text)

    def _awaited(self, keys: Keys) -> bool:
        return self._epoch == keys.epoch and self._sequence > keys.sequence
