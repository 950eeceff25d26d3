"""
The public set: allow-listed members, unique kids, the same bytes for the same keys, and nothing private.
"""

import base64
import copy
import json
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.adapters.keygen import Keygen
from rotator.documents.jwk import EMPTY, combined, jwks_of, parse_jwks, public_jwk, thumbprint
from rotator.documents.private_key import load_pair, pair_of
from rotator.documents.signing import decode_keyset
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm
from rotator.model.keys import PublicKey
from rotator.model.op_id import milliseconds_of
from rotator.model.publication import Jwks
from rotator.model.secret import SecretText, live_secrets
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


def test_made_pair_works_and_comes_back_from_pem() -> None:
    """A private half leads back to the same pair, and its kid is the thumbprint."""
    made = Keygen().generate(Algorithm.RS256, 2048)
    assert made.private is not None
    assert isinstance(made.material, PublicKey)

    assert load_pair(made.private, Algorithm.RS256) == made
    assert made.kid == public_jwk(made.kid, Algorithm.RS256, made.material)["kid"] == thumbprint(made.material)


def test_small_and_foreign_keys_are_refused() -> None:
    """1024 bits, and texts that are no private key, raise without showing them."""
    with pytest.raises(KeyMaterialError, match="1024"):
        pair_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), Algorithm.RS256)  # noqa: S505 - the point
    with pytest.raises(KeyMaterialError) as caught:
        load_pair(SecretText("canary"), Algorithm.RS256)
    assert "canary" not in str(caught.value)


def test_secrets_are_256_bits_under_a_random_kid() -> None:
    """64 hex digits, 32 hex digits, never the same twice."""
    made = [Keygen().generate(Algorithm.HS256, 0) for _ in range(50)]

    assert len({m.kid for m in made}) == len(made)
    assert all(len(m.kid) == 32 and m.private is None for m in made)


def test_op_id_tells_when_it_was_made() -> None:
    """Our op_ids carry milliseconds and sort by time; another's says nothing."""
    first, second = Keygen().op_id(), Keygen().op_id()

    assert (milliseconds_of(first) or 0) <= (milliseconds_of(second) or 0)
    assert milliseconds_of("deploy-17") is None


def test_secret_text_gives_nothing_away() -> None:
    """repr, str and format are redacted, equality works, pickling is refused."""
    secret = SecretText("canary-" * 6)

    assert "canary" not in f"{secret} {secret!r} {secret!s} {secret:>50} {[secret]}"
    assert secret == SecretText("canary-" * 6)
    assert secret != SecretText("other")
    assert "canary-" * 6 in live_secrets()
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(secret)
