"""
What is shown of a keyset on every publisher and in the feed, and what a failure of one of them does.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass, replace

import pytest

from rotator.documents.jwk import EMPTY
from rotator.documents.public import encode_public, public_document
from rotator.errors import PrivateKeyPublishedError, PublicationError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.event import EventType
from rotator.model.keys import Kid
from rotator.model.keyset import Keyset
from rotator.model.publication import Jwks, Publication
from rotator.model.reasons import AlarmReason
from rotator.reconcile.alarms import Alarms
from rotator.reconcile.publishing import Publishing, may_be_cached
from rotator.reconcile.snapshot import Snapshot
from tests.support.fakes import ManualClock, MemoryNotifier, MemoryPublisher
from tests.support.process import Outside, Place, RecordingLog, snapshot_of
from tests.support.world import World, policy


class LostStore(MemoryPublisher):
    """
    A publisher in a store that is away.
    """

    def publish(self, publication: Publication) -> None:
        """Fail as the store does."""
        raise StoreUnavailableError(f"away with {publication.document.keyset}")

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """Fail as the store does."""
        raise StoreUnavailableError(f"away with {publication.document.keyset}")

    def read_back(self, publication: Publication) -> None:
        """Fail as the store does."""
        raise StoreUnavailableError(f"away with {publication.document.keyset}")


@dataclass
class Shown:
    """
    A keyset, and two publishers to show it on.
    """

    snapshot: Snapshot
    first: MemoryPublisher
    second: MemoryPublisher
    notifier: MemoryNotifier
    alarms: Alarms
    log: RecordingLog

    @property
    def publishing(self) -> Publishing:
        """Both publishers and the feed."""
        return Publishing([self.first, self.second], self.notifier, self.alarms, self.log)

    def reasons(self) -> set[AlarmReason]:
        """The active alarms."""
        return {alarm.reason for alarm in self.alarms.active()}


@functools.cache
def pairs() -> Snapshot:
    """Return a keyset of key pairs, with current and next."""
    place = Place(policy(p=8, life=20))
    place.live(20)
    return place.snapshot()


@pytest.fixture
def shown() -> Shown:
    """A keyset of key pairs that is shown nowhere yet."""
    clock, log = ManualClock(), RecordingLog()
    first, second = MemoryPublisher(clock, "first"), MemoryPublisher(clock, "second")
    return Shown(pairs(), first, second, MemoryNotifier(), Alarms(log), log)


def next_of(snapshot: Snapshot) -> str:
    """Return the kid of next."""
    assert snapshot.keyset.next is not None
    return snapshot.keyset.next.kid


def test_every_publisher_shows_the_keyset(shown: Shown) -> None:
    """Nothing failed, so nothing is returned."""
    assert shown.publishing.publish(shown.snapshot) == ()
    assert shown.first.visible("web") == shown.second.visible("web") == shown.snapshot.publication


def test_the_failure_of_one_publisher_stops_no_other(shown: Shown) -> None:
    """It is returned and alarmed with its name; the next publication without one clears the alarm."""
    shown.first.failing = True
    assert shown.publishing.publish(shown.snapshot) == ("first: first fails",)
    assert shown.second.visible("web") == shown.snapshot.publication
    (alarm,) = shown.alarms.active()
    assert (alarm.reason, alarm.detail) == (AlarmReason.PUBLISH_FAILED, "first: first fails")

    shown.first.failing = False
    assert shown.publishing.publish(shown.snapshot) == ()
    assert shown.reasons() == set()


def test_a_store_that_is_away_is_a_failure_like_any_other(shown: Shown) -> None:
    """All failures are named, in the order of the publishers."""
    shown.first, shown.second.failing = LostStore(ManualClock(), "store"), True

    assert shown.publishing.publish(shown.snapshot) == ("store: away with web", "second: second fails")
    assert shown.alarms.active()[0].detail == "store: away with web; second: second fails"


def test_read_back_finds_what_every_publisher_shows(shown: Shown) -> None:
    """And names the first that lacks a key."""
    with pytest.raises(PublicationError, match="first"):
        shown.publishing.read_back(shown.snapshot)
    shown.first.publish(shown.snapshot.publication)
    with pytest.raises(PublicationError, match="second"):
        shown.publishing.read_back(shown.snapshot)
    shown.second.publish(shown.snapshot.publication)

    assert shown.publishing.read_back(shown.snapshot) is None  # type: ignore[func-returns-value]


def test_a_store_that_is_away_confirms_nothing(shown: Shown) -> None:
    """Its error becomes one of publication, named for the publisher, so that the confirmation is only put off."""
    shown.first = LostStore(ManualClock(), "store")

    with pytest.raises(PublicationError, match=r"^store: away with web$"):
        shown.publishing.read_back(shown.snapshot)


def secrets() -> Snapshot:
    """Return a keyset of shared secrets, with current and next."""
    world = World(policy("HS256"))
    world.run(20)
    return snapshot_of(world.keyset, world.policy)


def test_shared_secrets_are_neither_read_back_nor_missed(shown: Shown) -> None:
    """They are shown nowhere."""
    shown.first.failing = shown.second.failing = True
    snapshot = secrets()

    assert shown.publishing.read_back(snapshot) is None  # type: ignore[func-returns-value]
    assert shown.publishing.missing_from(snapshot) == ""


def test_a_publisher_that_serves_the_keyset_without_next_is_named(shown: Shown) -> None:
    """One that never served it, or cannot be read, proves nothing."""
    assert shown.publishing.missing_from(shown.snapshot) == ""
    keyset = replace(shown.snapshot.keyset, next=None, sequence=1)
    shown.second.publish(snapshot_of(keyset, shown.snapshot.policy).publication)
    assert shown.publishing.missing_from(shown.snapshot) == "second"

    shown.first = LostStore(ManualClock(), "store")
    assert shown.publishing.missing_from(shown.snapshot) == "second"
    shown.second.failing = True
    assert shown.publishing.missing_from(shown.snapshot) == ""


def test_a_publisher_that_serves_next_lacks_nothing(shown: Shown) -> None:
    """Nor can anything be missing from a keyset without next."""
    shown.publishing.publish(shown.snapshot)

    assert shown.publishing.missing_from(shown.snapshot) == ""
    keyset = replace(shown.snapshot.keyset, next=None)
    assert shown.publishing.missing_from(snapshot_of(keyset, shown.snapshot.policy)) == ""


def test_events_are_named_for_the_save_and_the_type(shown: Shown) -> None:
    """One for each kid; from the second on the kid is in the id, so that no two are the same."""
    snapshot = shown.snapshot
    assert shown.publishing.announce(snapshot, EventType.RETIRED, "a", "b", reason="over")

    base = f"{snapshot.keyset.op_id}/rotator.key.retired"
    assert [(event.id, event.kid, event.reason) for event in shown.notifier.events] == [
        (base, "a", "over"),
        (f"{base}/b", "b", "over"),
    ]
    assert {(e.keyset, e.epoch, e.sequence, e.at, e.type) for e in shown.notifier.events} == {
        ("web", snapshot.keyset.epoch, snapshot.keyset.sequence, snapshot.now, EventType.RETIRED)
    }


def test_an_event_about_no_key_has_no_kid(shown: Shown) -> None:
    """And an id of its own if one is given: a report of the same save may come twice."""
    shown.publishing.announce(shown.snapshot, EventType.HELD, event_id="report-1")

    (event,) = shown.notifier.events
    assert (event.id, event.kid) == ("report-1", "")


def test_an_announcement_never_raises(shown: Shown) -> None:
    """What could not be announced is logged, and the caller is told."""
    shown.notifier.down = True

    assert not shown.publishing.announce(shown.snapshot, EventType.CHANGED)
    assert [(name, fields["type"]) for _, name, fields in shown.log.events] == [
        ("notify_pending", EventType.CHANGED.value)
    ]


def test_a_feed_that_is_lost_is_logged_once_with_its_cause(shown: Shown) -> None:
    """And when it is back; the cause is there as long as it lasts."""
    publishing = shown.publishing
    publishing.watch_feed()
    shown.notifier.down = True
    publishing.announce(shown.snapshot, EventType.CHANGED)
    for _ in range(3):
        publishing.watch_feed()
    assert publishing.feed_fault == "redis is down"
    shown.notifier.down = False
    publishing.announce(shown.snapshot, EventType.CHANGED)
    publishing.watch_feed()
    assert publishing.feed_fault == ""
    assert shown.log.names() == ["notify_pending", "redis_down", "redis_up"]
    assert shown.log.events[1][2] == {"detail": "redis is down"}


def test_without_a_notifier_all_is_announced(shown: Shown) -> None:
    """Notification is off; nothing is pending."""
    publishing = Publishing([shown.first], None, shown.alarms, shown.log)

    assert publishing.announce(shown.snapshot, EventType.CHANGED)
    publishing.watch_feed()
    assert publishing.feed_fault is None
    assert shown.log.events == []


def test_all_are_closed(shown: Shown) -> None:
    """With or without a notifier."""
    shown.publishing.close()
    Publishing([shown.first], None, shown.alarms, shown.log).close()

    assert (shown.first.closed, shown.second.closed, shown.notifier.closed) == (2, 1, 1)


# -- the combined set --------------------------------------------------------------------------------------------------


def document_of(keyset: Keyset, jwks: str | None = None) -> dict[str, object]:
    """Return the public document of a neighbour."""
    document = replace(public_document(keyset), keyset="neighbour")
    return dict(encode_public(document if jwks is None else replace(document, jwks=Jwks(jwks))))


def test_only_a_keyset_in_the_combined_set_may_be_cached_with_others(shown: Shown) -> None:
    """A neighbour with keys makes it so; one that does not exist, has none, or is the keyset itself does not."""
    store, snapshot = Outside().store, shown.snapshot
    member = replace(snapshot, policy=replace(snapshot.policy, well_known=True))
    assert not may_be_cached(store, ("web", "neighbour"), member)
    store.put(Tree.JWKS, "web", dict(encode_public(member.publication.document)))
    store.put(Tree.JWKS, "neighbour", document_of(snapshot.keyset, EMPTY))
    assert not may_be_cached(store, ("web", "neighbour"), member)

    store.put(Tree.JWKS, "neighbour", document_of(snapshot.keyset))
    assert may_be_cached(store, ("web", "neighbour"), member)
    assert not may_be_cached(store, ("web",), member)
    assert not may_be_cached(store, ("web", "neighbour"), snapshot)


def test_a_neighbour_that_cannot_be_understood_counts_as_one_with_keys(shown: Shown) -> None:
    """Waiting is safe, signing early is not."""
    store = Outside().store
    store.put(Tree.JWKS, "neighbour", {"by": "hand"})
    member = replace(shown.snapshot, policy=replace(shown.snapshot.policy, well_known=True))

    assert may_be_cached(store, ("neighbour", "web"), member)


# -- private keys ------------------------------------------------------------------------------------------------------


class Leaking(MemoryPublisher):
    """
    A publisher that shows a private key, to those who read back or those who write, while `kids` names some.
    """

    def __init__(self) -> None:
        super().__init__(ManualClock(), "leaking")
        self.kids: tuple[str, ...] = ()
        self.written: tuple[str, ...] = ()

    def publish(self, publication: Publication) -> None:
        """Tell what was there before."""
        super().publish(publication)
        if self.written:
            found, self.written = self.written, ()
            raise PrivateKeyPublishedError(f"/srv/jwks.json shows the private key of kid {' and '.join(found)}", *found)

    def read_back(self, publication: Publication) -> None:
        """Tell what is there."""
        if self.kids:
            raise PrivateKeyPublishedError(f"https://a.example shows the private key of kid {self.kids[0]}", *self.kids)
        super().read_back(publication)


def test_a_private_key_that_is_shown_is_alarmed_until_its_kid_is_gone(shown: Shown) -> None:
    """That the place shows it no more is no cure: somebody may have read it. The alarm names place, kid and command."""
    shown.first = leaking = Leaking()
    kid, snapshot = next_of(shown.snapshot), shown.snapshot
    publishing = shown.publishing
    publishing.publish(snapshot)
    leaking.kids = (kid,)
    with pytest.raises(PublicationError, match="shows the private key"):
        publishing.read_back(snapshot)
    (alarm,) = shown.alarms.active()
    assert alarm.reason is AlarmReason.PRIVATE_KEY
    assert alarm.detail.startswith(f"https://a.example shows the private key of kid {kid}; ")
    assert f"run `rotator revoke web {kid}`" in alarm.detail

    leaking.kids = ()
    publishing.read_back(snapshot)
    publishing.publish(snapshot)
    assert shown.reasons() == {AlarmReason.PRIVATE_KEY}
    reloaded = shown.publishing
    reloaded.take_over(publishing)
    reloaded.publish(snapshot)
    assert shown.reasons() == {AlarmReason.PRIVATE_KEY}
    reloaded.publish(replace(snapshot, keyset=replace(snapshot.keyset, next=None)))
    assert shown.reasons() == set()


def test_a_private_key_that_was_overwritten_is_alarmed_all_the_same(shown: Shown) -> None:
    """The other publishers are written, and the next publication clears the failure, not the alarm."""
    shown.first = leaking = Leaking()
    assert shown.snapshot.keyset.current is not None
    kids = (str(shown.snapshot.keyset.current.kid), next_of(shown.snapshot))
    leaking.written, publishing = kids, shown.publishing
    (failure,) = publishing.publish(shown.snapshot)
    assert failure == f"leaking: /srv/jwks.json shows the private key of kid {kids[0]} and {kids[1]}"
    assert shown.second.visible("web") == shown.snapshot.publication
    assert shown.reasons() == {AlarmReason.PRIVATE_KEY, AlarmReason.PUBLISH_FAILED}

    assert publishing.publish(shown.snapshot) == ()
    (alarm,) = shown.alarms.active()
    assert all(f"rotator revoke web {kid}" in alarm.detail for kid in kids)
