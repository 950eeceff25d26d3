"""
What one process knows of one keyset between two looks at it; forgotten at its end without harm.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.lifecycle.holds import Evidence
from rotator.model.policy import Policy
from rotator.model.reasons import Reason
from rotator.reconcile.snapshot import Snapshot

MIN_BACKOFF = timedelta(seconds=1)
MAX_BACKOFF = timedelta(seconds=30)


def backoff(failures: int, propagation_time: timedelta) -> timedelta:
    """
    Return how long to wait after so many failures in a row: from 1 s, doubling, capped at min(30 s, P/4), never below 1 s.
    """
    cap = max(MIN_BACKOFF, min(MAX_BACKOFF, propagation_time / 4))
    return min(cap, MIN_BACKOFF * (1 << min(failures - 1, 10)))


@dataclass(slots=True)
class Watch:
    """
    The mutable state of one keyset's looks.

    `due`, `converged_at`, `lagging_since`, `purge_since` and `seen_at` are monotonic seconds; the other times are the store's.
    """

    name: str
    policy: Policy
    view: Snapshot | None = None
    busy: bool = False
    again: bool = False
    due: float = 0.0
    clock_steps: int = 0
    failures: int = 0
    seen_at: float | None = None
    last_success: datetime | None = None
    converged: tuple[str, int] | None = None
    converged_at: float = 0.0
    missing_from: str = ""
    unconfirmed: int = 0
    confirm_after: datetime | None = None
    standby_doubted_at: datetime | None = None
    standby_lost: bool = False
    lagging_since: float | None = None
    purge_since: float | None = None
    held: Reason | None = None
    overdue: bool = False
    rotations: int = 0

    def evidence(self, *, clock_trusted: bool, committed_at: datetime | None = None) -> Evidence:
        """
        Return what a decision may take from this watch.
        """
        return Evidence(
            clock_trusted=clock_trusted,
            missing_from=self.missing_from,
            confirm_after=self.confirm_after,
            standby_doubted=self.standby_doubted_at is not None,
            standby_lost=self.standby_lost,
            committed_at=committed_at,
        )

    def confirmation_failed(self, now: datetime) -> None:
        """
        Put off the next confirmation.
        """
        self.unconfirmed += 1
        self.confirm_after = now + backoff(self.unconfirmed, self.policy.timing.propagation_time)

    def confirmed(self) -> None:
        """
        Forget failed confirmations.
        """
        self.unconfirmed, self.confirm_after = 0, None

    def doubt_standby(self, now: datetime, *, matches: bool) -> None:
        """
        Note whether the standby matches `next`; it is lost when two sights at least P/8 apart say not.
        """
        if matches:
            self.standby_doubted_at, self.standby_lost = None, False
        elif self.standby_doubted_at is None:
            self.standby_doubted_at = now
        elif now - self.standby_doubted_at >= self.policy.timing.propagation_time / 8:
            self.standby_lost = True
