"""
Passes over a keyset with fakes of every port: crashes at each effect, stale views, contradictions, and what is logged of them.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.documents.jwk import jwks_of
from rotator.documents.public import encode_public, public_document
from rotator.errors import (
    DocumentError,
    FrozenError,
    LaggingError,
    PublicationPendingError,
    StoreConflictError,
    StoreDeniedError,
    StoreUnavailableError,
)
from rotator.lifecycle.decisions import Wait
from rotator.model.document import Tree
from rotator.model.event import EventType
from rotator.model.publication import Publication
from rotator.model.reasons import AlarmReason, HoldReason
from rotator.reconcile.tracker import MAX_PENDING
from tests.support.documents import sealed
from tests.support.memory_store import Crash, MemoryStore
from tests.support.process import Outside, Overtaken, Place, Process
from tests.support.world import policy, seconds

POLICIES = {"RS256": policy(p=8, life=20), "HS256": policy("HS256", p=8, life=20)}


def without_next(place: Place) -> Publication:
    """Return what a publisher showed before the present next joined."""
    seen = place.publisher.visible("web")
    assert seen is not None
    return replace(seen, document=replace(seen.document, sequence=1, jwks=jwks_of(replace(place.keyset, next=None))))


@pytest.mark.parametrize("algorithm", POLICIES)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [Crash, StoreUnavailableError])
def test_interrupted_at_every_effect(algorithm: str, after: bool, kind: type[BaseException]) -> None:
    """Whichever effect a crash or a lost reply hits, a whole life ends with one rotation done, announced and clean."""
    nth = 0
    while True:
        nth += 1
        place = Place(policy(algorithm, period=40, p=4, life=10))
        place.fuses.blow(nth, after=after, with_=kind)
        for _ in range(62):
            try:
                place.reconcile()
            except (Crash, StoreUnavailableError):
                place.restart()
            place.clock.advance(1.0)
        if place.fuses.armed:
            break
        keyset = place.keyset
        assert place.current.kid != place.next_key.kid, nth
        assert keyset.old == (), nth
        assert place.notifier.positions["web"] == f"{keyset.epoch}:{keyset.sequence}", nth
        alive = {key.kid for key in keyset.keys()}
        for version in place.store.history(Tree.KEYS, "web"):
            assert version is None or {key["kid"] for key in version["keys"]} <= alive, nth
        standbys = [s for s in place.store.history(Tree.STANDBY, "web") if s]
        waiting = "" if algorithm == "HS256" else place.next_key.kid
        assert all(standby["kid"] == waiting for standby in standbys), nth
        made = [m.kid for m in place.keygen.made]
        assert len(made) <= 4 + (kind is Crash or not after), (nth, made)
    assert nth > 12


def test_a_stale_view_holds_the_first_activation() -> None:
    """What consumers do not see yet is not confirmed, alarmed, and signs nothing; once seen it does."""
    place = Place(POLICIES["RS256"])
    place.publisher.stale = True
    place.live(30)

    assert place.keyset.current is None
    assert AlarmReason.UNCONFIRMED in place.reasons()
    place.publisher.stale = False
    place.live(10)
    assert place.current.kid
    assert place.reasons() == set()


def test_a_view_gone_stale_holds_the_rotation() -> None:
    """A set that was lost by the moment of activation is found missing by the read-back: the old key goes on signing."""
    place = Place(POLICIES["RS256"])
    place.live(50)
    signing = place.current
    place.publisher.lose("web")
    place.tracker.converged_at = float("inf")
    place.clock.advance(51.0)
    wait = place.reconcile()

    assert wait.held is HoldReason.UNCONFIRMED
    assert place.current == signing
    assert AlarmReason.UNCONFIRMED in place.reasons()
    place.live(20)
    assert place.current.kid != signing.kid
    assert place.reasons() == set()


def test_a_view_without_next_at_the_moment_of_activation_starts_propagation_again() -> None:
    """A publisher that went back to an older set by then hid next from consumers for an unknown time."""
    place = Place(POLICIES["RS256"])
    place.live(50)
    signing, confirmed = place.current, place.next_key.published_at
    place.publisher.serve(without_next(place))
    place.tracker.converged_at = float("inf")
    place.clock.advance(51.0)
    place.reconcile()

    assert place.current == signing
    assert place.next_key.published_at is None
    assert AlarmReason.PUBLISHER_LACKED in place.reasons()
    place.live(4)
    assert place.current == signing
    assert place.next_key.published_at
    assert confirmed
    assert place.next_key.published_at > confirmed
    assert place.next_key.usable_at == place.next_key.published_at + seconds(8)


def test_a_daemon_cut_off_unconfirms_before_it_repairs() -> None:
    """Our listener lacked next for longer than P/4: published_at is emptied first, and propagation starts anew."""
    place = Place(POLICIES["RS256"])
    place.live(20)
    confirmed = place.next_key.published_at
    place.restart()
    place.publisher.serve(without_next(place))
    place.reconcile()

    assert place.next_key.published_at
    assert confirmed
    assert place.next_key.published_at > confirmed
    assert place.next_key.usable_at == place.next_key.published_at + seconds(8)


def test_a_failing_publisher_does_not_stop_retirement() -> None:
    """Activation is held while a publisher fails; what is due to retire retires and is purged."""
    place = Place(POLICIES["RS256"])
    place.live(105)
    assert place.keyset.old
    place.publisher.failing = True
    place.live(40)

    assert place.keyset.old == ()
    assert AlarmReason.PUBLISH_FAILED in place.reasons()


def test_redis_away_and_flushed_is_healed() -> None:
    """Rotation goes on; the position is announced when Redis is back, and again when it forgot."""
    place = Place(POLICIES["HS256"])
    place.notifier.down = True
    place.live(105)
    assert place.types() == []
    assert place.tracker.notify_pending
    place.notifier.down = False
    place.reconcile()
    assert place.types() == [EventType.CHANGED]
    assert not place.tracker.notify_pending
    place.notifier.flush()
    place.reconcile()
    assert place.notifier.positions["web"] == f"{place.keyset.epoch}:{place.keyset.sequence}"


def test_events_tell_each_step() -> None:
    """published, activated and retired are told, and the id names the save."""
    place = Place(POLICIES["RS256"])
    place.live(140)

    assert {EventType.PUBLISHED, EventType.ACTIVATED, EventType.RETIRED, EventType.CHANGED} == set(place.types())
    ids = [event.id for event in place.notifier.events]
    assert len(ids) == len(set(ids))
    assert all(event.id.endswith(f"/{event.type.value}") for event in place.notifier.events)


def test_a_clock_that_disagrees_changes_nothing() -> None:
    """No creation, activation or retirement; the alarm clears with the clock."""
    place = Place(POLICIES["HS256"])
    place.store.offset = timedelta(hours=1)
    assert place.reconcile().held is HoldReason.CLOCK
    assert place.store.history(Tree.KEYS, "web") == []
    assert place.reasons() == {AlarmReason.CLOCK}
    place.store.offset = timedelta(0)
    place.live(20)
    assert place.reasons() == set()


def test_a_hold_is_logged_with_its_own_end() -> None:
    """Whatever deadline comes before it: here the retirement of the old secret, there the end of the propagation."""
    place = Place(POLICIES["HS256"])
    place.live(102)
    place.process.operator.effects.request(place.snapshot(), None, "test")
    place.live(20)
    held = [fields for _, name, fields in place.process.log.events if name == "rotation_held"]
    (old,) = place.keyset.old
    assert [(fields["reason"], fields["until"]) for fields in held] == [
        (HoldReason.PROPAGATING.value, place.next_key.usable_at),
        (HoldReason.OLD_NEEDED.value, old.retire_at),
    ]


def test_lost_standby_is_withdrawn_after_two_sights() -> None:
    """One mismatch holds; a second one P/8 later replaces next."""
    place = Place(POLICIES["RS256"])
    place.live(20)
    lost = place.next_key
    place.store.delete(Tree.STANDBY, "web")
    place.tracker.converged = None
    place.reconcile()
    assert AlarmReason.STANDBY_LOST in place.reasons()
    assert place.next_key == lost
    place.clock.advance(2.0)
    place.live(3)

    assert place.next_key.kid != lost.kid
    assert AlarmReason.STANDBY_LOST not in place.reasons()


def test_contradictions_freeze(tmp_path: Path) -> None:
    """Deleted, forgotten, another epoch, a fork, a foreign document: nothing is written, and undoing thaws."""
    place = Place(POLICIES["HS256"], tmp_path)
    place.live(20)
    backup, saves = place.store.snapshot(), len(place.store.history(Tree.KEYS, "web"))
    latest = place.store.history(Tree.KEYS, "web")[-1]
    assert latest is not None
    disasters = {
        "was deleted": lambda: place.store.delete(Tree.KEYS, "web"),
        "no trace": lambda: (
            place.store.forget_metadata(Tree.KEYS, "web"),
            place.store.forget_metadata(Tree.JWKS, "web"),
        ),
        "epoch": lambda: place.store.put(Tree.KEYS, "web", sealed(place.store, "web", {**latest, "epoch": "another"})),
        "another save": lambda: place.store.put(
            Tree.KEYS, "web", sealed(place.store, "web", {**latest, "op_id": "forged"})
        ),
        "not rotator's": lambda: place.store.put(Tree.KEYS, "web", {"current": "by hand"}),
        "newer": lambda: place.store.put(Tree.KEYS, "web", {**latest, "schema": "2"}),
    }
    for word, strike in disasters.items():
        strike()
        place.restart()
        with pytest.raises((FrozenError, DocumentError), match=word):
            place.reconcile()
        place.process.last_known.serve("web", place.policy, ask=False)
        assert place.cache.get("web") is not None
        place.store.restore(backup)
        place.reconcile()
        assert len(place.store.history(Tree.KEYS, "web")) == saves


def test_without_memory_the_public_document_is_served(tmp_path: Path) -> None:
    """A frozen keyset whose memory is lost or damaged still shows what the store's public document holds."""
    place = Place(POLICIES["RS256"], tmp_path)
    place.live(20)
    keyset = place.keyset
    place.store.save(Tree.JWKS, "web", encode_public(public_document(keyset, place.snapshot().sealing)), 0)
    place.store.delete(Tree.KEYS, "web")
    (tmp_path / "keysets" / "web.json").write_text("damaged")
    place.restart()
    with pytest.raises(FrozenError, match="damaged"):
        place.reconcile()

    place.process.last_known.serve("web", place.policy, ask=False)
    assert place.cache.get("web") is None
    place.process.last_known.serve("web", place.policy, ask=True)
    served = place.cache.get("web")
    assert served is not None
    assert served.document.jwks == jwks_of(keyset)


def test_an_older_sequence_is_waited_out_then_frozen(tmp_path: Path) -> None:
    """A lagging standby is ignored; a restored backup freezes after a minute."""
    place = Place(POLICIES["HS256"], tmp_path)
    place.reconcile()
    backup = place.store.snapshot()
    place.live(105)
    place.store.restore(backup)

    with pytest.raises(LaggingError):
        place.reconcile()
    place.clock.advance(61.0)
    with pytest.raises(FrozenError):
        place.reconcile()


def test_symmetric_and_asymmetric_do_not_follow_each_other() -> None:
    """A keyset whose configured algorithm changed kind is served and retired, never rotated, and alarmed."""
    place = Place(POLICIES["RS256"])
    place.live(20)
    place.tracker.policy = POLICIES["HS256"]
    current = place.current
    place.live(200)

    assert AlarmReason.NOT_CONFIGURED in place.reasons()
    assert place.current == current


def test_a_lost_race_is_read_again_three_times_after_a_pause() -> None:
    """Longer each time, and jittered; then the next pass has its turn."""
    pauses: list[float] = []
    outside = Outside()
    outside.store = store = Overtaken(outside.clock)
    store.races = 3
    process = Process(outside, POLICIES["HS256"], pause=pauses.append)

    assert process.reconciler.reconcile(process.tracker, None) == Wait(None)
    assert process.log.names().count("lost_race") == 3
    assert [0.01 * nth <= pause <= 0.2 * nth for nth, pause in enumerate(pauses, start=1)] == [True] * 3


def test_one_lost_race_is_made_good_in_the_same_pass() -> None:
    """The keyset is read again, and decided anew by what is there."""
    place = Place(POLICIES["HS256"])
    place.live(20)
    place.clock.advance(90.0)
    place.fuses.blow(1, with_=StoreConflictError)
    signing = place.current.kid
    place.reconcile()

    assert place.current.kid != signing
    assert place.process.log.names().count("lost_race") == 1


def test_a_daemon_that_stops_begins_no_more_saves() -> None:
    """What was decided is left to the next one."""
    place = Place(POLICIES["HS256"])
    place.process.reconciler.stopping = True
    place.reconcile()
    assert place.store.history(Tree.KEYS, "web") == []

    place.process.reconciler.stopping = False
    place.live(20)
    place.clock.advance(90.0)
    before = place.keyset
    place.process.reconciler.stopping = True
    assert place.reconcile() == Wait(place.clock.now())
    assert place.keyset == before


def test_a_standby_lost_at_the_moment_of_activation_holds_it() -> None:
    """Its private key was there when it was last read; nothing signs in its place."""
    place = Place(POLICIES["RS256"])
    place.live(50)
    signing = place.current
    place.store.delete(Tree.STANDBY, "web")
    place.tracker.converged_at = float("inf")
    place.clock.advance(51.0)

    assert place.reconcile().held is HoldReason.STANDBY_LOST
    assert place.current == signing


class Undying(MemoryStore):
    """
    A store that may not destroy while `forbidden`.
    """

    forbidden = False

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """Destroy, or refuse."""
        if self.forbidden:
            raise StoreDeniedError(f"{tree}/{keyset}: destroy needs update on destroy/")
        super().destroy(tree, keyset, versions)


def test_a_purge_that_stays_undone_is_alarmed_after_a_propagation_time() -> None:
    """Every pass tries again; rotation goes on meanwhile, and the alarm ends with the first success."""
    place = Place(POLICIES["RS256"])
    place.store = store = Undying(place.clock, place.fuses)
    place.restart()
    place.live(100)
    store.forbidden = True
    place.reconcile()
    assert place.tracker.purge_since == 100.0
    assert AlarmReason.PURGE_PENDING not in place.reasons()
    place.live(9)
    assert AlarmReason.PURGE_PENDING in place.reasons()
    assert place.tracker.status is not None
    assert place.tracker.status.purge_pending

    store.forbidden = False
    place.reconcile()
    assert AlarmReason.PURGE_PENDING not in place.reasons()
    assert min(store.versions(Tree.KEYS, "web")) == place.keyset.purge_below


def test_a_hold_is_reported_when_it_begins_and_not_again() -> None:
    """And once more when it becomes overdue; both end with the rotation."""
    place = Place(POLICIES["RS256"])
    place.live(20)
    place.publisher.failing = True
    place.live(100)
    told = [kind for kind in place.types() if kind in {EventType.HELD, EventType.OVERDUE}]
    assert told == [EventType.HELD, EventType.OVERDUE]
    assert place.process.log.names().count("rotation_held") == 1
    assert AlarmReason.OVERDUE in place.reasons()
    status = place.tracker.status
    assert status is not None
    assert (status.held, status.overdue) == (HoldReason.UNCONFIRMED, True)

    place.publisher.failing = False
    place.live(20)
    assert place.reasons() == set()
    assert place.tracker.status is not None
    assert (place.tracker.status.held, place.tracker.status.overdue) == (None, False)


@pytest.mark.parametrize("slow", [30.0, 3000.0])
@pytest.mark.parametrize("times", [1, 100])
def test_a_publication_that_takes_long_loses_no_activation(slow: float, times: int) -> None:
    """Of a shared secret: the clock is read again before the deadlines are recorded, be it slow in every pass."""
    place = Place(POLICIES["HS256"])
    place.live(20)
    place.clock.advance(90.0)
    signing, taken = place.current.kid, iter([slow] * times)
    publish = place.publisher.publish

    def slowly(publication: Publication) -> None:
        place.clock.advance(next(taken, 0.0))
        publish(publication)

    place.publisher.publish = slowly  # type: ignore[method-assign]
    place.tracker.converged = None
    begun = place.clock.now()
    place.reconcile()

    assert place.process.log.names().count("lost_race") == 0
    assert place.current.kid != signing
    assert place.current.activated_at >= begun + seconds(slow)
    for key in place.keyset.old:
        assert key.retire_at >= key.deactivated_at + place.policy.timing.retention


def test_an_answer_that_is_on_its_way_ends_the_pass_and_is_no_fault() -> None:
    """Nothing is alarmed, reported or put off; the pass that the answer brings goes on."""
    place = Place(POLICIES["RS256"])
    place.reconcile()
    place.live(50)
    read_back, pending = place.publisher.read_back, [True]

    def slowly(publication: Publication) -> None:
        if pending[0]:
            raise PublicationPendingError("https://a.example has not answered yet")
        read_back(publication)

    place.publisher.read_back = slowly  # type: ignore[method-assign]
    signing, told = place.current.kid, len(place.types())
    place.clock.advance(60.0)
    wait = place.reconcile()
    assert (wait.held, wait.until) == (HoldReason.UNCONFIRMED, place.clock.now() + seconds(MAX_PENDING))
    assert (place.current.kid, place.reasons(), place.types()[told:]) == (signing, set(), [])
    assert "rotation_held" not in place.process.log.names()
    assert place.tracker.status is not None
    assert place.tracker.status.held is None

    pending[0] = False
    place.reconcile()
    assert place.current.kid != signing


def test_an_answer_on_its_way_ends_no_alarm() -> None:
    """What is known to be wrong stays said until it is known to be right."""
    place = Place(POLICIES["RS256"])
    place.publisher.stale = True
    place.live(10)
    assert AlarmReason.UNCONFIRMED in place.reasons()
    read_back = place.publisher.read_back

    def pending(publication: Publication) -> None:
        raise PublicationPendingError(f"{publication.document.keyset} has not answered yet")

    place.publisher.read_back = pending  # type: ignore[method-assign]
    place.live(40)
    assert AlarmReason.UNCONFIRMED in place.reasons()
    place.publisher.read_back, place.publisher.stale = read_back, False  # type: ignore[method-assign]
    place.live(10)
    assert place.reasons() == set()


@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_keyset_is_saved_above_what_another_hand_showed(algorithm: str) -> None:
    """A reader that read it would refuse everything that rotator publishes for as long as it runs."""
    place = Place(POLICIES[algorithm])
    place.process = Process(place, place.policy, in_store=True)
    place.tracker = place.process.tracker
    place.live(30)
    public = place.store.history(Tree.JWKS, "web")[-1]
    assert public is not None
    place.store.put(Tree.JWKS, "web", {**public, "sequence": str(10**9)})
    before = place.keyset

    place.live(10)
    assert place.keyset.sequence == 10**9 + 1
    assert (place.keyset.epoch, list(place.keyset.keys())) == (before.epoch, list(before.keys()))
    now = place.store.history(Tree.JWKS, "web")[-1]
    assert now is not None
    assert now["sequence"] == str(10**9 + 1)
    assert "sequence_raised" in place.process.log.names()
    assert any(fields.get("reason") == AlarmReason.PUBLIC_EDITED for _, _, fields in place.process.log.events)


def test_a_host_without_memory_believes_no_older_document_than_the_public_one(tmp_path: Path) -> None:
    """What a daemon published under its seal it had saved before: the signing document was put back."""
    place = Place(POLICIES["RS256"])
    place.process = Process(place, place.policy, in_store=True)
    place.tracker = place.process.tracker
    place.live(20)
    old = place.store.history(Tree.KEYS, "web")[-1]
    assert old is not None
    place.live(120, every=4)
    public = place.store.history(Tree.JWKS, "web")[-1]
    place.store.forget_metadata(Tree.KEYS, "web")
    place.store.put(Tree.KEYS, "web", old)
    after = Process(place, place.policy, tmp_path, in_store=True)

    with pytest.raises(LaggingError, match=r"but jwks/web has sequence \d+: an older document was put back"):
        after.reconciler.reconcile(after.tracker, None)
    place.clock.advance(61.0)
    with pytest.raises(FrozenError, match="was put back"):
        after.reconciler.reconcile(after.tracker, None)
    assert place.store.history(Tree.JWKS, "web")[-1] == public
    after.last_known.serve("web", place.policy, ask=True)
    served = after.cache.get("web")
    assert served is not None
    assert public is not None
    assert served.document.jwks == public["jwks"]
