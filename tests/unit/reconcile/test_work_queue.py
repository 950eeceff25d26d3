"""
When keysets are reconciled: due times, hints, outages, and troubles that stay with the keyset they befell.
"""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.documents.header import encode_revocation
from rotator.documents.public import encode_public
from rotator.errors import RotatorError
from rotator.model.document import Tree
from rotator.model.event import Hint
from rotator.model.keyset import Revocation
from rotator.model.reasons import AlarmReason
from rotator.reconcile.hang_watch import HANG_AFTER
from rotator.reconcile.loading import Loader
from rotator.reconcile.tracker import Tracker
from rotator.reconcile.troubles import FROZEN_INTERVAL
from rotator.reconcile.work_queue import MIN_HINT_INTERVAL, WorkQueue
from tests.support.documents import sealed
from tests.support.memory_store import MemoryStore
from tests.support.process import Workers
from tests.support.scripted import until
from tests.support.work_queue import SECRETS, Daemon, WatchedStore
from tests.support.world import at, policy, seconds


@pytest.fixture(autouse=True)
def jitter() -> Iterator[None]:
    """Draw the same jitter in every run."""
    state = random.getstate()
    random.seed(7)
    yield
    random.setstate(state)


# -- due times ---------------------------------------------------------------------------------------------------------


def test_every_keyset_is_due_at_once_and_not_again_before_its_poll() -> None:
    """In the order of the configuration."""
    daemon = Daemon("web", "internal")

    assert daemon.dispatch() == ["web", "internal"]
    assert daemon.dispatch() == []
    daemon.clock.advance(7.9)
    assert daemon.dispatch() == []


def test_polls_are_jittered_by_a_fifth_of_an_eighth_of_the_propagation_time() -> None:
    """P is 80 s: 8 to 12 s lie between two polls, and they differ."""
    daemon = Daemon().settled()
    gaps = [daemon.seconds_until_due(13) for _ in range(6)]

    assert all(8 <= gap <= 12.25 for gap in gaps)
    assert len(set(gaps)) > 2


def test_a_poll_interval_of_the_configuration_goes_before_the_propagation_time() -> None:
    """Jittered by as much."""
    daemon = Daemon(poll=seconds(4)).settled()

    assert all(3.2 <= daemon.seconds_until_due(5) <= 5 for _ in range(5))


def test_a_deadline_before_the_next_poll_is_met_on_its_second() -> None:
    """With polls a thousand seconds apart: next is usable at second 80."""
    daemon = Daemon(poll=seconds(1000)).settled()

    daemon.clock.advance(79.75)
    assert daemon.dispatch() == []
    daemon.clock.advance(0.25)
    assert daemon.dispatch() == ["web"]


def test_a_slow_pass_puts_no_deadline_off() -> None:
    """A pass that takes half a minute began at the moment it counts from."""
    daemon = Daemon(poll=seconds(1000), slow=30.0).settled()
    daemon.trackers["web"].converged = None
    begun = daemon.clock.monotonic() + 2
    daemon.clock.advance(2.0)
    daemon.queue.hint(Hint("web", "another", 1))
    assert daemon.dispatch() == ["web"]
    assert daemon.clock.monotonic() == begun + 30

    daemon.seconds_until_due(80)
    status = daemon.trackers["web"].status
    assert status is not None
    assert status.keyset.next is not None
    assert daemon.clock.now() == status.keyset.next.usable_at


def test_what_is_pending_is_tried_again_within_half_a_minute() -> None:
    """An announcement that was not made, however rare the polls are."""
    daemon = Daemon(poll=seconds(1000))
    daemon.notifier.down = True
    daemon.settled()
    status = daemon.trackers["web"].status
    assert status is not None
    assert status.notify_pending

    daemon.notifier.down = False
    assert daemon.seconds_until_due(31) == 30
    assert daemon.notifier.positions["web"].endswith(f":{status.keyset.sequence}")


def test_a_keyset_that_waits_for_nothing_is_polled() -> None:
    """One that may not be created under this clock, and one that is never rotated."""
    daemon = Daemon()
    daemon.store.offset = seconds(3600)
    daemon.settled()
    assert daemon.trackers["web"].status is None
    assert 8 <= daemon.seconds_until_due(13) <= 12.25

    daemon = Daemon(rules=replace(SECRETS, rotates=False)).settled()
    for _ in range(12):
        assert daemon.seconds_until_due(13) <= 12.25


def test_nothing_is_due_while_it_is_reconciled() -> None:
    """A busy keyset is handed out once."""
    daemon = Daemon()
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.dispatch_due(daemon.workers)

    assert daemon.queue.busy
    assert len(daemon.workers.waiting) == 1
    daemon.workers.work()
    assert not daemon.queue.busy


def test_dispatch_asks_the_store_nothing_itself() -> None:
    """The waking job must not wait for I/O; workers do."""
    daemon = Daemon("web", "internal")
    daemon.queue.dispatch_due(daemon.workers)

    assert daemon.store.asked == []
    assert [tracker.name for tracker in daemon.queue.trackers] == ["web", "internal"]


# -- hints -------------------------------------------------------------------------------------------------------------


def test_a_hint_makes_a_keyset_due_a_second_after_it_was_seen() -> None:
    """However many hints come, it is once a second at most."""
    daemon = Daemon("web", "internal").settled()
    for _ in range(5):
        daemon.queue.hint(Hint("web", "another", 1))

    assert daemon.dispatch() == []
    daemon.clock.advance(MIN_HINT_INTERVAL)
    assert daemon.dispatch() == ["web"]
    assert daemon.dispatch() == []


def test_a_hint_of_what_was_seen_already_changes_nothing() -> None:
    """The same epoch, and a sequence that is not higher; a keyset that is not ours neither."""
    daemon = Daemon().settled()
    status = daemon.trackers["web"].status
    assert status is not None
    daemon.clock.advance(5.0)
    daemon.queue.hint(Hint("web", status.keyset.epoch, status.keyset.sequence))
    daemon.queue.hint(Hint("stranger", "epoch", 9))
    assert daemon.dispatch() == []

    daemon.queue.hint(Hint("web", status.keyset.epoch, status.keyset.sequence + 1))
    assert daemon.dispatch() == ["web"]


def test_a_hint_never_puts_a_keyset_off() -> None:
    """One that is due earlier stays so."""
    daemon = Daemon()
    daemon.queue.hint(Hint("web", "epoch", 9))

    assert daemon.dispatch() == ["web"]


def test_a_hint_for_a_busy_keyset_has_it_reconciled_once_more() -> None:
    """What it saw may be older than the hint."""
    daemon = Daemon()
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.hint(Hint("web", "another", 9))
    daemon.queue.hint(Hint("web", "another", 10))
    daemon.workers.work()

    assert daemon.dispatch() == ["web"]
    assert daemon.dispatch() == []


def test_a_gap_in_the_hints_makes_all_due_the_busy_ones_too() -> None:
    """What was missed is not known."""
    daemon = Daemon("web", "internal").settled()
    daemon.clock.advance(2.0)
    daemon.queue.make_all_due()
    assert daemon.dispatch() == ["web", "internal"]

    daemon.queue.make_all_due()
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.make_all_due()
    daemon.workers.work()
    assert daemon.dispatch() == ["web", "internal"]


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_an_answer_makes_its_keyset_due_at_once() -> None:
    """Also one that comes while the keyset is reconciled; other keysets, and unknown ones, are not concerned."""
    daemon = Daemon("web", "internal").settled()
    daemon.queue.make_due("web")
    daemon.queue.make_due("unknown")
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.make_due("web")
    daemon.workers.work()

    assert daemon.dispatch() == ["web"]
    assert daemon.dispatch() == []


def test_a_pass_that_hangs_is_alarmed_and_the_others_go_on() -> None:
    """With the function that it is in; the alarm ends with the pass."""
    daemon = Daemon("web", "internal").settled()
    gate, begun = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        begun.set()
        assert gate.wait(20)

    daemon.store.hook = hang
    daemon.queue.make_due("web")
    with ThreadPoolExecutor(2) as workers:
        daemon.queue.dispatch_due(workers)
        assert begun.wait(5)
        daemon.store.hook = lambda _: None
        daemon.clock.advance(HANG_AFTER + 1)
        daemon.store.asked.clear()
        assert daemon.dispatch() == ["internal"]
        (alarm,) = daemon.alarms.active()
        assert (alarm.keyset, alarm.reason) == ("web", AlarmReason.HANGS)
        assert "takes 101 s by now, in rotator.reconcile.observe.Observer.observe" in alarm.detail
        gate.set()
        until(lambda: not daemon.alarms.active())
    assert daemon.reasons("web") == set()


def test_a_clock_step_makes_all_due_and_untrusted() -> None:
    """Until the clock is back, which makes all due again."""
    daemon = Daemon("web", "internal").settled()
    daemon.clock.step(seconds(-3))

    assert daemon.dispatch() == ["web", "internal"]
    assert daemon.reasons("web") == daemon.reasons("internal") == {AlarmReason.CLOCK}
    assert ("warning", "clock_stepped", {"seconds": -3}) in daemon.log.events
    assert daemon.dispatch() == []
    daemon.clock.step(seconds(3))
    assert daemon.dispatch() == ["web", "internal"]
    assert daemon.alarms.active() == ()
    assert daemon.dispatch() == []


def test_a_machine_that_was_suspended_looks_at_everything() -> None:
    """Its clock did not step, and all due times are past."""
    daemon = Daemon("web", "internal").settled()
    daemon.clock.suspend(8 * 3600.0)

    assert daemon.dispatch() == ["web", "internal"]
    assert daemon.alarms.active() == ()


def test_a_clock_that_is_slewed_is_no_step() -> None:
    """NTP moves it by less than two seconds at a time."""
    daemon = Daemon().settled()
    for _ in range(3):
        daemon.clock.step(seconds(1.9))
        assert daemon.dispatch() == []

    assert "clock_stepped" not in daemon.log.names()


# -- outages -----------------------------------------------------------------------------------------------------------


def test_while_the_store_is_away_one_keyset_probes_at_a_time() -> None:
    """All fail once; then one after another, each keyset as often as the others; then all at once when it is back."""
    daemon = Daemon("a", "b", "c").settled()
    daemon.clock.advance(20.0)
    daemon.store.away = True
    assert daemon.dispatch() == ["a", "b", "c"]

    probes: list[str] = []
    while len(probes) < 6:
        daemon.clock.advance(1.0)
        asked = daemon.dispatch()
        assert len(asked) <= 1
        probes += asked
    assert sorted(probes[:3]) == sorted(probes[3:]) == ["a", "b", "c"]

    daemon.store.away = False
    daemon.clock.advance(60.0)
    first = daemon.dispatch()
    assert len(first) == 1
    assert sorted(first + daemon.dispatch()) == ["a", "b", "c"]
    assert daemon.alarms.active() == ()


def test_nothing_else_is_handed_out_while_a_probe_is_under_way() -> None:
    """A store that hangs keeps one worker only."""
    daemon = Daemon("a", "b").settled()
    daemon.clock.advance(20.0)
    daemon.store.away = True
    daemon.dispatch()
    daemon.clock.advance(60.0)
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.dispatch_due(daemon.workers)
    daemon.queue.make_all_due()
    daemon.queue.dispatch_due(daemon.workers)

    assert len(daemon.workers.waiting) == 1
    assert daemon.workers.work() == 1


def test_probes_back_off_with_full_jitter() -> None:
    """At least a second, at most 1, 2, 4, 8, 16 s and then a quarter of P; and the longest draws come near that."""
    limits = [1, 2, 4, 8, 16, 20, 20]
    longest = [0.0] * len(limits)
    for seed in range(12):
        random.seed(seed)
        daemon = Daemon().settled()
        daemon.store.away = True
        daemon.seconds_until_due(13)
        for nth, limit in enumerate(limits):
            gap = daemon.seconds_until_due(limit + 1)
            assert 1 <= gap <= limit + 0.25
            longest[nth] = max(longest[nth], gap)

    assert all(found >= limit / 2 for found, limit in zip(longest, limits, strict=True))


def test_a_store_that_denies_is_probed_as_gently_and_named_so() -> None:
    """Its alarm takes the place of the other one."""
    daemon = Daemon().settled()
    daemon.store.away = True
    daemon.clock.advance(20.0)
    daemon.dispatch()
    assert daemon.reasons("web") == {AlarmReason.UNAVAILABLE}

    daemon.store.away, daemon.store.denied = False, True
    assert daemon.dispatch() == []
    daemon.seconds_until_due(31)
    assert daemon.reasons("web") == {AlarmReason.DENIED}


# -- troubles of one keyset --------------------------------------------------------------------------------------------


def deny_current(store: MemoryStore, name: str) -> None:
    """Put the kid that signs on the deny-list, under a good seal, so that no change of the keyset is allowed any more."""
    document = store.history(Tree.KEYS, name)[-1]
    assert document is not None
    entry = encode_revocation(Revocation(document["kid"], at(0), "", at(9999)))
    forged = {**document, "revoked": [entry | {"reason": ""}], "propagation_time": "1"}
    store.put(Tree.KEYS, name, sealed(store, name, forged))


TROUBLES: dict[AlarmReason, Callable[[WatchedStore], None]] = {
    AlarmReason.INTERNAL: lambda store: store.broken.update(b=ZeroDivisionError("surprise")),
    AlarmReason.FROZEN: lambda store: store.delete(Tree.KEYS, "b"),
    AlarmReason.INVARIANT: lambda store: deny_current(store, "b"),
}


@pytest.mark.parametrize("reason", TROUBLES)
def test_one_keysets_trouble_stops_no_other(reason: AlarmReason) -> None:
    """It raises its alarm, goes on being polled, and clears the alarm when it is over."""
    daemon = Daemon("a", "b", "c").settled()
    backup = daemon.store.snapshot()
    TROUBLES[reason](daemon.store)
    daemon.clock.advance(13.0)

    assert daemon.dispatch() == ["a", "b", "c"]
    assert daemon.reasons("b") == {reason}
    assert daemon.reasons("a") == daemon.reasons("c") == set()
    assert not daemon.queue.busy
    daemon.store.broken.clear()
    daemon.store.restore(backup)
    daemon.clock.advance(13.0)
    assert daemon.dispatch() == ["a", "b", "c"]
    assert daemon.alarms.active() == ()


@pytest.mark.parametrize("reason", [AlarmReason.FROZEN, AlarmReason.EDITED])
def test_a_frozen_keyset_is_looked_at_every_few_seconds(reason: AlarmReason) -> None:
    """So that a repair counts at once, however long the poll; one that no more is, is polled again."""
    daemon = Daemon(poll=seconds(300)).settled()
    backup = daemon.store.snapshot()
    if reason is AlarmReason.FROZEN:
        daemon.store.delete(Tree.KEYS, "web")
    else:
        document = daemon.store.history(Tree.KEYS, "web")[-1]
        assert document is not None
        daemon.store.put(Tree.KEYS, "web", {**document, "clock_skew": "0"})
    daemon.queue.make_all_due()
    daemon.dispatch()
    assert daemon.reasons("web") == {reason}
    assert 3 <= daemon.seconds_until_due(10) <= FROZEN_INTERVAL
    daemon.store.restore(backup)
    assert daemon.seconds_until_due(10) <= FROZEN_INTERVAL
    assert daemon.reasons("web") == set()
    assert daemon.seconds_until_due(400) > 50


def test_a_public_document_is_repaired_while_its_keyset_is_frozen(tmp_path: Path) -> None:
    """What another hand wrote into both must not stay where verifiers read."""
    daemon = Daemon(state_dir=tmp_path).settled()
    good = dict(encode_public(Loader(daemon.store).load("web", SECRETS).publication.document))
    daemon.store.put(Tree.JWKS, "web", {**good, "sequence": "999"})
    daemon.store.delete(Tree.KEYS, "web")
    daemon.queue.make_all_due()
    daemon.dispatch()

    assert daemon.store.history(Tree.JWKS, "web")[-1] == good
    assert daemon.reasons("web") == {AlarmReason.FROZEN, AlarmReason.PUBLIC_EDITED}


def test_an_unforeseen_error_is_logged_with_its_trace() -> None:
    """It is the program's fault, and the log is all there is of it."""
    daemon = Daemon()
    daemon.store.broken["web"] = RotatorError("surprise")
    daemon.dispatch()

    assert "look_failed" in daemon.log.names()
    assert daemon.reasons("web") == {AlarmReason.INTERNAL}


def test_a_keyset_that_cannot_be_served_as_last_known_stays_in_the_queue() -> None:
    """Its public document is of another kind than its policy: nothing is served, and every poll tries again."""
    rules = policy("RS256", period=1000, p=80, life=100)
    daemon = Daemon("web", rules=rules)
    daemon.store.put(
        Tree.JWKS,
        "web",
        {"schema": "1", "keyset": "web", "epoch": "e", "sequence": "1", "jwks": '{"keys":[]}', "revoked": []},
    )
    daemon.dispatch()

    assert daemon.reasons("web") == {AlarmReason.FROZEN}
    assert not daemon.queue.busy
    daemon.clock.advance(13.0)
    assert daemon.dispatch() == ["web"]


def test_a_feed_that_cannot_be_read_is_no_trouble() -> None:
    """The pass goes on without knowing what was announced."""
    daemon = Daemon()
    daemon.notifier.down = True

    assert daemon.dispatch() == ["web"]
    assert daemon.alarms.active() == ()
    assert "announced_unknown" in daemon.log.names()


def test_a_daemon_that_stops_hands_out_no_more() -> None:
    """The keyset at hand is finished, and none of the others counts as busy."""
    daemon = Daemon("a", "b", "c")
    daemon.queue.dispatch_due(daemon.workers)
    daemon.workers.stopped = True
    daemon.workers.work()

    assert list(dict.fromkeys(daemon.store.asked)) == ["a"]
    assert not daemon.queue.busy


# -- one pass ----------------------------------------------------------------------------------------------------------


def test_one_pass_reconciles_every_keyset_due_or_not() -> None:
    """Troubles of one leave the others done."""
    daemon = Daemon("a", "b").settled()
    daemon.store.broken["a"] = ZeroDivisionError("surprise")
    before = len(daemon.store.asked)
    daemon.queue.run_once(Workers(hands_on=True))

    assert list(dict.fromkeys(daemon.store.asked[before:])) == ["a", "b"]
    assert daemon.reasons("a") == {AlarmReason.INTERNAL}
    assert not daemon.queue.busy


def test_without_a_notifier_nothing_is_asked_of_it() -> None:
    """Notification is off."""
    daemon = Daemon()
    process = daemon.process
    queue = WorkQueue(
        (), process.reconciler, process.last_known, None, daemon.alarms, daemon.log, daemon.clock, seconds(1)
    )
    queue.run_once(daemon.workers)
    queue.dispatch_due(daemon.workers)

    assert daemon.workers.waiting == []
    assert queue.trackers == ()


def test_under_a_rate_limit_nothing_competes_with_a_pass() -> None:
    """What is due waits until that is over, and is then handed out in one go, to come one after another."""
    daemon = Daemon("web", "internal")
    daemon.queue.dispatch_due(daemon.workers)
    daemon.limited = True
    assert not daemon.queue._pop_due()
    daemon.workers.work()
    assert daemon.queue.trackers[0].status is not None
    assert daemon.queue.trackers[1].status is not None
    daemon.clock.advance(13)
    assert daemon.dispatch() == ["web", "internal"]


def test_a_keyset_that_is_added_is_due_at_once() -> None:
    """And looked after like the others."""
    daemon = Daemon().settled()
    daemon.queue.add(Tracker("late", SECRETS))
    assert daemon.dispatch() == ["late"]
    assert [tracker.name for tracker in daemon.queue.trackers] == ["web", "late"]


# -- removed for good --------------------------------------------------------------------------------------------------


def buried(daemon: Daemon, name: str = "web") -> None:
    """Remove a keyset, as `rotator remove` does."""
    stored = daemon.store.load(Tree.KEYS, name)
    daemon.process.operator.effects.note_removal(name, stored.clock, "op", "gone", done=True)
    daemon.store.remove(Tree.KEYS, name)


def test_a_removed_keyset_leaves_the_queue() -> None:
    """With its alarms; others stay."""
    daemon = Daemon("api", "web").settled()
    daemon.trackers["web"].policy = replace(SECRETS, rotates=False)
    buried(daemon)
    daemon.alarms.raise_("web", AlarmReason.NOT_CONFIGURED)
    daemon.clock.advance(20)
    daemon.dispatch()

    assert [tracker.name for tracker in daemon.queue.trackers] == ["api"]
    assert daemon.alarms.active() == ()
    assert "keyset_removed" in daemon.log.names()
    daemon.queue.hint(Hint("web", "epoch", 99))
    assert daemon.dispatch() == []


def test_a_removed_keyset_that_is_configured_is_created() -> None:
    """A keyset of the same name is another one."""
    daemon = Daemon().settled()
    before = daemon.trackers["web"].status
    buried(daemon)
    daemon.clock.advance(20)
    daemon.dispatch()
    after = daemon.trackers["web"].status
    assert before is not None
    assert after is not None
    assert daemon.alarms.active() == ()
    assert after.keyset.epoch != before.keyset.epoch
    assert {key.kid for key in after.keyset.keys()}.isdisjoint(key.kid for key in before.keyset.keys())
