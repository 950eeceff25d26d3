"""
The JWKS in the store: as few requests as possible, and other writers.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from rotator.adapters.files.store import FileStore
from rotator.adapters.jwks.store import StorePublisher
from rotator.documents.public import encode_public
from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.errors import OutrunError, PublicationError
from rotator.model.document import Fields, Stored, Tree
from rotator.model.keys import Kid
from rotator.model.publication import Publication
from rotator.model.secret import SecretText
from tests.support.publications import P, jwks, kid, publication


@dataclass
class CountedStore:
    """A file store that counts what is asked of it."""

    inner: FileStore
    asked: Counter[str] = field(default_factory=Counter)
    token_expires_at: datetime | None = None

    def maintain(self) -> None:
        """Do nothing."""

    def fingerprint(self) -> object:
        """Return the file store's."""
        return self.inner.fingerprint()

    def close(self) -> None:
        """Count it."""
        self.asked["close"] += 1

    def load(self, tree: Tree, keyset: str) -> Stored:
        """Count and load."""
        self.asked["load"] += 1
        return self.inner.load(tree, keyset)

    def load_version(self, tree: Tree, keyset: str, version: int) -> Stored:
        """Load it."""
        return self.inner.load_version(tree, keyset, version)

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """Count and save."""
        self.asked["save"] += 1
        return self.inner.save(tree, keyset, fields, cas)

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """Count and list."""
        return self.inner.versions(tree, keyset)

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """Count and destroy."""
        self.inner.destroy(tree, keyset, versions)


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> CountedStore:
    """Return a store of files, counted."""
    return CountedStore(FileStore(tmp_path / "store"))


def test_the_store_is_asked_no_more_than_needed(store: CountedStore) -> None:
    """The first time one load and one save, then one save for each change and nothing for none."""
    publisher = StorePublisher(store)
    publisher.publish(publication("web", 1))
    assert store.asked == {"load": 1, "save": 1}
    publisher.publish(publication("web", 1, 2, sequence=2))
    publisher.publish(publication("web", 1, 2, sequence=2))
    assert store.asked == {"load": 1, "save": 2}


def test_what_was_seen_is_trusted_for_a_propagation_time_only(store: CountedStore) -> None:
    """So that even the empty set of a symmetric keyset is mended one day."""
    now = [0.0]
    publisher = StorePublisher(store, monotonic=lambda: now[0])
    hmac = publication("web")
    publisher.publish(hmac)
    seen = store.inner.load(Tree.JWKS, "web")
    store.inner.save(Tree.JWKS, "web", {**(seen.fields or {}), "jwks": jwks(1)}, seen.version)
    now[0] = P.total_seconds() - 1
    publisher.publish(hmac)
    assert kid(1) in str(store.inner.load(Tree.JWKS, "web").fields)
    now[0] += 1
    publisher.publish(hmac)
    assert kid(1) not in str(store.inner.load(Tree.JWKS, "web").fields)


def test_the_store_keeps_a_symmetric_document_while_nothing_in_it_changes(store: CountedStore) -> None:
    """Its sequence may lag, which spares a save for each rotation; a revocation is written."""
    publisher = StorePublisher(store)
    publisher.publish(publication("web"))
    publisher.publish(publication("web", sequence=7))
    assert store.asked["save"] == 1
    publisher.publish(publication("web", sequence=8, revoked=(Kid("gone"),)))
    fields = store.inner.load(Tree.JWKS, "web").fields or {}
    assert (fields["sequence"], fields["revoked"][0]["kid"]) == ("8", "gone")
    StorePublisher(store).publish(publication("web", sequence=7))
    assert (store.inner.load(Tree.JWKS, "web").fields or {})["sequence"] == "8"


def test_two_daemons_agree_on_the_store(store: CountedStore) -> None:
    """Whoever lost the compare-and-set reads again, writes what is later and leaves what is."""
    one, two = StorePublisher(store), StorePublisher(store)
    for number in range(1, 6):
        one.publish(publication("web", number, number + 1, sequence=2 * number - 1))
        two.publish(publication("web", number + 1, number + 2, sequence=2 * number))
    one.publish(publication("web", 1, 2, sequence=3))
    assert store.inner.load(Tree.JWKS, "web").fields == {
        "schema": "1",
        "keyset": "web",
        "epoch": "epoch-1",
        "sequence": "10",
        "jwks": jwks(6, 7),
        "revoked": [],
    }


def test_a_document_of_somebody_else_is_left_alone(store: CountedStore) -> None:
    """The error names the way out; nothing of ours is shown."""
    store.inner.save(Tree.JWKS, "web", {"password": "theirs"}, 0)
    publisher, web = StorePublisher(store), publication("web", 1)
    with pytest.raises(PublicationError, match="move jwks/web away"):
        publisher.publish(web)
    with pytest.raises(PublicationError):
        publisher.read_back(web)
    assert publisher.served_kids(web) == ()
    assert store.inner.load(Tree.JWKS, "web").fields == {"password": "theirs"}


class Contested(CountedStore):
    """A store where somebody else saves just before every save of ours."""

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """Save something else first."""
        self.inner.save(tree, keyset, {**fields, "sequence": "0"}, self.inner.load(tree, keyset).version)
        return super().save(tree, keyset, fields, cas)


def test_a_store_that_keeps_changing_is_an_error(tmp_path: Path) -> None:
    """Three lost races are enough."""
    store = Contested(FileStore(tmp_path / "store"))
    with pytest.raises(PublicationError, match="keeps changing"):
        StorePublisher(store).publish(publication("web", 1))
    assert store.asked["save"] == 3


SEALING = Sealing(SecretText("0" * 64))


def signed(shown: Publication) -> Publication:
    """Return a publication under its seal."""
    fields = SEALING.seal(encode_public(shown.document))
    return replace(shown, document=replace(shown.document, seal=fields["seal"]))


def put(store: CountedStore, **members: object) -> None:
    """Change members of the public document by hand."""
    stored = store.inner.load(Tree.JWKS, "web")
    store.inner.save(Tree.JWKS, "web", {**(stored.fields or {}), **members}, stored.version)


def published(store: CountedStore) -> dict[str, object]:
    """Return the public document as it is stored."""
    return dict(store.inner.load(Tree.JWKS, "web").fields or {})


@pytest.mark.parametrize(
    "members",
    [
        {"jwks": jwks(9), "sequence": "1"},
        {"sequence": str(10**15)},
        {"sequence": "9" * 40},
        {"seal": ""},
        {"keyset": "x"},
        {"epoch": "x"},
        {"more": "x"},
    ],
)
def test_what_another_hand_changed_is_overwritten_and_told(store: CountedStore, members: dict[str, str]) -> None:
    """By every publisher that reads it, once."""
    web = signed(publication("web", 1, sequence=2))
    StorePublisher(store, lambda _: SEALING).publish(web)
    put(store, **members)
    publisher = StorePublisher(store, lambda _: SEALING)

    told = publisher.publish(web)
    assert told == "version 2 of jwks/web was changed by another hand; it was overwritten"
    assert published(store) == encode_public(web.document)
    assert publisher.publish(web) is None
    assert StorePublisher(store, lambda _: SEALING).publish(web) == ""


@pytest.mark.parametrize(
    ("members", "shown"), [({"sequence": "999"}, 999), ({"jwks": jwks(9)}, 2), ({"revoked": [], "jwks": jwks(9)}, 2)]
)
def test_what_readers_would_not_give_up_is_overwritten_from_above_only(
    store: CountedStore, members: dict[str, object], shown: int
) -> None:
    """A reader refuses a lower sequence, and takes the same one for the same document."""
    web = signed(publication("web", 1, sequence=2))
    StorePublisher(store, lambda _: SEALING).publish(web)
    put(store, **members)
    publisher = StorePublisher(store, lambda _: SEALING)

    with pytest.raises(OutrunError, match=f"version 2 of jwks/web was changed by another hand.* {shown}$") as outrun:
        publisher.publish(web)
    assert outrun.value.sequence == shown
    assert published(store)["sequence"] == str(shown)
    above = signed(publication("web", 1, sequence=shown + 1))
    assert "it was overwritten" in (publisher.publish(above) or "")
    assert published(store) == encode_public(above.document)


def test_a_document_from_before_seals_is_sealed_without_a_word(store: CountedStore) -> None:
    """By the first save after; the standby still vouches for the signing document that it was made from."""
    vouching = replace(SEALING, vouched="f" * 64)
    StorePublisher(store).publish(publication("web", 1))
    web = signed(publication("web", 1, sequence=2))

    assert StorePublisher(store, lambda _: vouching).publish(web) == ""
    assert published(store) == encode_public(web.document)


def test_an_empty_set_from_before_seals_is_sealed_too(store: CountedStore) -> None:
    """Though nothing that verifiers read has changed."""
    StorePublisher(store).publish(publication("web"))
    StorePublisher(store, lambda _: replace(SEALING, vouched="f" * 64)).publish(signed(publication("web", sequence=2)))
    assert SEALING.fits(published(store))


def test_a_document_from_before_a_thaw_is_replaced_without_a_word(store: CountedStore) -> None:
    """It bears the former seal."""
    StorePublisher(store, lambda _: SEALING).publish(signed(publication("web", 1)))
    written = store.inner.load(Tree.JWKS, "web").committed_at
    web, thawed = publication("web", 1, sequence=2), Sealing(SecretText("1" * 64), thawed_at=written)
    web = replace(web, document=replace(web.document, seal=thawed.seal(encode_public(web.document))["seal"]))

    assert StorePublisher(store, lambda _: thawed).publish(web) == ""
    assert thawed.fits(published(store))


@pytest.mark.parametrize("sealed", [True, False])
def test_a_document_that_stays_ahead_of_the_signing_one_is_passed(store: CountedStore, sealed: bool) -> None:
    """Another daemon may have been faster, so only after P/4; one that moves on is ahead afresh."""
    now = [0.0]
    publisher = StorePublisher(store, lambda _: SEALING if sealed else NEVER_SEALED, lambda: now[0])
    web, later, latest, above = (publication("web", 1, sequence=n) for n in (5, 7, 8, 9))
    if sealed:
        web, later, latest, above = signed(web), signed(later), signed(latest), signed(above)
    publisher.publish(later)
    publisher = StorePublisher(store, lambda _: SEALING if sealed else NEVER_SEALED, lambda: now[0])
    assert publisher.publish(web) == ""
    put(store, **encode_public(latest.document))
    now[0] += P.total_seconds()
    assert publisher.publish(web) == ""
    now[0] += P.total_seconds()
    with pytest.raises(OutrunError, match="jwks/web had sequence 8, ahead of 5 in the signing document"):
        publisher.publish(web)
    publisher.publish(above)
    assert published(store) == encode_public(above.document)
    now[0] += P.total_seconds()
    assert publisher.publish(above) == ""


def test_a_document_of_a_newer_rotator_is_left_alone(store: CountedStore) -> None:
    """Sealed or not."""
    StorePublisher(store, lambda _: SEALING).publish(signed(publication("web", 1)))
    put(store, schema="2")
    with pytest.raises(PublicationError, match="upgrade rotator"):
        StorePublisher(store, lambda _: SEALING).publish(signed(publication("web", 1)))
