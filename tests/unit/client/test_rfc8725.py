"""
RFC 8725, JSON Web Token Best Current Practices: one test for each item of its section 3.
"""

import inspect
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from rotator.client import (
    ACCESS,
    REFRESH,
    Claims,
    ConfigError,
    InvalidTokenError,
    Keys,
    Rejection,
    Verifier,
    WeakSecretError,
    verify_with,
)
from rotator.client.jose.keys import keys_of_jwks, secret_key
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import MIN_RSA_BITS, Algorithm
from tests.support.forgery import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    KID,
    NOW,
    SECRET,
    TIMING,
    FixedKeys,
    Forge,
    encode,
    good_claims,
    hmac_forge,
    json_of,
    jwk_of,
    outcome,
    private_key,
    rsa_forge,
    verifier_of,
)

FORGES: list[Callable[[], Forge]] = [hmac_forge, rsa_forge]


@pytest.mark.parametrize("make", FORGES)
def test_3_1_the_algorithm_is_the_keys_not_the_tokens(make: Callable[[], Forge]) -> None:
    """3.1, verify the algorithm: a key works with one algorithm only, and a header that says another gets nowhere."""
    forge = make()

    assert isinstance(outcome(verifier_of(forge), forge.token()), Claims)
    for other in ("none", "HS256", "HS384", "RS256", "RS512", "PS256", "ES256", "EdDSA"):
        if other != forge.algorithm:
            assert outcome(verifier_of(forge), forge.token(alg=other)) == Rejection.SIGNATURE


def test_3_2_only_algorithms_that_are_fit_exist() -> None:
    """3.2, use appropriate algorithms: there are four, without "none", and a token cannot ask for others."""
    assert {algorithm.value for algorithm in Algorithm} == {"RS256", "HS256", "HS384", "HS512"}
    for wish in ("none", "RS1", "HS1", "RSA1_5", "ES256K"):
        with pytest.raises(ConfigError):
            verify_with(SECRET, issuer=ISSUER, audience=AUDIENCE, algorithm=wish)
        with pytest.raises(KeyMaterialError):
            keys_of_jwks(json.dumps({"keys": [jwk_of(private_key().public_key(), alg=wish)]}))


@pytest.mark.parametrize("make", FORGES)
def test_3_3_every_cryptographic_operation_is_checked(make: Callable[[], Forge]) -> None:
    """3.3, validate all operations: one that fails refuses the whole token; a nested token is not opened."""
    forge = make()
    inner = forge.token()
    body = inner.rpartition(".")[0]

    assert outcome(verifier_of(forge), f"{body}.{encode(b'no signature')}") == Rejection.SIGNATURE
    assert outcome(verifier_of(forge), forge.raw(inner.encode(), json_of(forge.header(cty="JWT")))) == Rejection.HEADER
    assert outcome(verifier_of(forge), forge.raw(inner.encode())) == Rejection.MALFORMED


def test_3_4_cryptographic_inputs_are_checked() -> None:
    """3.4, validate cryptographic inputs: numbers that make no sound key are refused when the key is read."""
    n = private_key().public_key().public_numbers().n
    for changes in ({"e": "AQ"}, {"e": "AA"}, {"e": "Ag"}, {"n": "AA"}, {"n": encode((n + 1).to_bytes(256, "big"))}):
        with pytest.raises(KeyMaterialError):
            keys_of_jwks(json.dumps({"keys": [jwk_of(private_key().public_key(), **changes)]}))


def test_3_5_keys_have_enough_entropy() -> None:
    """3.5, sufficient entropy: no secret shorter than the hash or invented by a person, no RSA below 2048 bits."""
    for text in (SECRET[:31], "correct horse battery staple correct horse battery staple", "x" * 64):
        with pytest.raises(WeakSecretError):
            verify_with(text, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(WeakSecretError):
        secret_key(KID, Algorithm.HS512, b"x" * 63)
    weak = encode(((1 << MIN_RSA_BITS - 1) - 1).to_bytes(256, "big"))
    with pytest.raises(KeyMaterialError):
        keys_of_jwks(json.dumps({"keys": [jwk_of(private_key().public_key(), n=weak)]}))


@pytest.mark.parametrize("make", FORGES)
def test_3_6_nothing_is_decompressed(make: Callable[[], Forge]) -> None:
    """3.6, avoid compression: a payload that is compressed is not opened, whether the header says so or not."""
    forge = make()
    bomb = zlib.compress(json_of(good_claims(pad="x" * 1_000_000)))

    assert outcome(verifier_of(forge), forge.raw(bomb, json_of(forge.header(zip="DEF")))) == Rejection.HEADER
    assert outcome(verifier_of(forge), forge.raw(bomb)) == Rejection.MALFORMED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("make", FORGES)
def test_3_7_json_is_utf_8(make: Callable[[], Forge], encoding: str) -> None:
    """3.7, use UTF-8: neither claims nor header are read in another encoding; in UTF-8 any character is right."""
    forge = make()
    claims = json.dumps(good_claims(name="Zoë"), ensure_ascii=False)
    header = json.dumps(forge.header(note="é"), ensure_ascii=False)

    assert isinstance(outcome(verifier_of(forge), forge.raw(claims.encode(), header.encode())), Claims)
    assert outcome(verifier_of(forge), forge.raw(claims.encode(encoding))) == Rejection.MALFORMED
    assert outcome(verifier_of(forge), forge.raw(claims.encode(), header.encode(encoding))) == Rejection.MALFORMED


@pytest.mark.parametrize("make", FORGES)
def test_3_8_issuer_and_subject_are_checked(make: Callable[[], Forge]) -> None:
    """3.8, validate issuer and subject: the issuer is the owner of the keys, to the letter; a subject is required."""
    forge = make()
    for claims in ({"iss": ISSUER + "/"}, {"iss": [ISSUER]}, {"iss": ABSENT}, {"sub": ABSENT}, {"sub": ""}, {"sub": 7}):
        assert outcome(verifier_of(forge), forge.claiming(**claims)) == Rejection.CLAIMS
    assert verifier_of(forge).verify(forge.token()).subject == "alice"
    assert outcome(verifier_of(forge, issuer="https://other.example"), forge.token()) == Rejection.CLAIMS


@pytest.mark.parametrize("make", FORGES)
def test_3_9_the_audience_is_checked(make: Callable[[], Forge]) -> None:
    """3.9, use and validate audience: a token is for this service and no other, and says so."""
    forge = make()
    for audience in (ABSENT, "billing", "", [], ["billing"], [AUDIENCE, "billing"], None):
        assert outcome(verifier_of(forge), forge.claiming(aud=audience)) == Rejection.CLAIMS
    assert isinstance(outcome(verifier_of(forge), forge.claiming(aud=[AUDIENCE])), Claims)
    with pytest.raises(ConfigError):
        verifier_of(forge, audience="")


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"iss": "https://other.example"}, "iss"),
        ({"aud": ["billing"]}, "aud"),
        ({"sub": ""}, "sub"),
        ({"jti": ABSENT}, "jti"),
        ({"exp": ABSENT}, "exp"),
        ({"exp": NOW + 3601}, "exp"),
        ({"iat": True}, "iat"),
        ({"iat": NOW + 901}, "iat"),
        ({"nbf": "now"}, "nbf"),
    ],
)
def test_a_log_can_say_which_claim_was_wrong(changes: dict[str, object], claim: str) -> None:
    """The message, which may reach the sender, does not."""
    forge = hmac_forge()
    with pytest.raises(InvalidTokenError, match=r"^invalid token$") as raised:
        verifier_of(forge).verify(forge.claiming(**changes))
    assert (raised.value.reason, raised.value.claim) == (Rejection.CLAIMS, claim)


@pytest.mark.parametrize("make", FORGES)
def test_3_10_received_claims_are_not_trusted(make: Callable[[], Forge]) -> None:
    """3.10, do not trust received claims: a kid is a name among known ones, and no address in a token is followed."""
    forge = make()
    for kid in ("../../dev/null", "x' OR '1'='1", "http://localhost/key", "a\nb", "x" * 65):
        keys = FixedKeys(Keys(verifying={}, timing=TIMING))
        assert outcome(verifier_of(forge, keys=keys), forge.token(kid=kid)) == Rejection.UNKNOWN_KEY
        assert keys.searched == []
    for member in ("jku", "x5u", "jwk", "x5c"):
        assert outcome(verifier_of(forge), forge.token(None, **{member: "http://localhost/"})) == Rejection.HEADER


@pytest.mark.parametrize("make", FORGES)
def test_3_11_types_are_explicit(make: Callable[[], Forge]) -> None:
    """3.11, use explicit typing: each token has a type, and each verifier accepts one type only."""
    forge = make()
    for typ in (ABSENT, "", "JWT", "jwt", "secevent+jwt", REFRESH):
        assert outcome(verifier_of(forge), forge.token(typ=typ)) == Rejection.TYPE
    assert isinstance(outcome(verifier_of(forge), forge.token(typ="application/at+jwt")), Claims)
    with pytest.raises(ConfigError):
        verifier_of(forge, typ="")


def test_3_12_kinds_of_tokens_exclude_each_other() -> None:
    """
    3.12, mutually exclusive rules: type, audience, issuer and key each keep two kinds of tokens apart, both ways.

    And no check can be switched off.
    """
    access, other = hmac_forge(), SECRET[::-1].encode()
    theirs = Keys(verifying={KID: secret_key(KID, Algorithm.HS256, other)[0]}, timing=TIMING)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"typ": REFRESH}, access.token(typ=REFRESH)),
        ({"audience": "billing"}, access.claiming(aud="billing")),
        ({"issuer": "https://other.example"}, access.claiming(iss="https://other.example")),
        ({"keys": FixedKeys(theirs)}, hmac_forge(other).token()),
    ]

    for options, token in changes:
        verifier = verifier_of(access, **options)
        assert isinstance(outcome(verifier, token), Claims)
        assert isinstance(outcome(verifier, access.token()), Rejection)
        assert isinstance(outcome(verifier_of(access), token), Rejection)
    options_there_are = set(inspect.signature(Verifier).parameters)
    assert options_there_are == {"keys", "issuer", "audience", "typ", "leeway", "kid_optional", "now"}
    assert isinstance(outcome(verifier_of(access, typ=ACCESS.upper()), access.token()), Claims)
