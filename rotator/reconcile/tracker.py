"""
What one process knows of one keyset between two passes. It is forgotten without harm when the process ends.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rotator.lifecycle.holds import Evidence
from rotator.model.document import ClockReading
from rotator.model.keys import Kid
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.model.reasons import HoldReason
from rotator.model.times import backoff
from rotator.reconcile.clock_trust import ClockView
from rotator.reconcile.effects import Outcome
from rotator.reconcile.snapshot import Snapshot

MAX_PENDING = 15.0


@dataclass(frozen=True, slots=True)
class KeysetStatus:
    """
    A keyset as of the last pass that succeeded. Replaced whole, so that readers in other threads see no half of it.

    `clock` is the store's clock in that pass, `seen_at` monotonic seconds. `rotations` counts the activations of this
    process. `pending`: a purge or an announcement is still to be done.
    """

    keyset: Keyset
    clock: ClockReading
    seen_at: float
    held: HoldReason | None
    overdue: bool
    rotations: int
    notify_pending: bool
    purge_pending: bool

    @property
    def pending(self) -> bool:
        """
        Whether a purge or an announcement is still to be done.
        """
        return self.notify_pending or self.purge_pending


@dataclass(slots=True)
class Tracker:
    """
    The observations of one keyset, from which `evidence` is made. Only a pass changes them (observer and reconciler).

    `converged` is epoch and sequence of the document that publishers and standby matched at `converged_at`.
    `compared` is what was seen last, and the digest of the document that was found to follow from it.
    `way_out` is what mends a frozen keyset, beside the version and the text that it was found for.
    `unread_since` is when a process that has never read the keyset first failed to, by the local clock.
    `purged` is epoch, limit and legal hold of the last purge that was proved, `unproved` the keys to be called retired
    when the next one is. `heartbeat_share`: see Evidence. `clock` is what to think of the store's clock. All other times
    are monotonic seconds: the store's clock may step. `confirming`: this pass asked an address that has not answered yet.
    """

    name: str
    policy: Policy
    status: KeysetStatus | None = None
    converged: tuple[str, int] | None = None
    converged_at: float = 0.0
    must_converge: bool = False
    published: bool = True
    missing_from: str = ""
    standby_doubted_at: float | None = None
    lagging_since: float | None = None
    way_out: tuple[tuple[int, str], str] | None = None
    compared: tuple[LastSeen | None, bytes] | None = None
    unread_since: datetime | None = None
    purged: tuple[str, int, bool] | None = None
    purged_at: float | None = None
    purge_tried: bool = False
    unproved: tuple[Kid, ...] = ()
    purge_since: float | None = None
    notify_pending: bool = False
    held: HoldReason | None = None
    overdue: bool = False
    rotations: int = 0
    clock: ClockView | None = None
    confirming: bool = False
    heartbeat_share: float = field(default_factory=lambda: random.uniform(0.75, 0.95))  # noqa: S311 - spreads load
    _failed_confirmations: int = 0
    _confirm_from: float = 0.0
    _standby_lost: bool = False

    def evidence(self, clock: ClockReading, snapshot: Snapshot | None = None) -> Evidence:
        """
        Return what a decision may go by beside the document of *snapshot*, at the moment of *clock*.
        """
        left, view, keyset = self._confirm_from - clock.read_at, self.clock, snapshot.keyset if snapshot else None
        return Evidence(
            clock_trusted=view is None or not view.fault,
            converged=not self.must_converge,
            missing_from=self.missing_from,
            confirm_after=self.now(clock) + timedelta(seconds=left) if left > 0 else None,
            standby_doubted=self.standby_doubted_at is not None,
            standby_lost=self._standby_lost,
            committed_at=snapshot.committed_by if snapshot else None,
            waiting=view.state.waiting(keyset, clock.read_at) if view and keyset else frozenset(),
            over=view.state.over(keyset, clock.read_at) if view and keyset else frozenset(),
            heartbeat_share=self.heartbeat_share,
        )

    def now(self, clock: ClockReading) -> datetime:
        """
        Return the moment of *clock*, in whole seconds rounded down; while it is not to be believed, what it should show.
        """
        return self.clock.now(clock) if self.clock else clock.earliest

    def continued(self, policy: Policy) -> "Tracker":
        """
        Return a tracker that goes on under *policy*; what publishers show is compared at its next pass.
        """
        return replace(self, policy=policy, converged=None)

    def begin(self, snapshot: Snapshot | None, monotonic: float) -> None:
        """
        Note at the beginning of a pass whether publishers must be compared with what is stored; ask again for answers.

        They must if another document was seen last, if that is a propagation time ago, and as long as the standby is
        doubted.
        """
        if self.confirming:
            self.confirming, self._confirm_from = False, 0.0
        self.purge_tried = False
        self.must_converge = snapshot is not None and (
            self.converged != (snapshot.keyset.epoch, snapshot.keyset.sequence)
            or monotonic - self.converged_at >= self.policy.timing.propagation_time.total_seconds()
            or self.standby_doubted_at is not None
        )

    def record(self, outcome: Outcome) -> None:
        """
        Note what an effect published, announced and purged.
        """
        if outcome.published is not None:
            self.published = outcome.published
        if outcome.announced is not None:
            self.notify_pending = not outcome.announced
        if outcome.purged is not None:
            self.purge_ended(outcome.snapshot, purged=outcome.purged)
            self.unproved += outcome.unproved

    def needs_purge(self, snapshot: Snapshot, monotonic: float) -> bool:
        """
        Return whether this process must prove that what *snapshot* dropped is destroyed, and has not tried in this pass.

        It must once for each limit, and again after each propagation time: a restored backup of the whole store brings
        destroyed versions back, and may leave the document as it was.
        """
        if self.purge_tried:
            return False
        outdated = monotonic - (self.purged_at or 0.0) >= self.policy.timing.propagation_time.total_seconds()
        return self.purged != _purge_goal(snapshot) or outdated

    def purge_ended(self, snapshot: Snapshot, *, purged: bool) -> None:
        """
        Note whether a purge was proved.
        """
        self.purge_tried = True
        self.purged = _purge_goal(snapshot) if purged else None

    def settle_purge(self, snapshot: Snapshot, monotonic: float) -> bool:
        """
        Note at the end of a pass since when a purge is pending; return whether it is proved.
        """
        proved = self.purged == _purge_goal(snapshot)
        if proved:
            self.purge_since = None
            self.purged_at = monotonic if self.purge_tried else self.purged_at
        elif self.purge_since is None:
            self.purge_since = monotonic
        return proved

    def confirmation_failed(self, monotonic: float) -> None:
        """
        Put off the next confirmation.
        """
        self._failed_confirmations += 1
        wait = backoff(self._failed_confirmations, self.policy.timing.propagation_time / 4)
        self._confirm_from = monotonic + wait.total_seconds()

    def confirmation_pending(self, monotonic: float) -> None:
        """
        Note that an address has not answered yet. Its answer brings the next pass; after a while one comes without.
        """
        self.confirming, self._confirm_from = True, monotonic + MAX_PENDING

    def confirmed(self) -> None:
        """
        Forget failed confirmations.
        """
        self._failed_confirmations, self._confirm_from = 0, 0.0

    def standby_read(self, monotonic: float, *, matches: bool) -> None:
        """
        Note whether the standby matches `next`. It is lost if two readings at least P/8 apart say that it does not.
        """
        if matches:
            self.standby_doubted_at, self._standby_lost = None, False
        elif self.standby_doubted_at is None:
            self.standby_doubted_at = monotonic
        elif monotonic - self.standby_doubted_at >= self.policy.timing.propagation_time.total_seconds() / 8:
            self._standby_lost = True

    def end(self, snapshot: Snapshot, monotonic: float) -> None:
        """
        Replace the status at the end of a pass that succeeded.
        """
        keyset = snapshot.keyset
        self.converged = (keyset.epoch, keyset.sequence) if self.published else None
        self.status = KeysetStatus(
            keyset,
            snapshot.clock,
            monotonic,
            self.held,
            self.overdue,
            self.rotations,
            self.notify_pending,
            self.purge_since is not None,
        )


def _purge_goal(snapshot: Snapshot) -> tuple[str, int, bool]:
    # Under a legal hold nothing is to be destroyed; once that ends there is.
    return snapshot.keyset.epoch, snapshot.keyset.purge_limit(snapshot.version), snapshot.policy.retain
