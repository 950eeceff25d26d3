"""
The order of effects of every decision, and what a failure between them leaves behind.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rotator.errors import PublicationError, StandbyLostError, StoreConflictError, StoreUnavailableError
from rotator.lifecycle.decisions import Activate
from rotator.model.document import Tree
from rotator.model.event import EventType
from rotator.model.keys import HmacSecret
from rotator.model.policy import Policy
from rotator.model.reasons import ActivationReason
from rotator.reconcile.effects import Effects, Outcome, next_of
from rotator.reconcile.loading import Loader
from rotator.reconcile.purging import Purging
from rotator.reconcile.saving import SeenRecord
from tests.support.process import Place
from tests.support.world import policy, seconds

PAIRS, SECRETS = policy(p=8, life=20), policy("HS256", p=8, life=20)
SAVE, SHOW = "save keys/web", "publish memory"
PUBLISHED, ACTIVATED, RETIRED, CHANGED = (
    f"announce {kind.value}"
    for kind in (EventType.PUBLISHED, EventType.ACTIVATED, EventType.RETIRED, EventType.CHANGED)
)
SCHEDULED, UNSAFE = Activate(ActivationReason.SCHEDULED), Activate(ActivationReason.UNSAFE)


def settled(rules: Policy = PAIRS, elapsed: float = 20) -> Place:
    """Return a place where a key signs and the next one has propagated."""
    place = Place(rules)
    place.live(elapsed, every=5)
    return place


def acted(place: Place, act: Callable[[], Outcome]) -> tuple[list[str], Outcome]:
    """Return the effects of *act* in their order, and its outcome."""
    outcomes: list[Outcome] = []
    done = place.effects_of(lambda: outcomes.append(act()))
    (outcome,) = outcomes
    return done, outcome


# -- the order, decision by decision -----------------------------------------------------------------------------------


def test_creation_saves_the_private_key_before_the_keyset_that_names_it() -> None:
    """A key pair: standby, keyset, publishers, feed; nothing is to be purged."""
    place = Place(PAIRS)
    clock = place.store.load(Tree.KEYS, "web").clock
    done, outcome = acted(place, lambda: place.process.effects.create("web", PAIRS, clock))

    assert done == ["save standby/web", SAVE, SHOW, CHANGED]
    assert (outcome.published, outcome.announced, outcome.purged) == (True, True, None)
    assert place.keyset.current is None
    assert place.next_key.published_at is None


def test_creation_of_secrets_begins_with_a_key_that_signs() -> None:
    """In one save, current and next together; the seal key comes first."""
    place = Place(SECRETS)
    clock = place.store.load(Tree.KEYS, "web").clock
    done, _ = acted(place, lambda: place.process.effects.create("web", SECRETS, clock))

    assert done == ["save standby/web", SAVE, SHOW, CHANGED]
    assert place.current.kid != place.next_key.kid


def test_generation_saves_the_private_key_first_and_purges_older_ones() -> None:
    """The standby's former version holds the key that signs now."""
    place = settled()
    place.process.effects.activate(place.snapshot(), SCHEDULED)
    done, outcome = acted(place, lambda: place.process.effects.generate(place.snapshot()))

    assert done == ["save standby/web", SAVE, SHOW, CHANGED, "destroy standby/web"]
    assert outcome.purged is True
    assert [version and version["kid"] for version in place.store.history(Tree.STANDBY, "web")][-1] == (
        place.next_key.kid
    )
    assert len(place.store.versions(Tree.STANDBY, "web")) == 1


def test_generation_of_a_secret_has_no_standby_to_purge() -> None:
    """It is in the keyset itself."""
    place = settled(SECRETS)
    place.process.effects.activate(place.snapshot(), SCHEDULED)
    done, outcome = acted(place, lambda: place.process.effects.generate(place.snapshot()))

    assert done == [SAVE, SHOW, CHANGED]
    assert outcome.purged is None


def test_a_key_that_a_crash_left_in_the_standby_is_adopted() -> None:
    """It is not generated again, and the log says so."""
    place = settled()
    place.process.effects.activate(place.snapshot(), SCHEDULED)
    place.fuses.blow(1, after=True, with_=StoreUnavailableError)
    with pytest.raises(StoreUnavailableError):
        place.process.effects.generate(place.snapshot())
    made = len(place.keygen.made)
    done, _ = acted(place, lambda: place.process.effects.generate(place.snapshot()))

    assert done[0] == SAVE
    assert len(place.keygen.made) == made
    assert place.next_key.kid == place.keygen.made[-1].kid
    assert place.process.log.events[-1][2]["adopted"] is True


def test_confirmation_reads_back_before_it_saves() -> None:
    """It shows nothing new: save, then the feed."""
    place = Place(PAIRS)
    clock = place.store.load(Tree.KEYS, "web").clock
    place.process.effects.create("web", PAIRS, clock)
    snapshot = place.snapshot()
    place.publisher.lose("web")
    with pytest.raises(PublicationError):
        place.process.effects.confirm(snapshot)
    assert place.keyset == snapshot.keyset

    place.publisher.publish(snapshot.publication)
    done, outcome = acted(place, lambda: place.process.effects.confirm(snapshot))
    assert done == [SAVE, PUBLISHED]
    assert (outcome.published, outcome.announced, outcome.purged) == (None, True, None)


def test_confirmation_counts_from_after_the_reading_back() -> None:
    """What took long to be found is usable as much later."""
    place = settled(elapsed=5)
    place.process.effects.unconfirm(place.snapshot(), "memory")
    snapshot = place.snapshot()
    place.clock.advance(7.0)
    place.process.effects.confirm(snapshot)

    assert place.next_key.published_at == place.clock.now()
    assert place.next_key.usable_at == place.clock.now() + seconds(8)


def test_confirmation_of_a_keyset_that_changed_is_a_lost_race() -> None:
    """What was read back was another set."""
    place = settled(elapsed=5)
    snapshot = place.snapshot()
    place.process.effects.unconfirm(snapshot, "memory")

    with pytest.raises(StoreConflictError):
        place.process.effects.confirm(snapshot)


def test_unconfirmation_is_saved_before_the_repair() -> None:
    """A crash in between must not lose it."""
    place = settled()
    done, _ = acted(place, lambda: place.process.effects.unconfirm(place.snapshot(), "memory"))

    assert done == [SAVE, SHOW, CHANGED]
    assert place.next_key.published_at is None


def test_the_first_activation_drops_nothing_and_purges_nothing() -> None:
    """There was no private key but the one that signs now."""
    place = Place(PAIRS)
    clock = place.store.load(Tree.KEYS, "web").clock
    place.process.effects.create("web", PAIRS, clock)
    place.process.effects.confirm(place.snapshot())
    first = Activate(ActivationReason.FIRST)
    done, outcome = acted(place, lambda: place.process.effects.activate(place.snapshot(), first))

    assert done == [SAVE, SHOW, ACTIVATED]
    assert outcome.purged is None


def test_an_activation_purges_the_private_key_that_it_replaced() -> None:
    """After the feed: nothing waits for the destruction."""
    place = settled()
    done, outcome = acted(place, lambda: place.process.effects.activate(place.snapshot(), SCHEDULED))

    assert done == [SAVE, SHOW, ACTIVATED, "destroy keys/web"]
    assert outcome.purged is True
    assert place.store.versions(Tree.KEYS, "web") == (outcome.snapshot.version,)


def test_an_activation_of_a_secret_purges_nothing() -> None:
    """The old one still verifies."""
    place = settled(SECRETS)
    done, outcome = acted(place, lambda: place.process.effects.activate(place.snapshot(), SCHEDULED))

    assert done == [SAVE, SHOW, ACTIVATED]
    assert outcome.purged is None


def test_an_activation_bears_the_operators_name_and_words() -> None:
    """Of a request: its op_id in the document, its reason in the event."""
    place = settled(SECRETS)
    asked = Activate(ActivationReason.REQUESTED, "op-x", "drill")
    place.process.effects.activate(place.snapshot(), asked)

    assert place.current.activated_by == place.keyset.op_id == "op-x"
    assert (place.notifier.events[-1].kid, place.notifier.events[-1].reason) == (place.current.kid, "drill")


def test_an_activation_reads_back_first_unless_it_is_unsafe() -> None:
    """What consumers do not find does not sign; `--unsafe-now` says that this is accepted."""
    place = settled()
    before = place.keyset
    place.publisher.lose("web")
    with pytest.raises(PublicationError):
        place.process.effects.activate(place.snapshot(), SCHEDULED)
    assert place.keyset == before

    place.process.effects.activate(place.snapshot(), UNSAFE)
    assert place.current.kid == next_of(before).kid


def test_an_activation_needs_the_private_key() -> None:
    """Without it nothing is changed."""
    place = settled()
    before, snapshot = place.keyset, place.snapshot()
    place.store.delete(Tree.STANDBY, "web")

    with pytest.raises(StandbyLostError):
        place.process.effects.activate(snapshot, SCHEDULED)
    assert place.keyset == before


def test_an_activation_right_after_a_save_reads_the_clock_again() -> None:
    """The reply to a save says when it was committed; what was published since took time."""
    place = settled(SECRETS)
    saved = place.process.effects.extend(place.snapshot()).snapshot
    place.clock.advance(60.0)
    after = place.process.effects.activate(saved, SCHEDULED).snapshot

    assert place.current.activated_at == place.clock.now()
    assert after.keyset.old[0].deactivated_at == place.clock.now()


def retiring(rules: Policy = PAIRS) -> Place:
    """Return a place where an old key's time is over."""
    place = settled(rules)
    place.process.effects.activate(place.snapshot(), SCHEDULED)
    place.clock.advance(29.0)
    return place


def test_retirement_purges_before_it_is_announced() -> None:
    """A key counts as retired once its material is destroyed."""
    place = retiring(SECRETS)
    kids = tuple(key.kid for key in place.keyset.old)
    done, outcome = acted(place, lambda: place.process.effects.retire(place.snapshot(), kids))

    assert done == [SAVE, SHOW, "destroy keys/web", RETIRED]
    assert (outcome.published, outcome.announced, outcome.purged) == (True, True, True)
    assert place.notifier.events[-1].kid == kids[0]


def test_a_retirement_whose_purge_fails_is_only_a_change() -> None:
    """The log says what is pending, and the feed does not speak of a retired key."""
    place = retiring(SECRETS)
    kids = tuple(key.kid for key in place.keyset.old)
    place.fuses.blow(3, with_=StoreUnavailableError)
    done, outcome = acted(place, lambda: place.process.effects.retire(place.snapshot(), kids))

    assert done == [SAVE, SHOW, CHANGED]
    assert outcome.purged is False
    assert [name for name in place.process.log.names() if name in {"purge_pending", "key_dropped", "key_retired"}] == [
        "purge_pending",
        "key_dropped",
    ]


def test_extension_is_saved_then_shown() -> None:
    """Signers may use the longer life once they read it."""
    place = settled()
    done, outcome = acted(place, lambda: place.process.effects.extend(place.snapshot()))

    assert done == [SAVE, SHOW, CHANGED]
    assert outcome.purged is None


# -- purge -------------------------------------------------------------------------------------------------------------


def test_a_legal_hold_destroys_nothing() -> None:
    """And nothing is pending."""
    place = settled()
    held = replace(place.snapshot(), policy=replace(PAIRS, retain=True))
    done, outcome = acted(place, lambda: place.process.effects.activate(held, SCHEDULED))

    assert done == [SAVE, SHOW, ACTIVATED]
    assert outcome.purged is True
    assert len(place.store.versions(Tree.KEYS, "web")) == outcome.snapshot.version


def test_a_purge_that_fails_is_logged_and_tried_again() -> None:
    """It stops nothing."""
    place = settled()
    place.fuses.blow(4, with_=StoreUnavailableError)
    _, outcome = acted(place, lambda: place.process.effects.activate(place.snapshot(), SCHEDULED))
    assert outcome.purged is False
    assert "purge_pending" in place.process.log.names()

    assert purging(place).purge(place.snapshot())
    assert len(place.store.versions(Tree.KEYS, "web")) == 1


def purging(place: Place) -> Purging:
    """Return what purges in that process."""
    return Purging(place.store, place.process.publishing, place.process.log)


def test_a_heartbeat_is_saved_and_neither_shown_nor_announced() -> None:
    """Sequence and op_id stay, so that no consumer reads again."""
    place = settled()
    before = place.keyset
    place.clock.advance(3)
    at = place.snapshot().now
    done, outcome = acted(place, lambda: place.process.effects.beat(place.snapshot(), at))

    assert done == [SAVE]
    assert (outcome.published, outcome.announced, outcome.purged) == (None, None, None)
    assert place.keyset == replace(before, seen_at=at)
    assert before.seen_at != at


# -- failures that stop nothing ----------------------------------------------------------------------------------------


def test_what_could_not_be_shown_or_announced_is_said_in_the_outcome() -> None:
    """The save stands."""
    place = settled()
    place.publisher.failing, place.notifier.down = True, True
    done, outcome = acted(place, lambda: place.process.effects.extend(place.snapshot()))

    assert done == [SAVE]
    assert (outcome.published, outcome.announced) == (False, False)


def test_without_a_next_a_decision_about_it_is_a_lost_race() -> None:
    """Another process took it."""
    place = settled()
    place.process.effects.activate(place.snapshot(), SCHEDULED)
    snapshot = place.snapshot()

    for act in (place.process.effects.confirm, lambda it: place.process.effects.activate(it, SCHEDULED)):
        with pytest.raises(StoreConflictError, match="next is gone"):
            act(snapshot)
    with pytest.raises(StoreConflictError, match="next is gone"):
        place.process.effects.unconfirm(snapshot, "memory")


def test_a_report_has_an_id_of_its_own() -> None:
    """The same save may be held twice; the kid is that of the next that should sign, "" if there is none."""
    place = settled(SECRETS)
    snapshot = place.snapshot()
    place.process.effects.report(snapshot, EventType.HELD, "clock")
    place.process.effects.report(snapshot, EventType.HELD, "clock")
    gone = replace(snapshot, keyset=replace(snapshot.keyset, next=None))
    place.process.effects.report(gone, EventType.OVERDUE, "clock")

    first, second, third = place.notifier.events[-3:]
    assert len({first.id, second.id, third.id}) == 3
    assert (first.kid, first.reason, third.kid) == (place.next_key.kid, "clock", "")


@pytest.mark.parametrize("neighbour", [True, False])
def test_a_first_key_in_a_set_that_others_share_must_propagate(neighbour: bool) -> None:
    """Verifiers have cached the combined set already; a keyset alone in it may sign at once."""
    place = settled()
    shared = replace(PAIRS, well_known=True)
    effects = Effects(
        place.store,
        Loader(place.store),
        place.process.publishing,
        place.keygen,
        SeenRecord(None, place.process.alarms),
        place.process.log,
        place.clock,
        ("new", "web"),
    )
    if neighbour:
        document = place.publisher.visible("web")
        assert document is not None
        place.store.put(
            Tree.JWKS,
            "web",
            {
                "schema": "1",
                "keyset": "web",
                "epoch": "e",
                "sequence": "1",
                "jwks": document.document.jwks,
                "revoked": [],
            },
        )
    created = effects.create("new", shared, place.store.load(Tree.KEYS, "new").clock).snapshot
    confirmed = effects.confirm(created).snapshot

    next_key = next_of(confirmed.keyset)
    assert next_key.published_at
    assert next_key.usable_at
    assert next_key.usable_at - next_key.published_at == seconds(8 if neighbour else 0)


def test_no_secret_is_ever_logged() -> None:
    """Through a whole life the fields of the log hold kids, names and numbers."""
    place = settled(SECRETS)
    secrets = [key.material.secret.reveal() for key in place.keyset.keys() if isinstance(key.material, HmacSecret)]
    place.live(150, every=5)

    told = repr(place.process.log.events)
    assert secrets
    assert not any(secret in told for secret in secrets)
