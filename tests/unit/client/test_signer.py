"""
What is signed is accepted by a verifier; what a verifier would refuse is not signed.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest

from rotator.client import ACCESS, REFRESH, Provider, Signer, SigningError, StaticKeys, Verifier
from rotator.client.jose.keys import keys_of
from rotator.documents.signing import decode_keyset
from tests.support.attacks import TYPE
from tests.support.forgery import AUDIENCE, ISSUER, NOW, SECRET, TIMING, FixedKeys, keys_for, outcome, rsa_forge
from tests.unit.documents.test_signing import golden


def of_a_secret(_: str) -> Provider:
    """
    Return a secret without a kid.
    """
    return StaticKeys(SECRET, timing=TIMING)


def of_a_keyset(name: str) -> Provider:
    """
    Return the keys of a golden signing document.
    """
    return FixedKeys(keys_of(decode_keyset(golden(f"keys/{name}"), name)))


SIGNERS: dict[str, tuple[Callable[[str], Provider], str]] = {
    "a secret": (of_a_secret, ""),
    "a keyset of secrets": (of_a_keyset, "internal"),
    "key pairs": (of_a_keyset, "web"),
}


@pytest.mark.parametrize("kind", SIGNERS)
def test_what_a_signer_signs_its_verifier_accepts(kind: str) -> None:
    """With claims of one's own, at the longest life, with a jti of one's own; and PyJWT agrees about the header."""
    make, name = SIGNERS[kind]
    keys = make(name)
    signer = Signer(keys, issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW + 0.9)
    verifier = Verifier(keys, issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    longest = keys.signing().timing.max_token_lifetime
    tokens = [
        signer.sign("alice"),
        signer.sign("Zoë 王 😀" * 20, lifetime=longest, claims={"deep": [[[{"a": [None, 1.5, True]}]]]}),
        signer.sign("s" * 1024, lifetime=timedelta(seconds=1), token_id="j" * 1024),
    ]

    claims = [verifier.verify(token) for token in tokens]
    assert [c.subject for c in claims] == ["alice", "Zoë 王 😀" * 20, "s" * 1024]
    assert [c["exp"] - c["iat"] for c in claims] == [900, longest.total_seconds(), 1]
    assert {c["iat"] for c in claims} == {NOW}
    assert claims[2].token_id == "j" * 1024
    header = jwt.get_unverified_header(tokens[0])
    signing = keys.signing().signing
    assert signing is not None
    assert header == {"alg": signing.algorithm, "typ": ACCESS} | ({"kid": signing.kid} if signing.kid else {})
    assert [outcome(Verifier(keys, issuer=ISSUER, audience=AUDIENCE, typ=REFRESH), token) for token in tokens] == [
        TYPE
    ] * 3


UNSIGNED: dict[str, dict[str, Any]] = {
    "a lifetime above the policy": {"lifetime": timedelta(hours=1, seconds=1)},
    "a lifetime of nothing": {"lifetime": timedelta(0)},
    "a lifetime below a second": {"lifetime": timedelta(milliseconds=999)},
    "a lifetime backwards": {"lifetime": timedelta(seconds=-60)},
    "an empty subject": {"subject": ""},
    "a subject that is no text": {"subject": 1},
    "a subject too long": {"subject": "s" * 1025},
    "half a character for a subject": {"subject": "\ud800"},
    "a claim of the signer's": {"claims": {"exp": NOW}},
    "another subject": {"claims": {"sub": "admin"}},
    "another issuer": {"claims": {"iss": "x"}},
    "NaN": {"claims": {"a": float("nan")}},
    "Infinity": {"claims": {"a": [float("inf")]}},
    "bytes": {"claims": {"a": b"x"}},
    "a name that is no text": {"claims": {(): 1}},
    "a name twice": {"claims": {1: "x", "1": "y"}},
    "17 levels": {"claims": {"a": json.loads("[" * 16 + "]" * 16)}},
    "endless claims": {"claims": {"a": "x" * 9000}},
    "half a character": {"claims": {"a": "\udc00"}},
    "an int of 5000 digits": {"claims": {"a": 10**5000}},
    "a jti too long": {"token_id": "j" * 1025},
    "a jti that is no text": {"token_id": 7},
    "an iat before 1970": {"issued_at": -1},
    "an iat with a fraction": {"issued_at": NOW + 0.5},
    "an iat beyond all years": {"issued_at": 253402300799},
    "an iat of 400 digits": {"issued_at": 10**400},
    "an iat that is true": {"issued_at": True},
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_nothing_is_signed_that_a_verifier_would_refuse(name: str) -> None:
    """The signer raises, so that no verifier has to refuse the token."""
    signer = Signer(StaticKeys(SECRET, timing=TIMING), issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    options = {"subject": "alice"} | UNSIGNED[name]

    with pytest.raises(SigningError):
        signer.sign(options.pop("subject"), **options)
    assert signer.sign("alice")


def test_keys_that_only_verify_do_not_sign() -> None:
    """A public half signs nothing."""
    with pytest.raises(SigningError, match="do not sign"):
        Signer(FixedKeys(keys_for(rsa_forge())), issuer=ISSUER, audience=AUDIENCE).sign("alice")
