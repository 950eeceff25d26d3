"""
Keysets that the configuration forgot: found in the store, under the policy of their own documents, whatever the listing meets.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.model.algorithms import Algorithm
from rotator.model.document import Fields, Tree
from rotator.model.policy import Policy
from rotator.model.reasons import AlarmReason
from rotator.reconcile.forgotten import Forgotten, remembered
from rotator.reconcile.seals import Seals
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.work_queue import WorkQueue
from tests.support.fakes import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.process import Outside, Process, Workers
from tests.support.world import policy

WEB = policy("HS256", period=1000, p=80, life=100)
PERIOD = 80.0


class Host:
    """
    A host that is configured for `web` and remembers nothing, on a store that another one has used.
    """

    def __init__(self, outside: Outside, state_dir: Path) -> None:
        self.outside, self.process = outside, Process(outside, WEB, state_dir)
        process = self.process
        self.queue = WorkQueue(
            [process.tracker],
            process.reconciler,
            process.last_known,
            outside.notifier,
            process.alarms,
            process.log,
            outside.clock,
        )
        self.sharing: list[str] = []
        self.forgotten = Forgotten(
            outside.store,
            Seals(outside.store),
            self.queue,
            process.cache,
            self.sharing,
            process.alarms,
            process.log,
            outside.clock,
            PERIOD,
        )
        self.queue.discover_with(self.forgotten.find, first=True)

    def names(self) -> list[str]:
        """Return what the queue looks after."""
        return [tracker.name for tracker in self.queue.trackers]

    def alarms(self) -> set[tuple[str, AlarmReason]]:
        """Return the active alarms."""
        return {(alarm.keyset, alarm.reason) for alarm in self.process.alarms.active()}


@pytest.fixture(name="outside")
def _outside() -> Outside:
    """The world outside, with an empty store."""
    return Outside()


@pytest.fixture(name="host")
def _host(outside: Outside, tmp_path: Path) -> Host:
    """A host with a new state_dir."""
    return Host(outside, tmp_path / "new")


def left_behind(outside: Outside, name: str, rules: Policy) -> None:
    """Let another host have rotated a keyset for a while."""
    process = Process(outside, rules)
    tracker = Tracker(name, rules)
    for _ in range(20):
        process.reconciler.reconcile(tracker, None)
        outside.clock.advance(rules.timing.propagation_time.total_seconds() / 8)


@pytest.mark.parametrize("algorithm", ["HS512", "RS256"])
def test_a_keyset_in_the_store_is_looked_after_by_its_own_documents(
    outside: Outside, host: Host, algorithm: str
) -> None:
    """Its algorithm and durations are those it was saved with, and it is not rotated; it is alarmed, and served."""
    rules = policy(algorithm, period=500, p=40, life=100)
    left_behind(outside, "legacy", rules)
    host.queue.run_once(Workers(hands_on=True))
    web, legacy = host.queue.trackers
    assert (web.name, legacy.name) == ("web", "legacy")
    assert legacy.policy == Policy(
        algorithm=Algorithm(algorithm), rotation_period=timedelta(seconds=80), timing=rules.timing, rotates=False
    )
    assert ("legacy", AlarmReason.NOT_CONFIGURED) in host.alarms()
    assert legacy.status is not None
    assert outside.publisher.visible("legacy") is not None


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "edited"])
def test_the_combined_set_waits_for_a_well_known_one(outside: Outside, host: Host, sealed: bool) -> None:
    """A set without its keys would make good tokens fail; new keysets count it. Only rotator's own word makes it one."""
    left_behind(outside, "legacy", policy("RS256", period=500, p=40, life=100))
    public: Fields = {"well_known": "true"}
    outside.store.save(Tree.JWKS, "legacy", Seals(outside.store).read("legacy").seal(public) if sealed else public, 0)
    host.forgotten.find()
    expected = ("legacy",) if sealed else ()
    assert (host.process.cache.missing(), tuple(host.sharing)) == (expected, expected)
    assert host.queue.trackers[1].policy.well_known is sealed


def test_the_first_pass_waits_for_the_listing(outside: Outside, host: Host) -> None:
    """And those after it do not."""
    left_behind(outside, "legacy", WEB)
    workers = Workers()
    host.queue.dispatch_due(workers)
    workers.waiting.pop(0)()
    assert host.names() == ["web", "legacy"]
    assert host.queue.trackers[0].status is not None


def test_nothing_is_listed_before_it_is_due(outside: Outside, host: Host) -> None:
    """Once in a period; what comes meanwhile is found then, and what is tracked is not added again."""
    host.forgotten.find()
    left_behind(outside, "late", policy("HS256", period=10, p=1, life=1))
    host.forgotten.find()
    assert host.names() == ["web"]
    outside.clock.advance(PERIOD)
    host.forgotten.find()
    host.forgotten.find()
    outside.clock.advance(PERIOD)
    host.forgotten.find()
    assert host.names() == ["web", "late"]
    assert host.process.log.names().count("keyset_found") == 1


def test_a_listing_that_is_denied_is_alarmed_and_stops_nothing(outside: Outside, host: Host) -> None:
    """Until it is granted."""
    host.queue.run_once(Workers(hands_on=True))
    outside.clock.advance(PERIOD)
    outside.store.denied = True
    host.forgotten.find()
    assert host.alarms() == {("", AlarmReason.NOT_LISTED)}
    outside.store.denied = False
    outside.clock.advance(PERIOD)
    host.queue.run_once(Workers(hands_on=True))
    assert host.alarms() == set()


@pytest.mark.parametrize("trouble", ["away", "denied"])
def test_a_listing_that_fails_like_all_else_is_tried_again_sooner(outside: Outside, host: Host, trouble: str) -> None:
    """The keysets' own alarms tell of the store, and of a login that is refused; the log tells of the listing."""
    setattr(outside.store, trouble, True)
    host.forgotten.find()
    assert host.alarms() == set()
    assert host.process.log.names() == ["keysets_not_listed"]
    setattr(outside.store, trouble, False)
    left_behind(outside, "legacy", policy("HS256", period=10, p=4, life=1))
    host.forgotten.find()
    assert host.names() == ["web", "legacy"]


@pytest.mark.parametrize("name", ["Legacy", "a b", "folder/", ".hidden", ""])
def test_what_has_no_name_of_a_keyset_is_not_ours(outside: Outside, host: Host, name: str) -> None:
    """It is left alone."""
    outside.store.save(Tree.KEYS, name, {"their": "own"}, 0)
    host.forgotten.find()
    assert host.names() == ["web"]


def test_a_damaged_one_is_frozen_and_a_deleted_one_left_alone(outside: Outside, host: Host) -> None:
    """The former needs a person, the latter had one."""
    outside.store.save(Tree.KEYS, "odd", {"their": "own"}, 0)
    left_behind(outside, "gone", policy("HS256", period=10, p=1, life=1))
    outside.store.delete(Tree.KEYS, "gone")
    host.queue.run_once(Workers(hands_on=True))
    assert host.names() == ["web", "odd"]
    assert ("odd", AlarmReason.FROZEN) in host.alarms()


class Guarded(MemoryStore):
    """
    A store that lists more than may be read.
    """

    def names(self) -> tuple[str, ...]:
        """Return one that `load` refuses."""
        return ("guarded",)


def test_one_that_may_not_be_read_raises_its_own_alarm(tmp_path: Path) -> None:
    """It is tracked like a damaged one."""
    outside = Outside()
    outside.store = Guarded(outside.clock)
    host = Host(outside, tmp_path)
    outside.store.denied = True
    host.queue.run_once(Workers(hands_on=True))
    assert host.names() == ["web", "guarded"]
    assert ("guarded", AlarmReason.DENIED) in host.alarms()


@pytest.mark.parametrize(("algorithm", "told"), [("RS256", "RS256"), ("HS512", "HS256")])
def test_a_remembered_keyset_has_the_algorithm_of_its_published_keys(
    outside: Outside, tmp_path: Path, algorithm: str, told: str
) -> None:
    """That of shared secrets is not published; the document tells it at the first pass."""
    rules = policy(algorithm, period=500, p=40, life=100)
    process = Process(outside, rules, tmp_path)
    process.reconciler.reconcile(process.tracker, None)
    ((name, found),) = remembered({}, LastSeenFiles(tmp_path), process.log).items()
    assert (name, found.algorithm, found.timing, found.rotates) == ("web", Algorithm(told), rules.timing, False)
    assert isinstance(outside.clock, ManualClock)
