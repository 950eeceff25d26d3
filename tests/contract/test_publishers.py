"""
One suite over every place where verifiers find a JWKS, then what is special to each.
"""

import dataclasses
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from rotator.adapters.files.store import FileStore
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.file import FilePublisher
from rotator.adapters.jwks.http import HttpPublisher, VerifyUrls
from rotator.adapters.jwks.store import StorePublisher
from rotator.daemon.http_server import HttpServer, Response
from rotator.daemon.jwks_pages import JwksServer
from rotator.documents.jwk import EMPTY, parse_jwks
from rotator.errors import ConfigError, PublicationError
from rotator.model.document import Fields, Stored, Tree
from rotator.model.keys import Kid
from rotator.model.policy import max_age
from rotator.model.publication import Jwks
from rotator.ports.publisher import JwksPublisher
from tests.support.publications import P, jwks, kid, publication

OTHER = publication("other", 9)


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


@dataclass
class Place:
    """A publisher, what its consumers read there, and a way to spoil it."""

    publisher: JwksPublisher
    read: Callable[[str], str]
    spoil: Callable[[str, str], None] | None = None


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    """A store of files, counted."""
    return CountedStore(FileStore(tmp_path / "store"))


@pytest.fixture
def board() -> JwksCache:
    """A board that waits for two keysets, of which one has come."""
    made = JwksCache(["web", "other"])
    made.put(OTHER)
    return made


@pytest.fixture
def listener(board: JwksCache) -> Iterator[JwksServer]:
    """The real listener over the board."""
    server = JwksServer("127.0.0.1:0", board, ["web", "other"])
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["store", "combined file", "file each", "http"])
def place(
    request: pytest.FixtureRequest, store: CountedStore, board: JwksCache, listener: JwksServer, tmp_path: Path
) -> Iterator[Place]:
    """Every publisher that shows anything."""
    folder = tmp_path / "public"
    match request.param:
        case "store":

            def spoil(name: str, text: str) -> None:
                stored = store.inner.load(Tree.JWKS, name)
                assert stored.fields is not None
                store.inner.save(Tree.JWKS, name, {**stored.fields, "jwks": text}, stored.version)

            def read(name: str) -> str:
                return str((store.inner.load(Tree.JWKS, name).fields or {}).get("jwks", ""))

            yield Place(StorePublisher(store), read, spoil)
        case "http":
            publisher = HttpPublisher(board, lambda: f"http://{listener.address}")

            def shown(name: str) -> str:
                known = board.get(name)
                return known.document.jwks if known else ""

            yield Place(publisher, shown)
        case kind:
            template = folder / ("jwks.json" if kind == "combined file" else "{keyset}.json")
            files = FilePublisher(str(template), board)

            def path(name: str) -> Path:
                return Path(str(template).replace("{keyset}", name))

            yield Place(
                files,
                lambda name: path(name).read_text() if path(name).exists() else "",
                lambda name, text: (path(name).write_text(text), None)[1],
            )
            files.close()


# -- one suite over all ------------------------------------------------------------------------------------------------


def test_what_is_published_is_shown_and_confirmed(place: Place) -> None:
    """After publish every key is there, shown says so, and confirm returns."""
    web = publication("web", 1, 2)
    place.publisher.publish(web)
    assert parse_jwks(jwks(1, 2)).items() <= parse_jwks(place.read("web")).items()
    assert {kid(1), kid(2)} <= set(place.publisher.served_kids(web) or ())
    place.publisher.read_back(web)
    place.publisher.publish(web)
    place.publisher.read_back(web)


def test_nothing_is_confirmed_before_it_is_published(place: Place) -> None:
    """Confirming what is not there raises, and nothing is shown of it."""
    web = publication("web", 1)
    assert kid(1) not in (place.publisher.served_kids(web) or ())
    with pytest.raises(PublicationError):
        place.publisher.read_back(web)
    place.publisher.publish(web)
    with pytest.raises(PublicationError, match=kid(2)):
        place.publisher.read_back(publication("web", 1, 2, sequence=2))


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
    """Shared secrets are published nowhere; confirming them is no question."""
    place.publisher.publish(publication("web", 1))
    secrets = publication("internal")
    place.publisher.publish(secrets)
    place.publisher.read_back(secrets)
    assert not place.publisher.served_kids(secrets)
    assert place.read("internal") in {"", EMPTY, jwks(9, 1)}


@pytest.mark.parametrize("place", ["store", "combined file", "file each"], indirect=True)
def test_what_others_spoil_is_seen_and_repaired(place: Place) -> None:
    """A set that lost our keys, holds others under our kid, or is none at all: not confirmed; mended by publishing."""
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


# -- the store ---------------------------------------------------------------------------------------------------------


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
    publisher = StorePublisher(store, lambda: now[0])
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


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_file_can_be_read_by_a_web_server(board: JwksCache, tmp_path: Path) -> None:
    """Folder 0755 and file 0644 whatever the umask; byte-identical content is not written again."""
    path = tmp_path / "a" / "public" / "jwks.json"
    former = os.umask(0o077)
    try:
        publisher = FilePublisher(str(path), board)
        publisher.publish(publication("web", 1))
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.stat().st_ino
    publisher.publish(publication("web", 1, sequence=2))
    assert path.stat().st_ino == before
    publisher.close()


def test_the_combined_file_is_never_incomplete(tmp_path: Path) -> None:
    """It waits for every well-known keyset; what it shows is good until then, unless a key of it was revoked."""
    path, board = tmp_path / "jwks.json", JwksCache(["api", "other", "web"])
    publisher = FilePublisher(str(path), board)
    with pytest.raises(PublicationError, match="waits for the keys of api, other"):
        publisher.publish(publication("web", 1))
    assert not path.exists()
    board.mark_absent("api")
    publisher.publish(OTHER)
    assert list(parse_jwks(path.read_text())) == [kid(9), kid(1)]
    publisher.close()

    restarted = FilePublisher(str(path), JwksCache(["api", "other", "web"]))
    restarted.publish(publication("web", 1))
    with pytest.raises(PublicationError, match="waits for"):
        restarted.publish(publication("web", 1, sequence=2, revoked=(kid(9),)))
    with pytest.raises(PublicationError, match="waits for"):
        restarted.publish(publication("web", 1, 2, sequence=3))
    restarted.close()


def test_keysets_that_are_not_well_known_do_not_concern_the_combined_file(board: JwksCache, tmp_path: Path) -> None:
    """They are neither written, nor shown, nor asked for."""
    path = tmp_path / "jwks.json"
    publisher, private = FilePublisher(str(path), board), publication("internal", 3, well_known=False)
    publisher.publish(private)
    publisher.read_back(private)
    assert publisher.served_kids(private) is None
    publisher.publish(publication("web", 1))
    assert kid(3) not in path.read_text()
    publisher.close()


def test_one_process_owns_the_file(board: JwksCache, tmp_path: Path) -> None:
    """Another only looks: content with a file that shows its keys, and taking over when the owner is gone."""
    path = tmp_path / "jwks.json"
    program = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(fd, fcntl.LOCK_EX); print('owned', flush=True); sys.stdin.read()"
    )
    publisher = FilePublisher(str(path), board)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / ".jwks.json.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"owned\n"
        with pytest.raises(PublicationError, match="another process owns"):
            publisher.publish(publication("web", 1))
        assert not path.exists()
        path.write_text(jwks(1, 5))
        publisher.publish(publication("web", 1))
        publisher.read_back(publication("web", 1))
        assert path.read_text() == jwks(1, 5)
        owner.kill()
    publisher.publish(publication("web", 1))
    assert path.read_text() == jwks(9, 1)
    publisher.close()


def test_an_unsafe_place_is_refused(board: JwksCache, tmp_path: Path) -> None:
    """A link in the file's place, a folder others may write to, a name that cannot work."""
    (tmp_path / "jwks.json").symlink_to(tmp_path / "elsewhere")
    linked = FilePublisher(str(tmp_path / "jwks.json"), board)
    with pytest.raises(PublicationError, match="symbolic link"):
        linked.publish(publication("web", 1))
    linked.close()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PublicationError, match="chmod go-w"):
        FilePublisher(str(shared / "jwks.json"), board).publish(publication("web", 1))
    (tmp_path / "plain").write_text("")
    with pytest.raises(PublicationError, match="File exists"):
        FilePublisher(str(tmp_path / "plain" / "jwks.json"), board).publish(publication("web", 1))
    with pytest.raises(ConfigError, match="name of the file"):
        FilePublisher(str(tmp_path / "{keyset}" / "jwks.json"), board)


# -- the board ---------------------------------------------------------------------------------------------------------


def test_the_board_withholds_an_incomplete_combined_set() -> None:
    """Every well-known keyset must have come or be known to contribute nothing; never again is it withheld."""
    board = JwksCache(["api", "web"])
    assert board.missing() == ("api", "web")
    board.put(publication("web", 1))
    assert board.combined() is None
    board.mark_absent("api")
    combined = board.combined()
    assert combined is not None
    assert combined.jwks == jwks(1)
    board.put(publication("gone", 2))
    board.put(publication("hidden", 3, well_known=False))
    board.put(publication("secrets"))
    union = board.combined()
    assert union is not None
    assert union.jwks == jwks(2, 1)
    assert union.max_age == max_age(publication("web", 1).timing)


def test_the_combined_set_lives_as_short_as_its_shortest_member() -> None:
    """A verifier of the slower keyset may cache no longer than one of the faster."""
    board = JwksCache(["api", "web"])
    board.put(publication("api", 1, propagation=P))
    board.put(publication("web", 2, propagation=P / 5))
    combined = board.combined()
    assert combined is not None
    assert combined.max_age == 5


def test_one_kid_for_two_keys_is_refused_and_takes_nothing_away() -> None:
    """The combined set stays as it last was; one key in two keysets appears once."""
    board = JwksCache(["api", "web"])
    board.put(publication("api", 1))
    board.put(publication("web", 1, 2))
    combined = board.combined()
    assert combined is not None
    assert combined.jwks == jwks(1, 2)
    clash = json.loads(jwks(3))
    clash["keys"][0]["kid"] = kid(1)
    document = dataclasses.replace(publication("web", 1).document, sequence=2, jwks=Jwks(json.dumps(clash)))
    with pytest.raises(PublicationError, match="well_known = false"):
        board.put(dataclasses.replace(publication("web", 1), document=document))
    assert board.combined() == combined


@pytest.mark.parametrize("text", [EMPTY, "", "null", '{"keys":[{"kty":"oct","kid":"a"}]}', '{"keys":[{"kid":"a"}]}'])
def test_the_board_takes_nothing_unfit(text: str) -> None:
    """An empty set for an asymmetric keyset, no set, a symmetric key, a key without a type."""
    board, web = JwksCache([]), publication("web", 1)
    with pytest.raises(PublicationError, match="web"):
        board.put(dataclasses.replace(web, document=dataclasses.replace(web.document, jwks=Jwks(text))))
    assert board.get("web") is None


# -- addresses served by others ----------------------------------------------------------------------------------------


@dataclass
class Elsewhere:
    """A web server that somebody else runs."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def respond(self, path: str, headers: Mapping[str, str]) -> Response:
        """Answer as it was told to."""
        self.asked.append((path, headers.get("Cache-Control")))
        return Response(self.status, self.headers, self.body)


@pytest.fixture
def elsewhere() -> Elsewhere:
    """What it serves."""
    return Elsewhere(jwks(1).encode())


@pytest.fixture
def base(elsewhere: Elsewhere) -> Iterator[str]:
    """Its address."""
    server = HttpServer("127.0.0.1:0", elsewhere.respond, "test")
    server.start()
    yield f"http://{server.address}"
    server.stop()


def test_addresses_are_read_back_past_caches(elsewhere: Elsewhere, base: str) -> None:
    """Each address is asked with no-cache; one that names the keyset concerns every keyset, others the well-known."""
    urls = VerifyUrls([f"{base}/{{keyset}}.json?x=1", f"{base}/all.json"])
    urls.read_back(publication("web", 1))
    urls.read_back(publication("hidden", 1, well_known=False))
    urls.read_back(publication("secrets"))
    urls.publish(publication("web", 2))
    assert urls.served_kids(publication("web", 2)) is None
    assert elsewhere.asked == [("/web.json", "no-cache"), ("/all.json", "no-cache"), ("/hidden.json", "no-cache")]


def test_other_keys_and_members_do_not_matter(elsewhere: Elsewhere, base: str) -> None:
    """A shared address may hold what it likes beside our keys."""
    document = json.loads(jwks(5, 1))
    document["keys"][1]["x5t"] = "extra"
    document["keys"].append({"kty": "EC", "nokid": True})
    elsewhere.body = json.dumps(document | {"issuer": "x"}).encode()
    VerifyUrls([base]).read_back(publication("web", 1))


def test_what_a_verifier_would_trip_over_is_not_confirmed(elsewhere: Elsewhere, base: str) -> None:
    """A missing key, a second one under its kid, a redirect, an error, no JSON, compression, too much of it."""
    twice = json.loads(jwks(1, 2))
    twice["keys"][1]["kid"] = kid(1)
    bad: list[tuple[Elsewhere, str]] = [
        (Elsewhere(jwks(2).encode()), "does not show"),
        (Elsewhere(json.dumps(twice).encode()), "another key"),
        (Elsewhere(jwks(1).encode(), HTTPStatus.FOUND, {"Location": "/there"}), "redirects"),
        (Elsewhere(jwks(1).encode(), HTTPStatus.NOT_MODIFIED), "redirects"),
        (Elsewhere(jwks(1).encode(), HTTPStatus.NOT_FOUND), "answered 404"),
        (Elsewhere(jwks(1).encode(), HTTPStatus.ACCEPTED), "answered 202"),
        (Elsewhere(b"<html>"), "no JWKS"),
        (Elsewhere(b"\xff\xfe"), "no JWKS"),
        (Elsewhere(jwks(1).encode(), headers={"Content-Encoding": "gzip"}), "compressed"),
        (Elsewhere(jwks(1).encode() + b" " * (1 << 20)), "more than"),
    ]
    for answer, said in bad:
        elsewhere.body, elsewhere.status, elsewhere.headers = answer.body, answer.status, answer.headers
        with pytest.raises(PublicationError, match=said):
            VerifyUrls([base]).read_back(publication("web", 1))


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_server_that_drips_is_given_up(greeting: bytes) -> None:
    """The time is bounded as a whole: a byte now and then gains nothing."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                while not done.wait(0.05):
                    try:
                        connection.sendall(b"X")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(PublicationError, match=r"did not answer within 0\.\d+ s"):
            VerifyUrls([f"http://127.0.0.1:{server.getsockname()[1]}/"], timeout=0.5).read_back(publication("web", 1))
        assert time.monotonic() - begun < 2
        thread.join(5)
        assert not thread.is_alive(), "the connection was not given up"
        done.set()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://[::1/", "ftp://127.0.0.1/", "http:///x", "http://h:x/"],
)
def test_an_address_that_cannot_be_read_is_named(url: str) -> None:
    """Nobody listens, or it is none."""
    with pytest.raises(PublicationError, match=r"^(http|https|ftp):"):
        VerifyUrls([url], timeout=2).read_back(publication("web", 1))


def test_an_address_with_a_password_is_not_repeated() -> None:
    """The message holds nothing of it."""
    with pytest.raises(PublicationError) as caught:
        VerifyUrls(["http://user:hunter2@127.0.0.1/"]).read_back(publication("web", 1))
    assert "hunter2" not in str(caught.value)


def test_our_own_listener_must_show_both_sets(board: JwksCache, listener: JwksServer) -> None:
    """A well-known keyset is confirmed under its own path and the combined one."""
    waiting = JwksCache(["web", "late"])
    server = JwksServer("127.0.0.1:0", waiting, ["web", "late"])
    server.start()
    try:
        publisher, web = HttpPublisher(waiting, lambda: f"http://{server.address}"), publication("web", 1)
        assert publisher.served_kids(web) is None
        publisher.publish(web)
        with pytest.raises(PublicationError, match="answered 503"):
            publisher.read_back(web)
        waiting.put(publication("late", 2))
        publisher.read_back(web)
    finally:
        server.stop()
    assert HttpPublisher(board, lambda: f"http://{listener.address}").served_kids(publication("new", 1)) is None
