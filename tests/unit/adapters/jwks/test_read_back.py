"""
What counts as "every key of ours is there".
"""

import json
from typing import Any

import pytest

from rotator.adapters.jwks.read_back import fetch, require_keys
from rotator.errors import PublicationError
from tests.support.peer import Peer, answer
from tests.support.publications import jwks, kid, publication

WEB = publication("web", 1, 2)


def changed(**members: Any) -> str:
    """Return our set with other members in its first key."""
    document = json.loads(jwks(1, 2))
    document["keys"][0] |= members
    return json.dumps(document)


@pytest.mark.parametrize("text", [jwks(1, 2), jwks(2, 1, 3), changed(x5t="theirs", key_ops=["verify"])])
def test_what_a_verifier_finds_is_accepted(text: str) -> None:
    """Any order, other keys, other members."""
    require_keys(WEB, text, "there")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (jwks(1), f"there does not show kid {kid(2)}"),
        (changed(n="AQAB"), f"there shows another key under kid {kid(1)}"),
        (changed(alg="PS256"), "another key"),
        ("", "there shows no JWKS"),
        ("[]", "no JWKS"),
        ('{"keys": [1]}', "no JWKS"),
        ("[" * 100_000, "no JWKS"),
    ],
    ids=["key missing", "another key", "another algorithm", "empty", "a list", "no JWK", "too deep"],
)
def test_what_a_verifier_would_trip_over_is_refused(text: str, said: str) -> None:
    """The error names the place and the kid."""
    with pytest.raises(PublicationError, match=said):
        require_keys(WEB, text, "there")


def test_a_second_key_under_our_kid_is_refused() -> None:
    """A verifier might pick the wrong one."""
    document = json.loads(jwks(1, 2))
    document["keys"].append(document["keys"][1] | {"kid": kid(1)})
    with pytest.raises(PublicationError, match="another key"):
        require_keys(WEB, json.dumps(document), "there")


def test_fetch_passes_caches_and_asks_for_plain_text() -> None:
    """Shared caches are told to ask the origin, in both dialects of HTTP."""
    with Peer(lambda _: answer(200, jwks(1))) as peer:
        assert fetch(peer.address, 5) == jwks(1).encode()
        headers = peer.requests[0].headers
    assert (headers["cache-control"], headers["pragma"]) == ("no-cache", "no-cache")
    assert (headers["accept-encoding"], headers["user-agent"]) == ("identity", "rotator")
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(301, headers={"Location": "/"}), "redirects"),
        (answer(304), "redirects"),
        (answer(500), "answered 500"),
        (answer(200, "x", headers={"Content-Encoding": "br"}), "compressed"),
        (answer(200, b" " * ((1 << 20) + 1)), "cannot be read: more than 1048576 bytes"),
        (b"nonsense\r\n\r\n", "cannot be read"),
    ],
)
def test_an_answer_that_is_no_jwks_is_named(given: bytes, said: str) -> None:
    """Each with the address and what is wrong with it."""
    with Peer(lambda _: given) as peer, pytest.raises(PublicationError, match=f"^{peer.address} .*{said}"):
        fetch(peer.address, 5)
