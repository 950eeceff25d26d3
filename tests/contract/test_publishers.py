"""
One suite over every JwksPublisher: each place where verifiers find a JWKS, and the fake that other tests use.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotator.adapters.files.store import FileStore
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.file import FilePublisher
from rotator.adapters.jwks.http import HttpPublisher
from rotator.adapters.jwks.store import StorePublisher
from rotator.documents.jwk import EMPTY, parse_jwks
from rotator.errors import KeyMaterialError, PublicationError
from rotator.model.document import Tree
from rotator.model.publication import Jwks
from rotator.ports.publisher import JwksPublisher
from tests.support.fakes import ManualClock, MemoryPublisher
from tests.support.listeners import JwksServer
from tests.support.publications import jwks, kid, publication

OTHER = publication("other", 9)


@dataclass
class Place:
    """A publisher, what its consumers read there, and a way to spoil it."""

    publisher: JwksPublisher
    read: Callable[[str], str]
    spoil: Callable[[str, str], None] | None = None


def _store(folder: Path) -> Place:
    store = FileStore(folder / "store")

    def read(name: str) -> str:
        return str((store.load(Tree.JWKS, name).fields or {}).get("jwks", ""))

    def spoil(name: str, text: str) -> None:
        stored = store.load(Tree.JWKS, name)
        assert stored.fields is not None
        store.save(Tree.JWKS, name, {**stored.fields, "jwks": text}, stored.version)

    return Place(StorePublisher(store), read, spoil)


def _memory() -> Place:
    publisher = MemoryPublisher(ManualClock())

    def read(name: str) -> str:
        visible = publisher.visible(name)
        return visible.document.jwks if visible else ""

    def spoil(name: str, text: str) -> None:
        visible = publisher.visible(name)
        assert visible is not None
        try:
            parse_jwks(text)
        except KeyMaterialError:
            publisher.lose(name)
        else:
            publisher.serve(
                dataclasses.replace(visible, document=dataclasses.replace(visible.document, jwks=Jwks(text)))
            )

    return Place(publisher, read, spoil)


def _files(template: Path, cache: JwksCache) -> Place:
    def path(name: str) -> Path:
        return Path(str(template).replace("{keyset}", name))

    def read(name: str) -> str:
        return path(name).read_text() if path(name).exists() else ""

    def spoil(name: str, text: str) -> None:
        path(name).write_text(text)

    return Place(FilePublisher(str(template), cache), read, spoil)


def _http(cache: JwksCache, listener: JwksServer) -> Place:
    def read(name: str) -> str:
        known = cache.get(name)
        return known.document.jwks if known else ""

    return Place(HttpPublisher(cache, lambda: f"http://{listener.address}"), read)


@pytest.fixture(name="place", params=["store", "combined file", "file each", "http", "memory"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return every publisher that serves anything."""
    cache = JwksCache(["web", "other"])
    cache.put(OTHER)
    match request.param:
        case "store":
            yield _store(tmp_path)
        case "memory":
            yield _memory()
        case "http":
            listener = JwksServer("127.0.0.1:0", cache, ["web", "other"])
            listener.start()
            yield _http(cache, listener)
            listener.close()
        case kind:
            name = "jwks.json" if kind == "combined file" else "{keyset}.json"
            place = _files(tmp_path / "public" / name, cache)
            yield place
            place.publisher.close()


def test_what_is_published_is_shown_and_confirmed(place: Place) -> None:
    """After publish every key is there, `served_kids` says so, and `read_back` returns."""
    web = publication("web", 1, 2)
    place.publisher.publish(web)
    assert parse_jwks(jwks(1, 2)).items() <= parse_jwks(place.read("web")).items()
    assert {kid(1), kid(2)} <= set(place.publisher.served_kids(web) or ())
    place.publisher.read_back(web)
    place.publisher.publish(web)
    place.publisher.read_back(web)


def test_nothing_is_confirmed_before_it_is_published(place: Place) -> None:
    """Reading back what is not there raises, and no kid of it is served."""
    web = publication("web", 1)
    assert kid(1) not in (place.publisher.served_kids(web) or ())
    with pytest.raises(PublicationError):
        place.publisher.read_back(web)
    place.publisher.publish(web)
    with pytest.raises(PublicationError, match=kid(2)):
        place.publisher.read_back(publication("web", 1, 2, sequence=2))


def test_a_withdrawn_keyset_is_served_no_more(place: Place) -> None:
    """Others still are. The store's document is not the publisher's to remove: it goes with the keyset."""
    place.publisher.publish(publication("web", 1))
    place.publisher.publish(OTHER)
    place.publisher.withdraw("web")
    place.publisher.withdraw("web")
    if not isinstance(place.publisher, StorePublisher):
        assert kid(1) not in place.read("web")
    assert kid(9) in place.read("other")


def test_a_later_publication_replaces_and_an_earlier_does_not(place: Place) -> None:
    """Keys come and go with the sequence; a daemon that lags behind takes nothing back."""
    first, second = publication("web", 1, 2, sequence=1), publication("web", 2, 3, sequence=2)
    place.publisher.publish(first)
    place.publisher.publish(second)
    after = place.read("web")
    assert kid(1) not in after
    place.publisher.publish(first)
    assert place.read("web") == after
    place.publisher.read_back(second)


def test_another_epoch_replaces_whatever_its_sequence(place: Place) -> None:
    """A keyset made anew begins again at one."""
    place.publisher.publish(publication("web", 1, sequence=40))
    again = publication("web", 2, sequence=1, epoch="epoch-2")
    place.publisher.publish(again)
    assert kid(1) not in place.read("web")
    place.publisher.read_back(again)


def test_a_symmetric_keyset_shows_no_key_and_needs_no_proof(place: Place) -> None:
    """Shared secrets are published nowhere; there is nothing to read back."""
    place.publisher.publish(publication("web", 1))
    secrets = publication("internal")
    place.publisher.publish(secrets)
    place.publisher.read_back(secrets)
    assert not place.publisher.served_kids(secrets)
    assert place.read("internal") in {"", EMPTY, jwks(9, 1)}


@pytest.mark.parametrize("place", ["store", "combined file", "file each", "memory"], indirect=True)
def test_what_others_spoil_is_seen_and_repaired(place: Place) -> None:
    """A set that lost our keys, holds others under our kid, or is none at all: found by reading back, mended by publishing."""
    assert place.spoil is not None
    web = publication("web", 1, 2)
    forged = json.loads(jwks(1, 2))
    forged["keys"][1]["n"] = json.loads(jwks(3))["keys"][0]["n"]
    for text in (jwks(1), json.dumps(forged), EMPTY, "", "[]", '{"keys":{"a":1}}', "[" * 100_000):
        place.publisher.publish(web)
        place.spoil("web", text)
        with pytest.raises(PublicationError):
            place.publisher.read_back(web)
        place.publisher.served_kids(web)
        place.publisher.publish(web)
        place.publisher.read_back(web)


def test_a_private_set_never_leaves(place: Place) -> None:
    """The final bytes are scanned wherever this process shows them itself."""
    web = publication("web", 1)
    leaky = json.loads(web.document.jwks)
    leaky["keys"][0]["d"] = "c2VjcmV0"
    document = dataclasses.replace(web.document, jwks=Jwks(json.dumps(leaky)))
    with pytest.raises(PublicationError):
        place.publisher.publish(dataclasses.replace(web, document=document))
    assert "c2VjcmV0" not in place.read("web")
