"""
When a purge is tried, and that a key counts as retired once its destruction is proved: not before, and however late.
"""

from dataclasses import replace

import pytest

from rotator.model.document import Tree
from rotator.model.event import EventType
from rotator.model.reasons import AlarmReason
from tests.support.past_store import PastStore
from tests.support.process import Place, Process
from tests.support.world import policy

SECRETS = policy("HS256", p=8, period=80)


def lagging_at_retirement(kind: str = "HS256") -> Place:
    """Return a place where the store's list of versions falls behind just before the first key retires."""
    place = Place(policy(kind, p=8, period=80))
    place.store = store = PastStore(place.clock, place.fuses)
    place.restart()
    place.live(10)
    while not place.keyset.old:
        place.live(1)
    store.lists_late, store.lags = True, 1
    while place.keyset.old:
        place.live(1)
    return place


def tried(place: Place) -> int:
    """Return how often a purge has failed so far."""
    return place.process.log.names().count("purge_pending")


def retired(place: Place) -> list[str]:
    """Return the kids that were announced as retired."""
    return [event.kid for event in place.notifier.events if event.type is EventType.RETIRED]


def catch_up(place: Place) -> None:
    """Let the store show the present again."""
    assert isinstance(place.store, PastStore)
    place.store.lags = 0


@pytest.mark.parametrize("kind", ["HS256", "RS256"])
def test_a_key_is_retired_when_a_later_purge_proves_it(kind: str) -> None:
    """Not while the store shows the past, whose list of versions lacks the save that dropped it."""
    place = lagging_at_retirement(kind)
    place.live(3)
    assert retired(place) == []
    assert place.process.log.names().count("key_dropped") == 1
    assert place.tracker.status is not None
    assert place.tracker.status.purge_pending

    catch_up(place)
    place.live(2)
    assert len(retired(place)) == 1
    assert place.process.log.names().count("key_retired") == 1
    assert place.keyset.find(retired(place)[0]) is None
    assert not place.tracker.status.purge_pending
    place.live(30)
    assert len(retired(place)) == 1


def test_a_restarted_process_finds_out_what_its_predecessor_dropped() -> None:
    """In the versions that are still to be destroyed."""
    place = lagging_at_retirement()
    dropped = place.process.tracker.unproved
    place.restart()
    place.live(1)
    assert retired(place) == []

    catch_up(place)
    place.live(1)
    assert tuple(retired(place)) == dropped
    place.restart()
    place.live(5)
    assert len(retired(place)) == 1


def test_another_daemon_says_what_one_that_ended_has_dropped() -> None:
    """It has run for long, and proved other purges before."""
    place = lagging_at_retirement()
    other = Process(place, place.policy)
    other.tracker.purged_at = place.clock.monotonic()
    catch_up(place)
    other.reconciler.reconcile(other.tracker, place.announced())

    assert tuple(retired(place)) == place.tracker.unproved


def test_a_failed_purge_is_tried_once_in_a_pass() -> None:
    """The pass that dropped the key has tried already; the next one tries again."""
    place = lagging_at_retirement()
    assert tried(place) == 1

    place.reconcile()
    assert tried(place) == 2


def test_under_a_legal_hold_nothing_counts_as_retired() -> None:
    """Its material is kept, and so is what is to be said of it."""
    place = lagging_at_retirement()
    place.tracker.policy = replace(place.policy, retain=True)
    place.live(3)
    assert retired(place) == []

    place.tracker.policy = place.policy
    place.live(3)
    assert retired(place) == []
    catch_up(place)
    place.live(20)
    assert len(retired(place)) == 1


def test_a_purge_that_stays_pending_is_an_alarm_until_it_is_proved() -> None:
    """After P, which is 8 s."""
    place = lagging_at_retirement()
    place.live(6)
    assert AlarmReason.PURGE_PENDING not in place.reasons()
    place.live(4)
    assert AlarmReason.PURGE_PENDING in place.reasons()

    catch_up(place)
    place.live(1)
    assert AlarmReason.PURGE_PENDING not in place.reasons()


def test_versions_that_a_restored_backup_brought_back_are_destroyed_again() -> None:
    """Within P, though the document is the same."""
    place = Place(SECRETS)
    place.live(200)
    alive = place.store.versions(Tree.KEYS, "web")
    documents = place.store._documents[Tree.KEYS, "web"]
    assert documents[0].text is None
    documents[0].text = documents[-1].text

    place.live(9)
    assert set(place.store.versions(Tree.KEYS, "web")) >= {max(alive)}
    assert documents[0].text is None


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_a_keyset_that_was_copied_elsewhere_rotates_and_retires_there(algorithm: str) -> None:
    """The versions there begin at 1, below `purge_below`; what was copied is destroyed once it dropped something."""
    place = Place(policy(algorithm, p=8, period=80))
    place.live(200)
    assert place.keyset.purge_below > 2
    moved = Place(place.policy)
    moved.clock.advance(200)
    for tree in Tree:
        latest = place.store.history(tree, "web")
        if latest and latest[-1]:
            moved.store.put(tree, "web", latest[-1])
    before, kids = moved.keyset, {key.kid for key in moved.keyset.keys()}

    moved.live(200)
    assert moved.keyset.sequence > before.sequence
    assert moved.current.kid not in kids
    assert AlarmReason.INVARIANT not in moved.reasons()
    assert EventType.RETIRED in moved.types()
    stored = [document for document in moved.store.history(Tree.KEYS, "web") if document]
    assert {key["kid"] for document in stored for key in document["keys"]} <= {key.kid for key in moved.keyset.keys()}
