"""
The JWKS over HTTP: our own listener, and addresses that others serve.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.fetches import Fetches
from rotator.adapters.jwks.http import HttpPublisher, VerifyUrls
from rotator.daemon.http_message import Request, Response
from rotator.daemon.http_server import HttpServer
from rotator.errors import PublicationError
from tests.support.listeners import JwksServer
from tests.support.publications import jwks, kid, publication


@dataclass
class Elsewhere:
    """A web server that somebody else runs."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def respond(self, request: Request) -> Response:
        """Answer as it was told to."""
        self.asked.append((request.path, request.headers.get("cache-control")))
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
    server.close()


def test_addresses_are_read_back_past_caches(elsewhere: Elsewhere, base: str) -> None:
    """Each address is asked with no-cache; one that names the keyset concerns every keyset, others the well-known."""
    urls = VerifyUrls([f"{base}/{{keyset}}.json?x=1", f"{base}/all.json"])
    urls.read_back(publication("web", 1))
    urls.read_back(publication("hidden", 1, well_known=False))
    urls.read_back(publication("secrets"))
    urls.publish(publication("web", 2))
    assert urls.served_kids(publication("web", 2)) is None
    assert sorted(elsewhere.asked) == [
        ("/all.json", "no-cache"),
        ("/hidden.json", "no-cache"),
        ("/web.json", "no-cache"),
    ]


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
        urls = VerifyUrls([f"http://127.0.0.1:{server.getsockname()[1]}/"], Fetches(timeout=0.5))
        with pytest.raises(PublicationError, match=r"did not answer within 0\.\d+ s"):
            urls.read_back(publication("web", 1))
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
        VerifyUrls([url], Fetches(timeout=2)).read_back(publication("web", 1))


def test_an_address_with_a_password_is_not_repeated() -> None:
    """The message holds nothing of it."""
    with pytest.raises(PublicationError) as caught:
        VerifyUrls(["http://user:hunter2@127.0.0.1/"]).read_back(publication("web", 1))
    assert "hunter2" not in str(caught.value)


def test_our_own_listener_must_show_both_sets() -> None:
    """A well-known keyset is read back under its own path and the combined one."""
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
        server.close()
    assert publisher.served_kids(publication("new", 1)) is None
