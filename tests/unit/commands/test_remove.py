"""
Dropping a keyset for good: when that is safe, what goes, and what is left for daemons to learn from.
"""

from dataclasses import replace

import pytest

from rotator.commands.remove import RemovalPlan, note_removal, plan_removal, removal_refused, remove
from rotator.documents.standby import decode_standby, encode_standby
from rotator.errors import StoreConflictError
from rotator.model.document import Tree
from rotator.model.policy import Policy
from rotator.model.removal import Removal
from rotator.model.times import format_time
from tests.support.process import Place
from tests.support.world import seconds
from tests.unit.commands.test_restore import BOTH, PAIRS, SECRETS, settled


def plan(place: Place) -> RemovalPlan:
    """Plan a removal."""
    return plan_removal(place.process.operator, "web")


def drop(place: Place, *, trace: bool = True) -> Removal:
    """Remove the keyset, whatever lives."""
    return remove(place.process.operator, plan(place), None, "gone", trace=trace)


def removal_in(place: Place) -> Removal | None:
    """Return what the standby says."""
    return decode_standby(place.store.history(Tree.STANDBY, "web")[-1] or {}, "web").removal


@BOTH
def test_live_tokens_are_reckoned_from_the_first_call_on(rules: Policy) -> None:
    """Nothing signs from then on: propagation time, longest token and skew later the last token has expired."""
    place = settled(rules)
    began = place.clock.now()
    planned = plan(place)
    assert planned.safe_at == began + seconds(8 + 20 + 1)
    noted = note_removal(place.process.operator, planned, None, "gone")
    assert (noted.at, noted.reason, noted.done) == (began, "gone", False)
    assert f"until {format_time(planned.safe_at)}" in removal_refused(planned, planned.safe_at)

    place.clock.advance(28)
    again = plan(place)
    assert again.safe_at == planned.safe_at
    assert note_removal(place.process.operator, again, None, "later") == noted
    place.clock.advance(1)
    assert plan(place).safe_at is None


@BOTH
def test_every_version_of_every_document_goes(rules: Policy) -> None:
    """But for the gravestone, which holds no key and no seal key; the feed forgets the keyset."""
    place = settled(rules)
    place.store.put(Tree.JWKS, "web", {"keyset": "web"})
    hint = place.keyset
    removal = drop(place)

    assert place.store.load(Tree.KEYS, "web").version == place.store.load(Tree.JWKS, "web").version == 0
    stored = place.store.load(Tree.STANDBY, "web")
    assert list(place.store.versions(Tree.STANDBY, "web")) == [stored.version]
    standby = decode_standby(stored.fields or {}, "web")
    assert (standby.private, standby.sealing.key, standby.removal) == (None, None, removal)
    assert removal.done
    assert "web" not in place.notifier.positions
    event = place.notifier.events[-1]
    assert (event.epoch, event.sequence, event.reason) == (hint.epoch, hint.sequence + 1, "removed: gone")


@BOTH
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
def test_a_crash_leaves_what_the_same_command_goes_on_from(rules: Policy, nth: int) -> None:
    """Once the gravestone stands nobody is asked about live tokens again."""
    place = settled(rules)
    place.store.put(Tree.JWKS, "web", {"keyset": "web"})
    place.fuses.blow(nth, with_=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        drop(place)
    place.restart()
    assert (plan(place).safe_at is None) is (nth > 1)
    drop(place)
    assert plan(place).gone
    assert "web" not in place.notifier.positions


@BOTH
def test_a_rotation_voids_what_was_noted(rules: Policy) -> None:
    """The keyset is in use again: the wait begins with the next call, and is noted again."""
    place = settled(rules)
    noted = note_removal(place.process.operator, plan(place), None, "gone")
    kid = place.current.kid
    fields = place.store.history(Tree.STANDBY, "web")[-1] or {}
    while place.current.kid == kid:
        place.live(5, every=5)
    place.clock.advance(29)
    standby = place.store.history(Tree.STANDBY, "web")[-1] or {}
    place.store.put(Tree.STANDBY, "web", {**standby, "removal": fields["removal"]})
    planned = plan(place)
    assert planned.removal is None
    assert planned.safe_at == place.clock.now() + seconds(8 + 20 + 1)
    assert note_removal(place.process.operator, planned, None, "gone").at > noted.at


@BOTH
def test_a_daemon_that_rotates_the_keyset_drops_the_note(rules: Policy) -> None:
    """It is in the configuration again; one that only serves it keeps the note."""
    place = settled(rules)
    place.tracker.policy = replace(rules, rotates=False)
    noted = note_removal(place.process.operator, plan(place), None, "gone")
    place.live(12, every=2)
    assert removal_in(place) == noted
    kept = place.store.history(Tree.STANDBY, "web")[-1] or {}
    place.tracker.policy = rules
    place.live(10, every=2)
    assert removal_in(place) is None
    if rules is PAIRS:
        assert (place.store.history(Tree.STANDBY, "web")[-1] or {})["private"] == kept["private"]
    assert plan(place).removal is None


def test_a_keyset_without_a_trace_gets_a_gravestone() -> None:
    """A daemon that remembers it learns of it."""
    place = Place(SECRETS)
    assert plan(place).safe_at is None
    drop(place)
    assert plan(place).gone


def test_the_gravestone_can_go_too() -> None:
    """Nothing is left in the store."""
    place = settled()
    drop(place)
    drop(place, trace=False)
    assert [place.store.load(tree, "web").version for tree in Tree] == [0, 0, 0]


def test_a_lost_race_is_tried_again() -> None:
    """The daemon saved the standby meanwhile."""
    place = settled()
    place.fuses.blow(1, with_=StoreConflictError)
    assert drop(place).done


def test_redis_does_not_hold_it_up() -> None:
    """The position is a hint."""
    place = settled()
    place.notifier.down = True
    assert drop(place).done


def test_the_note_round_trips() -> None:
    """And a standby without one has none."""
    place = settled()
    noted = note_removal(place.process.operator, plan(place), "op", "why")
    fields = place.store.history(Tree.STANDBY, "web")[-1] or {}
    standby = decode_standby(fields, "web")
    assert standby.removal == noted == Removal("op", noted.at, "why", done=False)
    assert encode_standby(standby) == fields
