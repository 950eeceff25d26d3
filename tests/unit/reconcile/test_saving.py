"""
One save: the compare-and-set, the rule of the paused process, and the record of what was seen.
"""

from collections.abc import Callable

import pytest

from rotator.errors import StoreConflictError
from rotator.lifecycle.changes import (
    Activated,
    AddNext,
    Change,
    Confirmed,
    Create,
    Extended,
    Requested,
    Retired,
    Revoked,
    Unconfirmed,
)
from rotator.model.document import Tree
from rotator.model.keyset import RotateRequest
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason, AlarmReason
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.effects import next_key_of
from rotator.reconcile.loading import Loader
from rotator.reconcile.saving import Saving, SeenRecord
from rotator.reconcile.snapshot import Snapshot
from tests.support.fakes import MemoryLastSeen
from tests.support.process import Place, RecordingLog
from tests.support.world import at, policy, seconds

# P/8 is 1 s, so that the two seconds that are always allowed count; and 10 s.
SHORT, LONG = policy("HS256", p=8, life=20), policy("HS256", period=500, p=80, life=20)


class Desk:
    """
    A keyset of secrets with current and a propagated next, and what saves it.
    """

    def __init__(self, rules: Policy) -> None:
        self.place = Place(rules)
        self.place.live(30, every=10)
        self.place.clock.advance(80.0)
        self.log, self.last_seen = RecordingLog(), MemoryLastSeen()
        self.alarms = Alarms(self.log)
        self.seen = SeenRecord(self.last_seen, self.alarms)
        loader = Loader(self.place.store)
        self.saving = Saving(self.place.store, loader, self.place.keygen, self.seen, self.place.clock)

    def loaded(self) -> Snapshot:
        """Load the keyset now."""
        return self.place.snapshot()

    def versions(self) -> int:
        """Return how many versions were saved."""
        return len(self.place.store.history(Tree.KEYS, "web"))


ACTIVATION = Activated(ActivationReason.SCHEDULED)


def revocation(snapshot: Snapshot) -> Change:
    """Return the revocation of current, followed by next."""
    current, next_key = snapshot.keyset.current, snapshot.keyset.next
    assert current
    assert next_key
    return Revoked((current.kid,), "stolen", next_key)


@pytest.mark.parametrize(("rules", "limit"), [(SHORT, 2.0), (LONG, 10.0)])
@pytest.mark.parametrize("make", [lambda _: ACTIVATION, revocation], ids=["activation", "revocation"])
def test_a_process_that_was_paused_neither_activates_nor_revokes(
    rules: Policy, limit: float, make: Callable[[Snapshot], Change]
) -> None:
    """
    Longer than max(2 s, P/8) after its reading of the store's clock the deadlines it would record are too early.

    It is refused as a lost race, so that the keyset is read again, and nothing is saved.
    """
    desk = Desk(rules)
    snapshot = desk.loaded()
    before = desk.versions()
    desk.place.clock.advance(limit + 0.001)

    with pytest.raises(StoreConflictError, match="web: this process was paused"):
        desk.saving.save(snapshot, make(snapshot))
    assert desk.versions() == before
    assert desk.last_seen.names() == ()


@pytest.mark.parametrize(("rules", "limit"), [(SHORT, 2.0), (LONG, 10.0)])
@pytest.mark.parametrize("make", [lambda _: ACTIVATION, revocation], ids=["activation", "revocation"])
def test_a_pause_up_to_the_limit_is_allowed(rules: Policy, limit: float, make: Callable[[Snapshot], Change]) -> None:
    """The propagation time covers it."""
    desk = Desk(rules)
    snapshot = desk.loaded()
    desk.place.clock.advance(limit)

    assert desk.saving.save(snapshot, make(snapshot)).version == snapshot.version + 1


def test_the_pause_is_counted_by_the_clock_nobody_can_set() -> None:
    """A step of the wall clock is no pause, and hides none."""
    desk = Desk(SHORT)
    snapshot = desk.loaded()
    desk.place.clock.step(seconds(3600))
    assert desk.saving.save(snapshot, ACTIVATION).version == snapshot.version + 1

    desk = Desk(SHORT)
    snapshot = desk.loaded()
    desk.place.clock.advance(60.0)
    desk.place.clock.step(seconds(-60))
    with pytest.raises(StoreConflictError, match="paused"):
        desk.saving.save(snapshot, ACTIVATION)


def test_the_pause_is_counted_from_the_clock_that_is_saved() -> None:
    """A later reading of the store's clock than the snapshot's makes up for it."""
    desk = Desk(SHORT)
    snapshot = desk.loaded()
    desk.place.clock.advance(60.0)
    clock = desk.place.store.load(Tree.STANDBY, "web").clock

    after = desk.saving.save(snapshot, ACTIVATION, clock=clock)

    assert after.keyset.current is not None
    assert after.keyset.current.activated_at == clock.earliest


HARMLESS: dict[str, Callable[[Desk], Change]] = {
    "confirmation": lambda _: Confirmed(at(100)),
    "unconfirmation": lambda _: Unconfirmed(),
    "extension": lambda _: Extended(),
    "retirement": lambda _: Retired(()),
    "request": lambda _: Requested(RotateRequest("op", at(100), "")),
    "generation": lambda desk: AddNext(
        next_key_of(desk.place.keygen.generate(SHORT.algorithm, 0), SHORT, at(100)), desk.place.next_key.kid
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_other_changes_of_a_paused_process_are_saved(name: str) -> None:
    """Their deadlines count from a moment that is proved otherwise, or there are none."""
    desk = Desk(SHORT)
    snapshot = desk.loaded()
    change = HARMLESS[name](desk)
    desk.place.clock.advance(3600.0)

    assert desk.saving.save(snapshot, change).version == snapshot.version + 1


def test_a_save_is_one_version_with_its_op_id() -> None:
    """The one given, or a new one; its snapshot is not one that was loaded."""
    desk = Desk(SHORT)
    first = desk.saving.save(desk.loaded(), Unconfirmed(), op_id="op-x")
    second = desk.saving.save(first, Confirmed(at(200)))

    assert (first.keyset.op_id, first.loaded, first.policy) == ("op-x", False, SHORT)
    assert second.keyset.op_id.startswith("op-")
    assert second.keyset.op_id != "op-x"
    assert desk.place.keyset == second.keyset
    assert (second.version, second.committed_at) == (first.version + 1, desk.place.clock.now())


def test_a_lost_race_saves_nothing() -> None:
    """Another process was faster."""
    desk = Desk(SHORT)
    snapshot = desk.loaded()
    winner = desk.saving.save(snapshot, Unconfirmed())

    with pytest.raises(StoreConflictError):
        desk.saving.save(snapshot, Extended())
    assert desk.place.keyset == winner.keyset


def test_a_creation_is_the_first_version_or_none() -> None:
    """Version 0 is what it replaces."""
    desk = Desk(SHORT)
    clock, sealing = desk.loaded().clock, desk.loaded().sealing
    next_key, first = (
        next_key_of(desk.place.keygen.generate(SHORT.algorithm, 0), SHORT, clock.earliest) for _ in range(2)
    )

    fresh = desk.saving.create(Create("other", "epoch-x", next_key, first), SHORT, clock, sealing)
    assert (fresh.version, fresh.keyset.sequence, fresh.loaded) == (1, 1, False)
    with pytest.raises(StoreConflictError):
        desk.saving.create(Create("other", "epoch-y", next_key, first), SHORT, clock, sealing)


def test_what_was_read_again_is_what_was_read() -> None:
    """With a new clock; a save in between is a lost race."""
    desk = Desk(SHORT)
    snapshot = desk.loaded()
    desk.place.clock.advance(5.0)
    again = desk.saving.read_again(snapshot)
    assert (again.keyset, again.version) == (snapshot.keyset, snapshot.version)
    assert again.now == snapshot.now + seconds(5)

    desk.saving.save(snapshot, Unconfirmed())
    with pytest.raises(StoreConflictError, match="changed while"):
        desk.saving.read_again(snapshot)


def test_every_save_is_recorded_as_seen() -> None:
    """Once the store has acknowledged it."""
    desk = Desk(SHORT)
    after = desk.saving.save(desk.loaded(), Unconfirmed())

    seen = desk.last_seen.get("web")
    assert seen is not None
    assert (seen.epoch, seen.sequence, seen.op_id) == (
        after.keyset.epoch,
        after.keyset.sequence,
        after.keyset.op_id,
    )
    assert (seen.document, seen.timing) == (after.publication.document, after.publication.timing)
    assert (seen.symmetric, seen.well_known) == (True, False)


def test_a_record_that_cannot_be_written_is_alarmed_and_stops_nothing() -> None:
    """The next one that can be clears the alarm."""
    desk = Desk(SHORT)
    desk.last_seen.failing = True
    after = desk.saving.save(desk.loaded(), Unconfirmed())
    assert desk.place.keyset == after.keyset
    assert [(alarm.reason, alarm.detail) for alarm in desk.alarms.active()] == [
        (AlarmReason.STATE_DIR, "the state folder is full")
    ]

    desk.last_seen.failing = False
    desk.seen.record(after)
    assert desk.alarms.active() == ()


def test_a_command_records_nothing() -> None:
    """What this host has seen is the daemon's."""
    desk = Desk(SHORT)
    SeenRecord(None, desk.alarms).record(desk.loaded())

    assert desk.last_seen.names() == ()
    assert desk.alarms.active() == ()
