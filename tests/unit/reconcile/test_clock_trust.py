"""
Whether the store's clock may be trusted, and what a keyset lives through while it may not.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.files.clock_memory import ClockFiles
from rotator.lifecycle.clock_steps import ClockState, clock_of
from rotator.model.document import ClockReading
from rotator.model.keyset import Keyset
from rotator.model.policy import Readers
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.clock_trust import ClockTrust, ClockView
from rotator.reconcile.snapshot import Snapshot
from tests.support.fakes import START
from tests.support.process import MemoryClockMemory, Outside, Place, Process, RecordingLog, snapshot_of
from tests.support.world import World, at, policy, seconds

P = 8.0
POLICIES = {"RS256": policy(p=P, life=20), "HS256": policy("HS256", p=P, life=20)}
RULES = POLICIES["HS256"]


class Judge:
    """
    What one process thinks of the clock, reading after reading.
    """

    def __init__(self, memory: "Memory | None" = None) -> None:
        self.alarms, self.view = Alarms(RecordingLog()), None
        self.trust = ClockTrust(memory, self.alarms)
        self.view: ClockView | None = None

    def read(self, clock: ClockReading, snapshot: Snapshot | None = None) -> str:
        """Judge a reading; return what is wrong, and check that the alarm says the same."""
        self.view = self.trust.judge(self.view, "web", RULES, clock, snapshot)
        active = [alarm.detail for alarm in self.alarms.active() if alarm.reason is AlarmReason.CLOCK]
        assert active == ([self.view.fault] if self.view.fault else [])
        return self.view.fault


class Memory:
    """
    A ClockMemory for one keyset.
    """

    def __init__(self, state: ClockState | None = None) -> None:
        self.state = state

    def recall(self, name: str, reading: ClockReading) -> ClockState | None:
        """Return what is kept."""
        assert (name, reading) != ("", None)
        return self.state

    def remember(self, name: str, state: ClockState) -> None:
        """Keep it."""
        assert name == "web"
        self.state = state


def reading(second: float, *, ahead: float = 0.0, offset: float = 0.0, tolerance: float = 0.0) -> ClockReading:
    """Return a reading at the monotonic second *second*; the local clock is *offset* ahead of the store's."""
    moment = at(second + ahead)
    return ClockReading(moment, moment, seconds(offset), seconds(tolerance), read_at=second)


def seen(clock: ClockReading, committed: float, *, loaded: bool = True) -> Snapshot:
    """Return a keyset as it came with *clock*, committed at the store's second *committed*."""
    world = World(RULES)
    world.run(20)
    return replace(snapshot_of(world.keyset, RULES), clock=clock, committed_at=at(committed), loaded=loaded)


@pytest.mark.parametrize(
    ("offset", "says"),
    [(-40.0, "the local clock is 40 s behind the store's"), (2.0, "the local clock is 2 s ahead of")],
)
def test_a_local_clock_that_differs_is_not_trusted(offset: float, says: str) -> None:
    """By more than clock_skew, which is 1 s here; the alarm says by how much, and clears with the clock."""
    judge = Judge()
    assert judge.read(reading(0, offset=offset)).startswith(says)
    assert not judge.read(reading(1, offset=1.0))


@pytest.mark.parametrize(("ahead", "says"), [(600.0, "it is 600 s ahead of where"), (-15.0, "it is 15 s behind where")])
def test_a_clock_that_stepped_is_not_trusted(ahead: float, says: str) -> None:
    """Though the local clock agrees with it; the alarm says how long this may last."""
    judge = Judge()
    assert not judge.read(reading(0))
    fault = judge.read(reading(1, ahead=ahead))
    assert says in fault
    assert "in 8 s" in fault
    assert "in 1 s" in judge.read(reading(8, ahead=ahead))
    assert not judge.read(reading(9, ahead=ahead))


def test_a_document_of_the_future_is_not_trusted_for_a_propagation_time() -> None:
    """The store's clock was set back since, or the nodes of the store have two. Each such document counts once."""
    judge, clock = Judge(), reading(100)
    assert "two clocks" in judge.read(clock, seen(clock, 102))
    for second in (101, 107):
        clock = reading(second)
        assert judge.read(clock, seen(clock, 9999))
    clock = reading(108)
    assert not judge.read(clock, seen(clock, 9999))
    clock = reading(109)
    assert not judge.read(clock, seen(clock, 20))
    clock = reading(110)
    assert judge.read(clock, seen(clock, 9999))


def test_a_document_that_is_hardly_of_the_future_is_trusted() -> None:
    """Within clock_skew, 1 s, and what the reply may explain."""
    clock = reading(100, tolerance=2.0)
    assert not Judge().read(clock, seen(clock, 103))
    assert Judge().read(clock, seen(clock, 104))


@pytest.mark.parametrize("committed", [90.0, 110.0])
def test_the_reply_to_a_save_shows_whether_the_store_has_two_clocks(committed: float) -> None:
    """What was just saved was committed just now. A load says nothing of it: the document may be old."""
    judge, clock = Judge(), reading(100)
    assert judge.read(clock, seen(clock, committed, loaded=False))
    for second, fault in ((101, True), (107, True), (108, False)):
        clock = reading(second)
        assert bool(judge.read(clock, seen(clock, 50))) is fault
    clock = reading(109)
    assert not judge.read(clock, seen(clock, 109, loaded=False))


def test_what_an_earlier_process_knew_counts() -> None:
    """A step while nothing ran is one all the same; what is known now is kept for the next."""
    memory = Memory(ClockState(clock_of(reading(0))))
    assert "stepped" in Judge(memory).read(reading(50, ahead=86400))
    assert memory.state is not None
    assert memory.state.stepped is not None


def test_a_document_of_the_future_counted_for_an_earlier_process() -> None:
    """One that ended after the clock was set back, for good; a pass for each process would never get on otherwise."""
    clock = reading(100)
    assert not Judge(Memory(ClockState(clock_of(reading(90))))).read(clock, seen(clock, 9999))
    judge = Judge(Memory(ClockState(clock_of(reading(90)))))
    assert not judge.read(clock, seen(clock, 50))
    assert judge.read(clock, seen(clock, 9999))


# -- a keyset's life under clocks that step: store and daemon share one, so that they always agree --------------------


@pytest.mark.parametrize("step", [timedelta(days=365), timedelta(days=-365), timedelta(seconds=86400)])
def test_a_clock_that_stepped_changes_nothing_until_it_is_back(step: timedelta) -> None:
    """Store and daemon share it here, so that they agree. A rotation that falls due meanwhile is on time afterwards."""
    place = Place(POLICIES["HS256"])
    place.live(80)
    before = place.keyset
    place.clock.step(step)
    place.live(P / 2)
    assert place.keyset == before
    assert place.reasons() == {AlarmReason.CLOCK}
    place.clock.step(-step)
    place.live(P)
    assert place.reasons() == set()
    assert place.keyset == before
    place.live(20)
    assert place.current.kid != before.current.kid  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize("days", [1, 365, -365])
def test_a_new_time_that_is_right_takes_nothing_early(algorithm: str, days: int) -> None:
    """It counts as right after P. Work goes on; the old key stays as long as tokens need it, and no longer."""
    place = Place(POLICIES[algorithm])
    place.live(110)
    (old,) = place.keyset.old
    left = (old.retire_at - place.clock.now()).total_seconds()
    place.clock.step(timedelta(days=days))
    began = place.clock.monotonic()
    while place.keyset.find(old.kid) and place.clock.monotonic() < began + 200:
        place.live(1)
        assert place.keyset.current
    if days > 0:
        assert left <= place.clock.monotonic() - began <= left + 3
        place.live(150)
        assert place.current.activated_at > old.retire_at + timedelta(days=days / 2)
    else:
        assert left <= place.clock.monotonic() - began <= left + 5
        place.live(100)
        assert place.current.activated_at < old.activated_at
    assert place.reasons() == set()


def test_a_wrong_time_that_was_believed_is_overtaken_when_it_ends() -> None:
    """A clock a year ahead for longer than P: keys made and activated then do not stand still for a year."""
    place = Place(POLICIES["RS256"])
    place.live(90)
    place.clock.step(timedelta(days=365))
    place.live(60)
    assert place.current.activated_at.year == START.year + 1
    place.clock.step(timedelta(days=-365))
    place.live(60)
    assert place.current.activated_at.year == place.next_key.created_at.year == START.year
    first = place.current.kid
    place.live(120)
    assert place.current.kid != first
    assert place.reasons() == set()


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize("remembers", [True, False])
def test_a_clock_that_was_set_right_between_two_runs_keeps_no_old_key(
    algorithm: str, tmp_path: Path, *, remembers: bool
) -> None:
    """It was a year ahead and believed, so that keys bear its dates. The host remembers; else a retention is counted."""
    outside = Outside()
    outside.clock.step(timedelta(days=365))
    folders = [tmp_path / "1", tmp_path / "1" if remembers else tmp_path / "2"]
    rules = replace(POLICIES[algorithm], readers=Readers.FLAT)

    def run(folder: Path, for_: int) -> Process:
        process = Process(outside, rules, clock_memory=ClockFiles(folder, boot_id="boot"))
        for _ in range(for_):
            process.reconciler.reconcile(process.tracker, outside.announced())
            outside.clock.advance(1.0)
        return process

    def keyset(process: Process) -> Keyset:
        assert process.tracker.status is not None
        return process.tracker.status.keyset

    before = keyset(run(folders[0], 110))
    (old,) = before.old
    left = (old.retire_at - outside.clock.now()).total_seconds()
    outside.clock.step(timedelta(days=-365))
    patience = left if remembers else P + rules.timing.retention.total_seconds()
    assert keyset(run(folders[1], int(left))).knows(old.kid)
    process = run(folders[1], int(patience - left) + 5)
    assert not keyset(process).knows(old.kid)
    after = keyset(run(folders[1], 20)).current
    assert after
    assert after.activated_at.year == START.year
    assert not process.alarms.active()


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_of_two_daemons_one_may_retire_what_the_other_saw_dated_by_a_wrong_clock(
    algorithm: str, tmp_path: Path
) -> None:
    """The other does not take it for a key that another hand took out early."""
    outside = Outside()
    both = [
        Process(outside, POLICIES[algorithm], tmp_path / name, ClockFiles(tmp_path / name, boot_id="boot"))
        for name in "ab"
    ]
    for second in range(200):
        if second == 105:
            outside.clock.step(timedelta(days=-365))
        for process in both:
            process.reconciler.reconcile(process.tracker, outside.announced())
        outside.clock.advance(1.0)
    for process in both:
        assert process.tracker.status is not None
        assert not process.tracker.status.keyset.old
        assert not process.alarms.active()


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_pass_for_each_process_gets_on_after_a_step(step: float) -> None:
    """As `rotator tick` does: what the pass before knew of the clock is all that there is."""
    outside, memory, trusted = Outside(), MemoryClockMemory(), []
    for second in range(150):
        if second == 20:
            outside.clock.step(seconds(step))
        process = Process(outside, RULES, clock_memory=memory)
        process.reconciler.reconcile(process.tracker, outside.announced())
        trusted.append(not process.alarms.active())
        outside.clock.advance(1.0)
    assert trusted == [True] * 20 + [False] * 8 + [True] * 122
    status = process.tracker.status
    assert status is not None
    assert status.keyset.current is not None
    assert status.keyset.current.activated_at > START + seconds(step + 20)
