"""
The public set: allow-listed members, unique kids, the same bytes for the same keys, and nothing private.
"""

import base64
import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.documents.jwk import EMPTY, combined, jwks_of, parse_jwks, public_jwk, thumbprint
from rotator.documents.signing import decode_keyset
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, Kid, PublicKey
from rotator.model.publication import Jwks
from rotator.model.secret import SecretText
from tests.support.publications import pair
from tests.unit.documents.test_signing import golden


def test_entry_has_exactly_the_members_a_verifier_needs() -> None:
    """kty, kid, use, alg, n, e and nothing else."""
    jwks = json.loads(jwks_of(decode_keyset(golden("keys/web"), "web")))

    assert [set(entry) for entry in jwks["keys"]] == [{"kty", "kid", "use", "alg", "n", "e"}] * 3
    assert {entry["use"] for entry in jwks["keys"]} == {"sig"}


def test_hmac_never_appears() -> None:
    """The set of shared secrets is empty."""
    assert jwks_of(decode_keyset(golden("keys/internal"), "internal")) == EMPTY


def test_thumbprint_of_rfc_7638() -> None:
    """The example of RFC 7638 section 3.1 gives its thumbprint."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJ"
        "zKnqDKgw"
    )
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(base64.urlsafe_b64decode(n + "=="), "big"))
    pem = numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert thumbprint(PublicKey(pem)) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}',
        '{"keys":[{"kty":"RSA","kid":"a","n":"AQ","e":"AQAB","d":"AQ"}]}',
        '{"keys":[{"kty":"RSA","kid":"a","n":"AQ","e":"AQAB"},{"kty":"RSA","kid":"a","n":"AQ","e":"AQAB"}]}',
        '{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}',
        '{"keys":[],"secret":"x"}',
    ],
)
def test_scan_refuses_what_is_not_public(text: str) -> None:
    """Private members, symmetric keys, doubled or missing kids never leave, and are not echoed."""
    with pytest.raises(KeyMaterialError) as caught:
        parse_jwks(text)
    assert "c2VjcmV0" not in str(caught.value)


def test_combined_set_refuses_a_kid_twice() -> None:
    """Two keysets with one kid and different keys cannot share a URL; the very same key appears once."""
    jwks = jwks_of(decode_keyset(golden("keys/web"), "web"))
    other = Jwks(jwks.replace('"e":"AQAB"', '"e":"AAEAAQ"'))

    assert combined([jwks, jwks]) == jwks
    with pytest.raises(KeyMaterialError):
        combined([jwks, other])


def test_no_public_key_in_no_form() -> None:
    """PEM of another key type, and what is no PEM, is refused."""
    foreign = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = foreign.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    for text, what in ((pem, "not of a kind that rotator makes"), ("canary", "not SubjectPublicKeyInfo PEM")):
        with pytest.raises(KeyMaterialError, match=what) as caught:
            thumbprint(PublicKey(text))
        assert "canary" not in str(caught.value)


def test_a_public_key_is_of_the_kind_that_its_algorithm_takes() -> None:
    """A JWK that says HS256 of an RSA key would have verifiers take a public text for a secret."""
    public = pair(1).material
    assert isinstance(public, PublicKey)

    with pytest.raises(KeyMaterialError):
        public_jwk(Kid("a"), Algorithm.HS256, public)


def test_the_jwks_of_key_pairs_is_never_empty() -> None:
    """Verifiers would take an empty set for a good one, and refuse every token."""
    keyset = decode_keyset(golden("keys/web"), "web")
    secret = HmacSecret(SecretText("ab" * 32))
    assert keyset.current is not None
    bare = dataclasses.replace(keyset, current=dataclasses.replace(keyset.current, material=secret), next=None, old=())

    with pytest.raises(KeyMaterialError, match="would be empty"):
        jwks_of(bare)
