"""
What one process knows of a keyset between two passes, and the evidence that is made of it.
"""

from dataclasses import replace

import pytest

from rotator.lifecycle.clock_steps import ClockState, SteadyClock, clock_of
from rotator.lifecycle.holds import Evidence
from rotator.model.document import ClockReading
from rotator.model.keys import Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.reasons import HoldReason
from rotator.reconcile.clock_trust import ClockView
from rotator.reconcile.effects import Outcome
from rotator.reconcile.snapshot import Snapshot
from rotator.reconcile.tracker import Tracker
from tests.support.process import snapshot_of
from tests.support.world import World, at, policy

SECRETS = policy("HS256", p=8)


def made() -> tuple[Tracker, Snapshot]:
    """Return a tracker that knows nothing, and a keyset to be seen."""
    world = World(SECRETS)
    world.run(20)
    return Tracker("web", SECRETS), snapshot_of(world.keyset, SECRETS)


def saved(snapshot: Snapshot, **members: object) -> Snapshot:
    """Return the snapshot after a save of *members*."""
    keyset: Keyset = replace(snapshot.keyset, **members)  # type: ignore[arg-type]
    return snapshot_of(keyset, snapshot.policy)


def settled() -> tuple[Tracker, Snapshot]:
    """Return a tracker that ended a pass at second 20 with everything shown."""
    tracker, snapshot = made()
    tracker.converged_at = 20.0
    tracker.end(snapshot, 20.0)
    return tracker, snapshot


def test_a_keyset_seen_for_the_first_time_must_converge() -> None:
    """What publishers show is not known; a keyset that does not exist has nothing to show."""
    tracker, snapshot = made()
    tracker.begin(snapshot, 20.0)
    assert tracker.must_converge

    tracker.begin(None, 20.0)
    assert not tracker.must_converge


def test_what_was_shown_converges_again_a_propagation_time_later() -> None:
    """P is 8 s: not before."""
    tracker, snapshot = settled()
    tracker.begin(snapshot, 27.9)
    assert not tracker.must_converge
    tracker.begin(snapshot, 28.0)
    assert tracker.must_converge


@pytest.mark.parametrize("members", [{"sequence": 90}, {"epoch": "another"}])
def test_another_document_must_converge(members: dict[str, object]) -> None:
    """One that another process saved."""
    tracker, snapshot = settled()
    tracker.begin(saved(snapshot, **members), 21.0)

    assert tracker.must_converge


def test_a_failed_publication_must_converge_in_the_next_pass() -> None:
    """Until one succeeds."""
    tracker, snapshot = settled()
    tracker.record(Outcome(snapshot, published=False))
    tracker.end(snapshot, 21.0)
    tracker.begin(snapshot, 22.0)
    assert tracker.must_converge

    tracker.record(Outcome(snapshot, published=True))
    tracker.end(snapshot, 22.0)
    tracker.begin(snapshot, 23.0)
    assert not tracker.must_converge


def test_as_long_as_the_standby_is_doubted_every_pass_reads_it() -> None:
    """Convergence does that."""
    tracker, snapshot = settled()
    tracker.standby_read(20, matches=False)
    tracker.begin(snapshot, 21.0)

    assert tracker.must_converge


def test_a_standby_is_lost_after_two_readings_an_eighth_of_p_apart() -> None:
    """P is 8 s; one reading only casts doubt, and one that matches ends it."""
    tracker, _ = made()
    share = tracker.heartbeat_share
    tracker.standby_read(20, matches=False)
    tracker.standby_read(20.9, matches=False)
    assert evidence(tracker) == Evidence(standby_doubted=True, heartbeat_share=share)
    tracker.standby_read(21, matches=False)
    assert evidence(tracker) == Evidence(standby_doubted=True, standby_lost=True, heartbeat_share=share)

    tracker.standby_read(22, matches=True)
    assert evidence(tracker) == Evidence(heartbeat_share=share)


def evidence(tracker: Tracker) -> Evidence:
    """Return what *tracker* has to say."""
    return tracker.evidence(reading(0))


def reading(second: float) -> ClockReading:
    """Return a reading at the monotonic second *second*."""
    return ClockReading(at(second), at(second), read_at=second)


def test_evidence_holds_what_was_observed() -> None:
    """The clock and the commit are those of the pass."""
    tracker, snapshot = made()
    tracker.begin(snapshot, 20.0)
    tracker.missing_from = "file"

    (kid,) = (key.kid for key in snapshot.keyset.keys() if isinstance(key, NextKey))
    state = ClockState(clock_of(reading(0)), dated_by={kid: SteadyClock(at(0).timestamp(), 19.0)})
    tracker.clock = ClockView(state, fault="it stepped")

    assert tracker.evidence(reading(20), replace(snapshot, committed_at=at(-7))) == Evidence(
        clock_trusted=False,
        converged=False,
        missing_from="file",
        committed_at=at(-7),
        waiting=frozenset({kid}),
        heartbeat_share=tracker.heartbeat_share,
    )
    assert tracker.evidence(reading(60), snapshot).over == {kid}


def test_a_clock_that_stepped_is_overruled() -> None:
    """The moment is what it should show; of one that is trusted, what it shows."""
    tracker, _ = made()
    assert tracker.now(reading(20)) == at(20)
    steady = clock_of(reading(0))
    tracker.clock = ClockView(ClockState(steady))
    assert tracker.now(replace(reading(20), earliest=at(9999))) == at(9999)
    tracker.clock = ClockView(ClockState(steady, stepped=steady))
    assert tracker.now(replace(reading(20), earliest=at(9999))) == at(20)


def test_failed_confirmations_back_off_up_to_a_quarter_of_p() -> None:
    """1 s, then 2 s, which is P/4; one that succeeds forgets them."""
    tracker, _ = made()
    ends = []
    for moment in (20, 30, 40):
        tracker.confirmation_failed(moment)
        ends.append(tracker.evidence(reading(moment)).confirm_after)
    assert ends == [at(21), at(32), at(42)]

    tracker.confirmed()
    assert evidence(tracker).confirm_after is None
    tracker.confirmation_failed(50)
    assert tracker.evidence(reading(50)).confirm_after == at(51)
    assert tracker.evidence(reading(51)).confirm_after is None


def test_back_offs_go_by_the_monotonic_clock() -> None:
    """Whatever the store's clock shows, a failed confirmation is tried again a second later."""
    tracker, _ = made()
    tracker.confirmation_failed(20)
    later = replace(reading(20), earliest=at(9999))
    assert tracker.evidence(later).confirm_after == at(10000)


def needs_purge(tracker: Tracker, snapshot: Snapshot, monotonic: float = 21.0) -> bool:
    """Return whether the next pass, at *monotonic*, must purge."""
    tracker.begin(snapshot, monotonic)
    return tracker.needs_purge(snapshot, monotonic)


def test_an_outcome_changes_only_what_it_speaks_of() -> None:
    """None says that the effect had no need to."""
    tracker, snapshot = made()
    tracker.record(Outcome(snapshot, published=False, announced=False, purged=True))
    tracker.record(Outcome(snapshot))
    tracker.settle_purge(snapshot, 20.0)

    assert (tracker.published, tracker.notify_pending, needs_purge(tracker, snapshot)) == (False, True, False)
    tracker.record(Outcome(snapshot, published=True, announced=True, purged=False, unproved=(Kid("k1"),)))
    assert (tracker.published, tracker.notify_pending, needs_purge(tracker, snapshot)) == (True, False, True)
    assert tracker.unproved == ("k1",)


def test_a_purge_is_proved_for_one_epoch_and_one_version() -> None:
    """By this process: another starts without proof."""
    tracker, snapshot = made()
    assert needs_purge(tracker, snapshot)
    purge_ended(tracker, snapshot, 20.0, purged=True)
    assert not needs_purge(tracker, snapshot)

    assert needs_purge(tracker, saved(snapshot, purge_below=1))
    assert needs_purge(tracker, saved(snapshot, epoch="another"))
    assert not needs_purge(tracker, saved(snapshot, sequence=90))


def test_where_the_counter_restarted_each_version_is_another_goal() -> None:
    """Everything below the latest is to go, whatever number the former counter had reached."""
    tracker, snapshot = made()
    copied = replace(saved(snapshot, purge_below=40), version=2)
    purge_ended(tracker, copied, 20.0, purged=True)

    assert not needs_purge(tracker, copied)
    assert needs_purge(tracker, replace(copied, version=3))
    assert needs_purge(tracker, replace(copied, version=40))
    purge_ended(tracker, replace(copied, version=40), 20.0, purged=True)
    assert not needs_purge(tracker, replace(copied, version=41))


def test_a_purge_is_proved_again_a_propagation_time_later() -> None:
    """P is 8 s: a restored backup of the store brings destroyed versions back without a change of the document."""
    tracker, snapshot = made()
    purge_ended(tracker, snapshot, 20.0, purged=True)

    assert not needs_purge(tracker, snapshot, 27.9)
    assert needs_purge(tracker, snapshot, 28.0)
    purge_ended(tracker, snapshot, 28.0, purged=True)
    assert not needs_purge(tracker, snapshot, 28.1)


def test_one_pass_purges_once() -> None:
    """Whether it succeeded or not; the next pass tries again."""
    tracker, snapshot = made()
    tracker.record(Outcome(snapshot, purged=False))

    assert not tracker.needs_purge(snapshot, 21.0)
    assert needs_purge(tracker, snapshot)


def purge_ended(tracker: Tracker, snapshot: Snapshot, monotonic: float, *, purged: bool) -> None:
    """Let a pass purge and end."""
    tracker.purge_ended(snapshot, purged=purged)
    assert tracker.settle_purge(snapshot, monotonic) is purged


def test_a_purge_is_pending_since_its_first_failure() -> None:
    """At second 0 too; a success ends it."""
    tracker, snapshot = made()
    purge_ended(tracker, snapshot, 0.0, purged=False)
    purge_ended(tracker, snapshot, 30.0, purged=False)
    assert tracker.purge_since == 0.0

    purge_ended(tracker, snapshot, 31.0, purged=True)
    assert tracker.purge_since is None


def test_the_status_is_replaced_whole_at_the_end_of_a_pass() -> None:
    """It holds what the pass found, and is another value then."""
    tracker, snapshot = settled()
    first = tracker.status
    assert first is not None
    assert not first.pending

    tracker.held, tracker.overdue, tracker.rotations = HoldReason.CLOCK, True, 3
    tracker.notify_pending = True
    assert tracker.status is first
    tracker.end(snapshot, 21.0)

    status = tracker.status
    assert status is not None
    assert (status.keyset, status.clock, status.seen_at) == (snapshot.keyset, snapshot.clock, 21.0)
    assert (status.held, status.overdue, status.rotations) == (HoldReason.CLOCK, True, 3)
    assert (status.notify_pending, status.purge_pending, status.pending) == (True, False, True)


def test_a_purge_that_failed_is_pending_in_the_status() -> None:
    """So that the queue comes back soon."""
    tracker, snapshot = made()
    purge_ended(tracker, snapshot, 20.0, purged=False)
    tracker.end(snapshot, 20.0)

    assert tracker.status is not None
    assert (tracker.status.purge_pending, tracker.status.pending) == (True, True)


def test_another_policy_goes_on_with_the_same_observations() -> None:
    """Nothing seen is forgotten; what publishers show is compared again, for there may be others now."""
    tracker, snapshot = settled()
    tracker.rotations = 3
    other = policy("HS256", p=16)
    continued = tracker.continued(other)

    assert continued == replace(tracker, policy=other, converged=None)
    assert continued.status is tracker.status
    continued.begin(snapshot, 21.0)
    assert continued.must_converge
