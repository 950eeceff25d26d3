"""
Publicly known holes of JOSE libraries, one case for each class that can apply here: none of them is ours.

Each name says what went wrong, each docstring where. That a class cannot apply is said where a reader would look for
it: there is no elliptic curve, no JWE, no PBES2 and no decompression in rotator.client, so their holes have nothing
to get at.
"""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.client import (
    Claims,
    ConfigError,
    JwksSource,
    Keys,
    KeysUnavailableError,
    Rejection,
    WeakSecretError,
    verify_with,
)
from rotator.client.jose.keys import keys_of_jwks, secret_key
from rotator.errors import KeyMaterialError, RotatorError
from rotator.model.algorithms import Algorithm
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
    keys_for,
    outcome,
    private_key,
    rsa_forge,
    verifier_of,
)

BOTH = pytest.mark.parametrize("forge", [hmac_forge(), rsa_forge()], ids=["HS256", "RS256"])


@BOTH
def test_the_header_chooses_no_verification(forge: Forge) -> None:
    """CVE-2015-2951, CVE-2015-9235 and many since: alg "none" switched verification off, in one spelling or another."""
    body = forge.token(alg="none").rpartition(".")[0]

    for spelling in (body, f"{body}.", f"{body}.."):
        assert outcome(verifier_of(forge), spelling) == Rejection.MALFORMED
    for case in ("none", "NONE", "nOnE", "None\0"):
        assert outcome(verifier_of(forge), forge.token(alg=case)) == Rejection.SIGNATURE


def test_the_header_chooses_no_hmac() -> None:
    """CVE-2016-10555, CVE-2017-11424, CVE-2022-29217, CVE-2024-33663: a public key in some form, used as a secret."""
    public = private_key().public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json_of(jwk_of(public)),
        json.dumps(jwk_of(public)).encode(),
    ]
    for form in forms:
        for algorithm in ("HS256", "HS384", "HS512"):
            assert outcome(verifier_of(rsa_forge()), hmac_forge(form, algorithm).token()) == Rejection.SIGNATURE


@pytest.mark.parametrize("kind", ["ECDSA in OpenSSH", "Ed25519 in OpenSSH", "EC in PEM", "Ed25519 in PEM", "EC in DER"])
def test_public_keys_of_other_kinds_are_no_secrets(kind: str) -> None:
    """CVE-2024-33663 and CVE-2026-85394 (python-jose): the guard knew RSA in PEM, and not these."""
    key = (
        ed25519.Ed25519PrivateKey.generate() if "Ed" in kind else ec.generate_private_key(ec.SECP256R1())
    ).public_key()
    if "OpenSSH" in kind:
        data = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    else:
        data = key.public_bytes(Encoding.DER if "DER" in kind else Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(KeyMaterialError):
        secret_key(KID, Algorithm.HS256, data)
    if data.isascii():
        with pytest.raises(RotatorError, match="no shared secret"):
            verify_with(data.decode(), issuer=ISSUER, audience=AUDIENCE)


def test_a_jwk_is_no_secret() -> None:
    """GHSA-xgmm-8j9v-c9wx, CVE-2026-48526 (PyJWT): the JSON text of a public JWK, used as a shared secret."""
    public = private_key().public_key()
    for text in (
        json.dumps(jwk_of(public)),
        json.dumps(jwk_of(public), indent=2),
        json.dumps({"keys": [jwk_of(public)]}),
    ):
        with pytest.raises(WeakSecretError, match="JWK"):
            verify_with(text, issuer=ISSUER, audience=AUDIENCE)


def test_a_key_is_bound_to_its_algorithm() -> None:
    """GHSA-jq35-7prp-9v3f, CVE-2026-48523 (PyJWT): the header said one algorithm and the key another."""
    forge = rsa_forge()

    for alg in ("RS384", "RS512", "PS256", "HS256", "ES256"):
        assert outcome(verifier_of(forge), forge.token(alg=alg)) == Rejection.SIGNATURE
    with pytest.raises(KeyMaterialError):
        keys_of_jwks(json.dumps({"keys": [jwk_of(private_key().public_key(), alg="RS512")]}))


@BOTH
def test_critical_headers_are_heeded(forge: Forge) -> None:
    """GHSA-752w-5fwx-jx9f, CVE-2026-32597 (PyJWT): an extension marked critical was skipped."""
    for crit in (["x"], ["b64"], ["exp"], [], "x", None, [1], ["alg"], ["x", "x"]):
        assert outcome(verifier_of(forge), forge.token(crit=crit, x=1)) == Rejection.HEADER


@BOTH
def test_an_unencoded_payload_is_refused_before_work_is_done(forge: Forge) -> None:
    """GHSA-w7vc-732c-9m39, CVE-2026-48525 (PyJWT): with b64 false, megabytes of unused payload were decoded."""
    header = encode(json_of(forge.header(b64=False, crit=["b64"])))

    assert outcome(verifier_of(forge), forge.sign(header, "not base64")) == Rejection.HEADER
    assert outcome(verifier_of(forge), forge.sign(header, "A" * 5_000_000)) == Rejection.MALFORMED
    assert outcome(verifier_of(forge), forge.sign(header, "")) == Rejection.HEADER


@BOTH
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_brings_no_key(forge: Forge, member: str) -> None:
    """CVE-2018-0114 (node-jose, Cisco), CVE-2026-27962 (authlib): the key in the header verified its own token."""
    attacker = rsa_forge(5)
    jwk = jwk_of(private_key(5).public_key())
    values: dict[str, Any] = {"jwk": jwk, "jku": "https://attacker.example", "x5u": "file:///tmp/cert", "x5c": ["MII"]}

    assert outcome(verifier_of(forge), attacker.token(None, **{member: values[member]})) == Rejection.HEADER
    assert outcome(verifier_of(forge), forge.token(None, **{member: values[member]})) == Rejection.HEADER


def test_an_empty_secret_is_no_secret() -> None:
    """CVE-2019-20933 (InfluxDB), CVE-2026-49852 (joserfc): an empty secret, which every attacker knows."""
    for nothing in (b"", b"\0", b"\0" * 31):
        with pytest.raises(WeakSecretError):
            secret_key(KID, Algorithm.HS256, nothing)
    for text in ("", " ", "\0" * 32, " " * 32):
        with pytest.raises(WeakSecretError):
            verify_with(text, issuer=ISSUER, audience=AUDIENCE)
    assert outcome(verify_with(SECRET, "", None, issuer=ISSUER, audience=AUDIENCE), hmac_forge(b"").token()) == (
        Rejection.SIGNATURE
    )


@BOTH
def test_an_empty_signature_is_none(forge: Forge) -> None:
    """CVE-2020-28042 (ServiceStack): a signature of no bytes was like any other."""
    body = forge.token().rpartition(".")[0]

    assert outcome(verifier_of(forge), f"{body}.") == Rejection.MALFORMED
    assert outcome(verifier_of(forge), f"{body}.{encode(bytes(1))}") == Rejection.SIGNATURE
    key = keys_for(forge).verifying[KID]
    assert key.verifies(body.encode(), b"") is False


@BOTH
def test_zeros_are_no_signature(forge: Forge) -> None:
    """CVE-2022-21449 (Java, ECDSA): numbers that are zero verified everything."""
    body = forge.token().rpartition(".")[0]

    for size in (32, 64, 256):
        assert outcome(verifier_of(forge), f"{body}.{encode(bytes(size))}") == Rejection.SIGNATURE


@BOTH
def test_one_token_is_read_in_one_way(forge: Forge) -> None:
    """CVE-2022-39227 (python-jwt): JSON and compact form in one text, of which one was verified and the other read."""
    header, payload, signature = forge.token().split(".")
    other = encode(json_of(good_claims(sub="admin")))
    texts = [
        f'{{"  {header}.{other}.":"","protected":"{header}","payload":"{payload}","signature":"{signature}"}}',
        f'{{"protected":"{header}.","payload":"{payload}.","signature":"{signature}"}}',
        json.dumps({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}),
    ]

    for text in texts:
        assert outcome(verifier_of(forge), text) == Rejection.MALFORMED


@BOTH
def test_the_issuer_is_compared_whole(forge: Forge) -> None:
    """CVE-2024-53861 (PyJWT): an issuer that is a part of ours was in it; CVE-2026-75509 (joserfc): a list had it."""
    for issuer in (ISSUER[:-1], ISSUER[8:], "", ISSUER[0], [ISSUER], [ISSUER, "https://attacker.example"], {ISSUER: 1}):
        assert outcome(verifier_of(forge), forge.claiming(iss=issuer)) == Rejection.CLAIMS


@BOTH
def test_an_audience_of_nothing_is_not_ours(forge: Forge) -> None:
    """Libraries that check an audience only if there is one: a token without one passed everywhere."""
    for audience in (None, ABSENT, [], "", [None], {}, False, 0):
        assert outcome(verifier_of(forge), forge.claiming(aud=audience)) == Rejection.CLAIMS


@BOTH
def test_times_that_are_no_whole_numbers_do_not_crash(forge: Forge) -> None:
    """PyJWT 2.12: 1e400 was an OverflowError; and ours, found by this suite: nbf of 400 digits."""
    for claim in ("exp", "iat", "nbf"):
        for digits in ("1e400", "-1e400", "1e308", "9" * 400, "-" + "9" * 400, "9" * 4300, "9" * 4301, "0.1e1", "-0"):
            text = json_of(good_claims(**{claim: 0})).replace(f'"{claim}":0'.encode(), f'"{claim}":{digits}'.encode())
            result = outcome(verifier_of(forge), forge.raw(text))
            harmless = claim == "nbf" and digits in {"-0", "-" + "9" * 400}
            assert isinstance(result, Claims if harmless else Rejection), (claim, digits[:9])


@BOTH
def test_depth_does_not_crash(forge: Forge) -> None:
    """PyJWT 2.12, and RecursionError in many: brackets, in the claims and in the header."""
    for levels in (17, 500, 1500, 3000, 50_000):
        for opening, closing in (("[", "]"), ('{"a":', "}"), ("[", "")):
            deep = f'{{"a":{opening * levels}1{closing * levels}}}'.encode()
            assert outcome(verifier_of(forge), forge.raw(deep)) == Rejection.MALFORMED
            assert outcome(verifier_of(forge), forge.raw(json_of(good_claims()), deep)) == Rejection.MALFORMED


@BOTH
def test_nothing_is_inflated(forge: Forge) -> None:
    """CVE-2024-33664 (python-jose), CVE-2026-39373 (jwcrypto) and others: a small JWE that deflates to gigabytes."""
    bomb = zlib.compress(bytes(100_000_000), 9)[:5000]
    jwe = {"alg": "dir", "enc": "A256GCM", "zip": "DEF"}

    assert outcome(verifier_of(forge), f"{encode(json_of(jwe))}..AAAA.{encode(bomb)}.AAAA") == Rejection.MALFORMED
    for data in (bomb, gzip.compress(json_of(good_claims()))):
        assert outcome(verifier_of(forge), forge.raw(data, json_of(forge.header(zip="DEF")))) == Rejection.HEADER
        assert outcome(verifier_of(forge), forge.raw(data)) == Rejection.MALFORMED


@BOTH
def test_no_work_is_bought_with_a_header(forge: Forge) -> None:
    """CVE-2026-27932 (joserfc) and others: p2c asked for a billion rounds of PBKDF2."""
    header = {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2**31, "p2s": "AAAA", "kid": KID, "typ": "at+jwt"}

    assert outcome(verifier_of(forge), forge.raw(json_of(good_claims()), json_of(header))) == Rejection.HEADER
    del header["enc"]
    assert outcome(verifier_of(forge), forge.raw(json_of(good_claims()), json_of(header))) == Rejection.SIGNATURE


def test_an_absurd_key_costs_little() -> None:
    """Keys that make each verification slow, or verify nothing, being above the limit of OpenSSL, are not used at all."""
    ours = private_key().public_key()
    for bits in (16385, 32768):
        huge = encode(((1 << bits) + 1).to_bytes(bits // 8 + 1, "big"))
        for changes in ({"n": huge}, {"e": huge}, {"n": huge, "e": encode(b"\1" + bytes(32) + b"\1")}):
            absurd = jwk_of(ours, kid="absurd", **changes)
            assert list(keys_of_jwks(json.dumps({"keys": [absurd, jwk_of(ours)]}))) == [KID]


@BOTH
def test_a_deny_list_cannot_be_dodged_by_spelling(forge: Forge) -> None:
    """Measured on PyJWT 2.15.1: "=" behind the signature gives the same token a second text."""
    token = forge.token()
    header, payload, signature = token.split(".")
    standard = base64.b64encode(base64.urlsafe_b64decode(signature + "==")).decode()
    variants = {
        f"{token}=",
        f"{token}==",
        f"{token}\n",
        f" {token}",
        f"{header}.{payload}.{standard}",
        f"{token}.",
        f"{token}A",
    }

    assert isinstance(outcome(verifier_of(forge), token), Claims)
    for variant in variants - {token}:
        assert isinstance(outcome(verifier_of(forge), variant), Rejection)


def test_a_set_with_new_kinds_of_keys_can_be_read() -> None:
    """PyJWT 2.4, authlib, python-jose and others in 2026: one ML-DSA key in a set, and no token verified any more."""
    akp = {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AAAA"}
    ours = jwk_of(private_key().public_key())
    for members in ([akp, ours], [ours, akp], [{"kty": "future"}, ours], ["text", ours]):
        keys = keys_for(rsa_forge(), verifying=keys_of_jwks(json.dumps({"keys": members})))
        assert isinstance(outcome(verifier_of(rsa_forge(), keys=FixedKeys(keys)), rsa_forge().token()), Claims)


def test_what_leaks_is_no_key() -> None:
    """joserfc, authlib, python-jose: a private key or a shared secret in a public set was read without a word."""
    ours, other = jwk_of(private_key().public_key()), jwk_of(private_key(1).public_key(), kid="x")
    for leak in ({"kty": "oct", "k": "AAAA", "kid": "x"}, {**other, "d": "AAAA"}):
        assert list(keys_of_jwks(json.dumps({"keys": [ours, leak]}))) == [KID]
    # Our own key under another name, in another entry, beside the plain one.
    with pytest.raises(KeyMaterialError, match="without any key"):
        keys_of_jwks(json.dumps({"keys": [ours, {**ours, "kid": "x", "d": "AAAA"}]}))


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://example.org/jwks", "data:application/json,{}", "jwks.json"]
)
def test_a_set_comes_over_http(address: str) -> None:
    """GHSA-993g-76c3-p5m4, CVE-2026-48522 (PyJWT): the address of a JWKS was a file, or anything urllib knows."""
    with pytest.raises(ConfigError):
        JwksSource(address)


def test_a_key_that_is_unavailable_is_not_the_tokens_fault() -> None:
    """GHSA-fhv5-28vv-h8m8, CVE-2026-48524 (PyJWT): a failed fetch emptied the cache, and every token was invalid."""

    class Unavailable(FixedKeys):
        def verifying(self, *, wait: bool = True) -> Keys:
            raise KeysUnavailableError(f"none, {wait}")

    verifier = verifier_of(hmac_forge(), keys=Unavailable(Keys(verifying={}, timing=TIMING)))
    with pytest.raises(KeysUnavailableError):
        verifier.verify(hmac_forge().token())


@BOTH
def test_a_token_lives_as_long_as_the_policy_says(forge: Forge) -> None:
    """Measured on PyJWT 2.15.1: no exp, or one in the year 9999, was as good as any."""
    for exp in (ABSENT, 253402300799, NOW + 3601, 2**63, str(NOW + 60)):
        assert outcome(verifier_of(forge), forge.claiming(exp=exp)) == Rejection.CLAIMS
