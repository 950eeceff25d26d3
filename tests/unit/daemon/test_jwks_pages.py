"""
The public listener's answers, as values; over a socket once.
"""

import re

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.daemon.http_message import Request, Response
from rotator.daemon.jwks_pages import JwksPages, render, unless_cached
from tests.support.http_caller import ask, running
from tests.support.listeners import JwksServer
from tests.support.publications import jwks, publication

WEB = "/keysets/web/jwks.json"
COMBINED = "/.well-known/jwks.json"
NAMES = ["web", "late", "hidden", "secrets"]


@pytest.fixture
def cache() -> JwksCache:
    """
    A well-known keyset, a hidden one and one of shared secrets; `late` is still awaited.
    """
    made = JwksCache(["web", "late"])
    made.put(publication("web", 1, 2))
    made.put(publication("hidden", 3, well_known=False))
    made.put(publication("secrets"))
    return made


@pytest.fixture
def pages(cache: JwksCache) -> JwksPages:
    """
    What the listener over that cache answers.
    """
    return JwksPages(cache, NAMES)


def get(path: str, known: str | None = None) -> Request:
    """A request; *known* is the tag of what the caller has."""
    return Request("GET", path, {} if known is None else {"if-none-match": known})


def status(response: Response) -> int:
    """The status as a number."""
    return response.status.value


def test_a_set_is_rendered_to_be_cached() -> None:
    """The exact bytes, the registered type (RFC 7517 section 8.5), and a tag that follows the content."""
    page, other = render(jwks(1), 25), render(jwks(2), 25)
    assert (status(page), page.body) == (200, jwks(1).encode())
    assert page.headers["Content-Type"] == "application/jwk-set+json"
    assert page.headers["Cache-Control"] == "public, max-age=25"
    assert re.fullmatch(r'"[0-9a-f]{32}"', page.headers["ETag"])
    assert page.headers["ETag"] == render(jwks(1), 30).headers["ETag"] != other.headers["ETag"]


@pytest.mark.parametrize("known", ["{}", "W/{}", '"x", {}', '"x",{} ', "*"])
def test_what_the_caller_has_is_not_sent_again(known: str) -> None:
    """304 with the caching headers and no type (RFC 9110 section 13.1.2)."""
    page = render(jwks(1), 25)
    tag = page.headers["ETag"]
    answer = unless_cached(page, get(WEB, known.format(tag)))
    assert (status(answer), answer.body) == (304, b"")
    assert answer.headers == {
        "Cache-Control": "public, max-age=25",
        "ETag": tag,
        "Access-Control-Allow-Origin": "*",
    }


@pytest.mark.parametrize("known", [None, "", '"other", W/"more"'])
def test_what_the_caller_lacks_is_sent(known: str | None) -> None:
    """The page itself."""
    page = render(jwks(1), 25)
    assert unless_cached(page, get(WEB, known)) is page


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (WEB, 200),
        ("/keysets/hidden/jwks.json", 200),
        ("/keysets/late/jwks.json", 503),
        ("/keysets/secrets/jwks.json", 404),
        ("/keysets/unknown/jwks.json", 404),
        (WEB + "/", 404),
        ("/keysets//jwks.json", 404),
        ("/keysets/../keysets/web/jwks.json", 404),
        ("/keysets/web", 404),
        ("/keysets/jwks.json", 404),
        (COMBINED, 503),
        ("/metrics", 404),
        ("/", 404),
        ("*", 404),
    ],
)
def test_what_is_on_its_way_is_503_and_what_is_not_served_404(pages: JwksPages, path: str, expected: int) -> None:
    """Neither is cached; only what is on its way says when to ask again."""
    answer = pages.respond(get(path))
    assert status(answer) == expected
    assert ("Retry-After" in answer.headers) == (expected == 503)
    assert (answer.headers["Cache-Control"] == "no-store") == (expected != 200)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_the_combined_set_comes_when_it_is_whole(cache: JwksCache, pages: JwksPages) -> None:
    """503 until the last well-known keyset is there; hidden keysets are never in it."""
    cache.put(publication("late", 4))
    answer = pages.respond(get(COMBINED))
    assert answer.body == jwks(4, 1, 2).encode()
    assert status(pages.respond(get(COMBINED, answer.headers["ETag"]))) == 304


def test_without_a_well_known_keyset_there_is_no_combined_set() -> None:
    """404: nothing is on its way."""
    assert status(JwksPages(JwksCache([]), ["hidden"]).respond(get(COMBINED))) == 404


def test_a_set_is_rendered_once_for_each_publication(cache: JwksCache, pages: JwksPages) -> None:
    """Every caller gets the same value, until another is published."""
    first = pages.respond(get(WEB))
    assert pages.respond(get(WEB)) is first
    cache.put(publication("web", 2, sequence=2))
    assert pages.respond(get(WEB)).body == jwks(2).encode()


def test_scripts_of_every_origin_may_read_a_public_document(cache: JwksCache) -> None:
    """A preflight is answered, for it may carry a header of the script's; nothing but reading is allowed."""
    with running(server := JwksServer("127.0.0.1:0", cache, NAMES)):
        reply = ask(server, WEB, "OPTIONS", Origin="https://app.example", Access_Control_Request_Method="GET")
        refused = ask(server, WEB, "POST")
    assert (reply.status, reply.body) == (204, b"")
    assert "content-length" not in reply.headers
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "access-control-allow-credentials" not in reply.headers
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_the_listener_serves_the_pages(cache: JwksCache) -> None:
    """At the address that was configured."""
    with running(server := JwksServer("127.0.0.1:0", cache, NAMES)):
        assert ask(server, WEB).body == jwks(1, 2).encode()
