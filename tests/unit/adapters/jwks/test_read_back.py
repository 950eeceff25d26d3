"""
What counts as "every key of ours is there".
"""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.adapters.jwks.read_back import Answer, fetch, remarks, require_keys
from rotator.client.jose.keys import keys_of_jwks
from rotator.documents.served_jwks import PRIVATE_MEMBERS, read_jwks
from rotator.errors import KeyMaterialError, PrivateKeyPublishedError, PublicationError
from tests.support.peer import Peer, answer
from tests.support.publications import jwks, kid, publication

WEB = publication("web", 1, 2)


def changed(**members: Any) -> str:
    """Return our set with other members in its first key."""
    document = json.loads(jwks(1, 2))
    document["keys"][0] |= members
    return json.dumps(document)


def member(number: int, **changes: Any) -> dict[str, Any]:
    """Return the entry of a key pair, with changes."""
    return json.loads(jwks(number))["keys"][0] | changes


def beside(*others: object) -> str:
    """Return our set with other entries before and behind it."""
    return json.dumps({"keys": [*others, *json.loads(jwks(1, 2))["keys"], *others]})


UNFIT: dict[str, list[object]] = {
    "another issuer's key": [member(3)],
    "one without kid": [member(3, kid=None), {"kty": "EC"}],
    "two of another issuer under one kid": [member(3, kid="x"), member(4, kid="x")],
    "one of 1024 bits": [member(3, n="_" * 171)],
    "a secret": [{"kty": "oct", "kid": "x", "k": "AA"}],
    "another kind": [{"kty": "AKP", "kid": "x", "alg": "ML-DSA-65", "pub": "AA"}, {"kty": ["RSA"], "kid": "x"}],
    "no algorithm": [{name: value for name, value in member(3).items() if name != "alg"}],
    "for encryption": [member(3, use="enc"), member(4, key_ops=["encrypt"])],
    "with a certificate": [member(3, x5c=["MIIB"], x5t="x")],
    "a private key of another": [member(3, d="AQ", p="AQ")],
    "no objects": [1, None, "x", [], True],
    "very many": [{"kid": "x"}] * 50_000,
    "our own again": [member(1), member(2)],
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_others_list_beside_our_keys_does_not_matter(name: str) -> None:
    """To the confirmation as little as to services, which read the very same keys."""
    body = beside(*UNFIT[name]).encode()
    require_keys(WEB, body, "there")
    assert {kid(1), kid(2)} <= keys_of_jwks(body).keys()


@pytest.mark.parametrize("text", [jwks(1, 2), jwks(2, 1, 3), changed(x5t="theirs", key_ops=["verify"], d=None)])
def test_what_a_verifier_finds_is_accepted(text: str) -> None:
    """Any order, other keys, other members."""
    require_keys(WEB, text, "there")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (jwks(1), f"there does not show kid {kid(2)}"),
        (changed(n="AQAB"), f"there shows another key under kid {kid(1)}"),
        (
            changed(alg="PS256"),
            f"shows kid {kid(1)} so that no service can use it: it is for another algorithm than RS256",
        ),
        (changed(alg=None), "it does not say its algorithm"),
        (changed(use="enc"), "it is not for verifying signatures"),
        (changed(key_ops=["sign"]), "it is not for verifying signatures"),
        (changed(use="sig ", key_ops=["verify"]), "it is not for verifying signatures"),
        (
            json.dumps({"keys": [{k: v for k, v in member(n).items() if k != "use"} for n in (1, 2)]}),
            "it differs in use",
        ),
        (beside({"kty": "EC", "kid": kid(2)}), f"shows another key under kid {kid(2)}"),
        (b"\xff" + jwks(1, 2).encode(), "no JWKS"),
        ("", "there shows no JWKS"),
        ("[]", "no JWKS"),
        ('{"keys": [1]}', f"does not show kid {kid(1)}"),
        ('{"keys": {"a": 1}}', "no JWKS"),
        ("[" * 100_000, "no JWKS"),
    ],
    ids=range(15),
)
def test_what_a_verifier_would_trip_over_is_refused(text: str | bytes, said: str) -> None:
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
        assert fetch(peer.address, 5) == Answer(jwks(1).encode())
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


# -- private keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRIVATE_MEMBERS))
@pytest.mark.parametrize("where", ["ours", "a copy of ours", "our kid", "our modulus"])
def test_a_private_member_of_a_key_of_ours_is_a_leak(name: str, where: str) -> None:
    """In our entry, beside it, under our kid with nothing else, or under another kid; the value is in no message."""
    leak = {name: "CANARY"}
    sets: dict[str, list[object]] = {
        "ours": [member(1) | leak, member(2)],
        "a copy of ours": [member(1), member(2), member(1) | leak],
        "our kid": [member(1), {"kty": "AKP", "kid": kid(1)} | leak, member(2)],
        "our modulus": [member(1), member(2), {"n": member(1)["n"], "kid": "copy"} | leak],
    }
    with pytest.raises(PrivateKeyPublishedError, match=f"^there shows the private key of kid {kid(1)}$") as caught:
        require_keys(WEB, json.dumps({"keys": sets[where]}), "there")
    assert caught.value.kids == (kid(1),)
    assert kid(1) not in keys_of_jwks(json.dumps({"keys": [*sets[where], member(3)]}))


def test_every_key_that_leaks_is_named() -> None:
    """Even if the set lacks others of ours, and if the keys stand there as PEM."""
    leaks = [member(2, d="AQ"), member(1, key="-----BEGIN RSA PRIVATE KEY-----")]
    with pytest.raises(PrivateKeyPublishedError, match=f"kid {kid(1)} and {kid(2)}"):
        require_keys(publication("web", 1, 2, 3), json.dumps({"keys": leaks}), "there")


def test_a_private_key_of_a_stranger_is_only_remarked() -> None:
    """It says nothing of our keys. Neither does it of one that is not ours any more."""
    answer_ = Answer(beside(member(3, d="CANARY"), {"kty": "oct", "k": "CANARY"}).encode())
    served = require_keys(WEB, answer_.body, "there")
    (said,) = remarks(WEB, answer_, served, "there")
    assert said.startswith(f"there shows a private key that is none of web (kid , {kid(3)}): ")
    assert "CANARY" not in said


# -- what is remarked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "much"), [(None, False), (0, False), (25, False), (26, True), (10**6, True)])
def test_caches_that_may_keep_a_set_for_long_are_remarked(age: int | None, much: bool) -> None:
    """P is 100 s, so a quarter of it is what the guarantees count on."""
    answer_ = Answer(jwks(1, 2).encode(), age)
    said = list(remarks(WEB, answer_, read_jwks(answer_.body), "there"))
    assert [text.startswith(f"there lets caches keep it for {age} s (max-age)") for text in said] == [True] * much


def test_the_age_of_an_answer_is_read() -> None:
    """As caches read it."""
    with Peer(lambda _: answer(200, jwks(1), headers={"Cache-Control": "public, Max-Age=77"})) as peer:
        assert fetch(peer.address, 5).max_age == 77


# -- confirmed is what services can use --------------------------------------------------------------------------------

KINDS = st.sampled_from(["RSA", "EC", "oct", "OKP", "AKP", "rsa", "", None, 1, ["RSA"]])
TEXTS = st.sampled_from([kid(1), kid(2), kid(3), "", "x", None, 7, ["x"]])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "kid": TEXTS,
        "kty": KINDS,
        "alg": st.sampled_from(["RS256", "RS512", "HS256", None, "", ["RS256"], {}]),
        "use": st.sampled_from(["sig", "enc", "", None, 1]),
        "key_ops": st.sampled_from([["verify"], ["sign"], [], None, "verify", [["verify"]], [{}]]),
        "n": st.sampled_from([member(1)["n"], member(2)["n"], member(1)["n"] + "=", "AQ", "", None, "_" * 342, 3]),
        "e": st.sampled_from(["AQAB", "AQAB==", "AAEAAQ", "Ag", "AQ", "", None, "!"]),
        "d": st.sampled_from(["AQ", None, ""]),
        "k": st.sampled_from(["AQ", None]),
        "x5c": st.just(["MIIB"]),
        "junk": st.text(max_size=3),
    },
)
ENTRIES = st.one_of(
    st.builds(member, st.sampled_from([1, 2, 3])),
    st.builds(lambda number, changes: member(number) | changes, st.sampled_from([1, 2, 3]), CHANGES),
    CHANGES,
    st.sampled_from([None, 1, "x", [], [[]], True, {}]),
)


# What may be added to our own entry on its way.
ADDED = st.fixed_dictionaries(
    {},
    optional={
        "key_ops": st.sampled_from([["verify"], ["sign"], [], None, "verify", ["verify", "sign"]]),
        "d": st.sampled_from(["AQ", None, ""]),
        "x5c": st.just(["MIIB"]),
        "kid": st.sampled_from([kid(1), kid(2), "x"]),
    },
)


def served(entries: list[object], encoding: str, keys: str) -> bytes:
    """Return these entries as a server might send them."""
    return json.dumps({"issuer": "x", keys: entries}, ensure_ascii=False).encode(encoding, "surrogatepass")


@settings(max_examples=400, deadline=None)
@given(
    added=st.tuples(st.one_of(st.just({}), ADDED), st.just({})),
    entries=st.lists(ENTRIES, max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    name=st.sampled_from(["keys", "keys", "keys", "Keys"]),
    spoil=st.sampled_from([b"", b"", b"", b"\xff", b"}"]),
)
def test_whatever_is_served_confirmed_means_that_services_can_use_it(
    added: tuple[dict[str, Any], dict[str, Any]], entries: list[object], encoding: str, name: str, spoil: bytes
) -> None:
    """Every key of ours, with its algorithm, and with our numbers."""
    try:
        body = served([member(1) | added[0], *entries, member(2) | added[1]], encoding, name) + spoil
    except UnicodeEncodeError:
        return
    try:
        require_keys(WEB, body, "there")
    except PublicationError:
        return
    found = keys_of_jwks(body)
    ours = keys_of_jwks(jwks(1, 2))
    for one, key in ours.items():
        assert found[one].algorithm is key.algorithm
        assert found[one]._key.as_dict(private=False)["n"] == key._key.as_dict(private=False)["n"]
        assert found[one]._key.as_dict(private=False)["e"] == key._key.as_dict(private=False)["e"]


@settings(max_examples=200, deadline=None)
@given(body=st.one_of(st.binary(max_size=60), st.builds(lambda cut: jwks(1, 2).encode()[:cut], st.integers(0, 700))))
def test_whatever_is_no_set_is_a_publication_error(body: bytes) -> None:
    """And an error of the key's material for services; nothing else is raised."""
    with pytest.raises(PublicationError):
        require_keys(WEB, body, "there")
    with contextlib.suppress(KeyMaterialError):
        keys_of_jwks(body)
