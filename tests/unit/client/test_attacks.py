"""
What a verifier must refuse, each row correctly signed unless it says otherwise, and refused for the right reason.
"""

import base64
import hashlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.client import (
    ACCESS,
    REFRESH,
    Claims,
    ConfigError,
    InvalidTokenError,
    Keys,
    Provider,
    Rejection,
    RotatorError,
    Signer,
    SigningError,
    StaticKeys,
    Timing,
    Verifier,
    WeakSecretError,
    verify_with,
)
from rotator.client.jose.compact import MAX_HEADER, MAX_TOKEN
from rotator.client.jose.keys import VerifyingKey, keys_of, secret_key
from rotator.documents.signing import decode_keyset
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
    decode,
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
from tests.support.peer import Peer, answer
from tests.unit.documents.test_signing import golden

MALFORMED, HEADER, UNKNOWN_KEY = Rejection.MALFORMED, Rejection.HEADER, Rejection.UNKNOWN_KEY
SIGNATURE, TYPE, CLAIMS = Rejection.SIGNATURE, Rejection.TYPE, Rejection.CLAIMS
EXPIRED, NOT_YET_VALID, REVOKED = Rejection.EXPIRED, Rejection.NOT_YET_VALID, Rejection.REVOKED
Attack = Callable[[Forge], object]
FORGES: dict[str, Callable[[], Forge]] = {"HS256": hmac_forge, "RS256": rsa_forge}


@pytest.fixture(params=FORGES)
def forge(request: pytest.FixtureRequest) -> Forge:
    """
    The legitimate signer, of either kind.
    """
    return FORGES[request.param]()


def with_text(text: str) -> Attack:
    """
    Return an attack with *text* for a payload.
    """
    return lambda forge: forge.raw(text.encode())


def with_member(member: str) -> Attack:
    """
    Return an attack with *member*, written in JSON, at the end of good claims.
    """
    return lambda forge: forge.raw(json_of(good_claims())[:-1] + b"," + member.encode() + b"}")


def with_header_member(member: str) -> Attack:
    """
    Return an attack with *member*, written in JSON, at the end of a good header.
    """
    return lambda forge: forge.raw(json_of(good_claims()), json_of(forge.header())[:-1] + b"," + member.encode() + b"}")


def claiming(**changes: object) -> Attack:
    """
    Return an attack with good claims but for *changes*.
    """
    return lambda forge: forge.claiming(**changes)


def with_header(**changes: object) -> Attack:
    """
    Return an attack with a good header but for *changes*.
    """
    return lambda forge: forge.token(None, **changes)


def changed(change: Callable[[str], object]) -> Attack:
    """
    Return an attack that changes the text of a good token.
    """
    return lambda forge: change(forge.token())


def segments(change: Callable[[str, str, str], object]) -> Attack:
    """
    Return an attack that puts the segments of a good token together anew.
    """
    return lambda forge: change(*forge.token().split("."))


def deep(levels: int) -> bytes:
    """
    Return claims whose JSON is *levels* deep, the outermost object counted.
    """
    return json_of(good_claims())[:-1] + b',"deep":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def last_bit_set(segment: str) -> str:
    """
    Return *segment* spelled with a bit that decoders throw away.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 in {2, 3}, "no unused bits"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def of_length(forge: Forge, length: int) -> str:
    """
    Return a good token of exactly *length* characters.
    """
    signature = len(forge.token().rpartition(".")[2])
    for pad in range(4):
        header = encode(json_of(forge.header(pad="x" * pad)))
        for fill in range(length):
            payload = encode(json_of(good_claims(pad="x" * fill)))
            if len(header) + len(payload) + signature + 2 == length:
                return forge.sign(header, payload)
    raise AssertionError(length)


def of_header_length(forge: Forge, length: int) -> str:
    """
    Return a good token whose header has exactly *length* bytes.
    """
    shortest = len(json_of(forge.header(pad="")))
    return forge.token(None, pad="x" * (length - shortest))


def unpadded_payload(forge: Forge) -> tuple[str, str]:
    """
    Return the encoded header and payload of a good token, whose payload leaves bits unused.
    """
    subjects = ("alice", "alicia", "alexander")
    payloads = [encode(json_of(good_claims(sub=subject))) for subject in subjects]
    return encode(json_of(forge.header())), next(text for text in payloads if len(text) % 4)


def in_standard_alphabet(forge: Forge) -> str:
    """
    Return a good token with "+" for "-" and "/" for "_" in its signature.
    """
    for number in range(1000):
        body, _, signature = forge.claiming(jti=f"token-{number}").rpartition(".")
        if "-" in signature or "_" in signature:
            return f"{body}.{signature.replace('-', '+').replace('_', '/')}"
    raise AssertionError("no such signature")


SPELLING: dict[str, tuple[Attack, Rejection]] = {
    "trailing =": (changed(lambda token: token + "="), MALFORMED),
    "trailing ==": (changed(lambda token: token + "=="), MALFORMED),
    "payload padded and signed so": (
        lambda forge: forge.sign(
            unpadded_payload(forge)[0], unpadded_payload(forge)[1] + "=" * (-len(unpadded_payload(forge)[1]) % 4)
        ),
        MALFORMED,
    ),
    "header padded and signed so": (
        lambda forge: forge.sign(
            base64.urlsafe_b64encode(json_of(forge.header(pad="x" * ((-len(json_of(forge.header(pad=""))) % 3) + 1))))
            .decode()
            .rstrip("=")
            + "=",
            unpadded_payload(forge)[1],
        ),
        MALFORMED,
    ),
    "trailing newline": (changed(lambda token: token + "\n"), MALFORMED),
    "trailing CRLF": (changed(lambda token: token + "\r\n"), MALFORMED),
    "leading space": (changed(lambda token: " " + token), MALFORMED),
    "space in the signature": (changed(lambda token: token[:-5] + " " + token[-5:]), MALFORMED),
    "newline in the payload": (segments(lambda h, p, s: f"{h}.{p[:9]}\n{p[9:]}.{s}"), MALFORMED),
    "tab in the header": (segments(lambda h, p, s: f"{h[:9]}\t{h[9:]}.{p}.{s}"), MALFORMED),
    "NUL at the end": (changed(lambda token: token + "\0"), MALFORMED),
    "zero-width space": (changed(lambda token: token + "\u200b"), MALFORMED),
    "full-width letter": (changed(lambda token: token.replace("e", "\uff45", 1)), MALFORMED),
    "lone surrogate": (changed(lambda token: token + "\ud800"), MALFORMED),
    "? in the signature": (changed(lambda token: token[:-5] + "?" + token[-5:]), MALFORMED),
    "? in the payload, signed so": (
        lambda forge: forge.sign(unpadded_payload(forge)[0], "?" + unpadded_payload(forge)[1]),
        MALFORMED,
    ),
    "bits that are thrown away, in the signature": (segments(lambda h, p, s: f"{h}.{p}.{last_bit_set(s)}"), MALFORMED),
    "bits that are thrown away, in the payload": (
        lambda forge: forge.sign(unpadded_payload(forge)[0], last_bit_set(unpadded_payload(forge)[1])),
        MALFORMED,
    ),
    "standard base64 alphabet": (in_standard_alphabet, MALFORMED),
    "two segments": (segments(lambda h, p, _: f"{h}.{p}"), MALFORMED),
    "one segment": (segments(lambda h, _p, _s: h), MALFORMED),
    "four segments": (changed(lambda token: token + ".x"), MALFORMED),
    "four segments, the last empty": (changed(lambda token: token + "."), MALFORMED),
    "a dot in front": (changed(lambda token: "." + token), MALFORMED),
    "empty header": (segments(lambda _, p, s: f".{p}.{s}"), MALFORMED),
    "empty payload": (segments(lambda h, _, s: f"{h}..{s}"), SIGNATURE),
    "empty payload, signed so": (lambda forge: forge.sign(encode(json_of(forge.header())), ""), MALFORMED),
    "empty signature": (segments(lambda h, p, _: f"{h}.{p}."), MALFORMED),
    "nothing": (changed(lambda _: ""), MALFORMED),
    "two dots": (changed(lambda _: ".."), MALFORMED),
    "Bearer in front": (changed(lambda token: f"Bearer {token}"), MALFORMED),
    "in quotes": (changed(lambda token: f'"{token}"'), MALFORMED),
    "8193 characters": (lambda forge: of_length(forge, MAX_TOKEN + 1), MALFORMED),
    "20 MB": (lambda forge: forge.claiming(pad="x" * 20_000_000), MALFORMED),
    "header of 1025 bytes": (lambda forge: of_header_length(forge, MAX_HEADER + 1), MALFORMED),
    "bytes": (changed(lambda token: token.encode()), MALFORMED),
    "bytearray": (changed(lambda token: bytearray(token.encode())), MALFORMED),
    "None": (changed(lambda _: None), MALFORMED),
    "int": (changed(lambda _: 0), MALFORMED),
    "list of segments": (changed(lambda token: token.split(".")), MALFORMED),
    "flattened JSON serialization": (
        segments(lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s})),
        MALFORMED,
    ),
    "general JSON serialization": (
        segments(
            lambda h, p, s: json.dumps({"payload": p, "signatures": [{"protected": h, "signature": s, "header": {}}]})
        ),
        MALFORMED,
    ),
    "JSON serialization, decoded": (
        segments(lambda h, p, s: {"protected": h, "payload": p, "signature": s}),
        MALFORMED,
    ),
    "JSON around a compact token": (
        segments(lambda h, p, s: f'{{"  {h}.":"","payload":"{p}","protected":".{s}"}}'),
        MALFORMED,
    ),
    "JWE in five segments": (changed(lambda token: token + ".aaaa.bbbb"), MALFORMED),
    "JWE in five segments, three of them empty": (changed(lambda _: "eyJhbGciOiJkaXIifQ...."), MALFORMED),
}


@pytest.mark.parametrize("name", SPELLING)
def test_a_token_has_one_spelling(forge: Forge, name: str) -> None:
    """Whatever differs from the one canonical text of a token is refused, whoever signed it."""
    attack, reason = SPELLING[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


def test_what_is_within_the_limits_is_accepted(forge: Forge) -> None:
    """8192 characters, a header of 1024 bytes and 16 levels pass; one more of each does not."""
    verifier = verifier_of(forge)
    longest, longest_header = of_length(forge, MAX_TOKEN), of_header_length(forge, MAX_HEADER)

    assert (len(longest), len(decode(longest_header.split(".")[0]))) == (8192, 1024)
    # Few brackets are not even looked at more closely; many are.
    beside = deep(16).replace(b'"deep"', b'"beside":[[],[],{}],"deep"')
    for token in (longest, longest_header, forge.raw(deep(16)), forge.raw(beside)):
        assert isinstance(outcome(verifier, token), Claims)
    assert outcome(verifier, forge.raw(deep(17))) == MALFORMED


JSON: dict[str, tuple[Attack, Rejection]] = {
    "sub twice": (with_member('"sub":"admin"'), MALFORMED),
    "sub twice, the same": (with_member('"sub":"alice"'), MALFORMED),
    "sub twice, once escaped": (with_member('"\\u0073ub":"admin"'), MALFORMED),
    "exp twice": (with_member(f'"exp":{NOW + 9999}'), MALFORMED),
    "a member twice, within a claim": (with_member('"a":{"b":{"c":1,"c":2}}'), MALFORMED),
    "a member twice, within a list": (with_member('"a":[{"c":1,"c":1}]'), MALFORMED),
    "alg twice": (with_header_member('"alg":"none"'), MALFORMED),
    "alg twice, the same": (lambda forge: with_header_member(f'"alg":"{forge.algorithm}"')(forge), MALFORMED),
    "kid twice": (with_header_member('"kid":"other"'), MALFORMED),
    "a member twice, within a member of the header": (with_header_member('"a":{"b":1,"b":2}'), MALFORMED),
    "NaN": (with_member('"a":NaN'), MALFORMED),
    "Infinity": (with_member('"a":Infinity'), MALFORMED),
    "-Infinity": (with_member('"a":[-Infinity]'), MALFORMED),
    "1e400": (with_member('"a":1e400'), MALFORMED),
    "-1e400, deep within": (with_member('"a":[{"b":-1.5E+400}]'), MALFORMED),
    "NaN in the header": (with_header_member('"a":NaN'), MALFORMED),
    "1e400 in the header": (with_header_member('"a":1e400'), MALFORMED),
    "int of 5000 digits": (with_member('"a":' + "9" * 5000), MALFORMED),
    "17 levels in the header": (with_header_member('"a":' + "[" * 16 + "]" * 16), MALFORMED),
    "17 levels of objects": (with_member('"a":' + '{"a":' * 16 + "1" + "}" * 16), MALFORMED),
    "5000 levels": (with_member('"a":' + "[" * 2500 + "]" * 2500), MALFORMED),
    "5000 levels, never closed": (with_member('"a":' + "[" * 5000), MALFORMED),
    "900 levels in the header": (with_header_member('"a":' + "[" * 450 + "]" * 450), MALFORMED),
    "an array": (with_text("[]"), MALFORMED),
    "claims within an array": (lambda forge: forge.raw(b"[" + json_of(good_claims()) + b"]"), MALFORMED),
    "a string": (with_text('"sub"'), MALFORMED),
    "a number": (with_text("1"), MALFORMED),
    "null": (with_text("null"), MALFORMED),
    "true": (with_text("true"), MALFORMED),
    "no JSON": (with_text("sub=alice"), MALFORMED),
    "two objects": (lambda forge: forge.raw(json_of(good_claims()) * 2), MALFORMED),
    "text after the object": (lambda forge: forge.raw(json_of(good_claims()) + b"x"), MALFORMED),
    "a comma too many": (lambda forge: forge.raw(json_of(good_claims())[:-1] + b",}"), MALFORMED),
    "a comment": (lambda forge: forge.raw(b"/**/" + json_of(good_claims())), MALFORMED),
    "no object at all": (with_text("{}"), CLAIMS),
    "a newline within a string": (with_member('"a":"\n"'), MALFORMED),
    "header is an array": (lambda forge: forge.raw(json_of(good_claims()), b"[]"), MALFORMED),
    "header is empty": (lambda forge: forge.raw(json_of(good_claims()), b"{}"), HEADER),
    "header is null": (lambda forge: forge.raw(json_of(good_claims()), b"null"), MALFORMED),
    "payload is not UTF-8": (lambda forge: forge.raw(json_of(good_claims())[:-1] + b',"a":"\xff"}'), MALFORMED),
    "overlong UTF-8": (lambda forge: forge.raw(json_of(good_claims())[:-1] + b',"a":"\xc0\xaf"}'), MALFORMED),
    "surrogate in UTF-8": (lambda forge: forge.raw(json_of(good_claims())[:-1] + b',"a":"\xed\xa0\x80"}'), MALFORMED),
    "UTF-16": (lambda forge: forge.raw(json_of(good_claims()).decode().encode("utf-16")), MALFORMED),
    "UTF-32": (lambda forge: forge.raw(json_of(good_claims()).decode().encode("utf-32-be")), MALFORMED),
    "byte order mark": (lambda forge: forge.raw(b"\xef\xbb\xbf" + json_of(good_claims())), MALFORMED),
    "header is not UTF-8": (
        lambda forge: forge.raw(json_of(good_claims()), json_of(forge.header())[:-1] + b',"a":"\xff"}'),
        MALFORMED,
    ),
    "header in UTF-16": (
        lambda forge: forge.raw(json_of(good_claims()), json_of(forge.header()).decode().encode("utf-16-le")),
        MALFORMED,
    ),
    "half a surrogate pair": (with_member('"a":"\\ud800"'), MALFORMED),
    "half a surrogate pair for a name": (with_member('"\\udfff":1'), MALFORMED),
    "half a surrogate pair, deep within": (with_member('"a":[{"b":["x\\uDC00y"]}]'), MALFORMED),
    "half a surrogate pair in sub": (claiming(sub="\ud800"), MALFORMED),
    "half a surrogate pair in the header": (with_header_member('"a":"\\ud800"'), MALFORMED),
    "half a surrogate pair for a kid": (with_header(kid="\ud800"), MALFORMED),
}


@pytest.mark.parametrize("name", JSON)
def test_json_means_one_thing_only(forge: Forge, name: str) -> None:
    """What two parsers could read differently, or one could choke on, is refused."""
    attack, reason = JSON[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


HEADERS: dict[str, tuple[Attack, Rejection]] = {
    "crit, empty": (with_header(crit=[]), HEADER),
    "crit, unknown": (with_header(crit=["x-new"], **{"x-new": True}), HEADER),
    "crit, a registered claim": (with_header(crit=["exp"], exp=NOW + 900), HEADER),
    "crit, b64": (with_header(crit=["b64"], b64=False), HEADER),
    "crit, no list": (with_header(crit="b64"), HEADER),
    "crit, null": (with_header(crit=None), HEADER),
    "b64 false": (with_header(b64=False), HEADER),
    "b64 true": (with_header(b64=True), HEADER),
    "jku": (with_header(jku="https://attacker.example/jwks.json"), HEADER),
    "jku, null": (with_header(jku=None), HEADER),
    "x5u": (with_header(x5u="https://attacker.example/cert.pem"), HEADER),
    "x5c": (with_header(x5c=["MIIC"]), HEADER),
    "jwk": (with_header(jwk={"kty": "oct", "k": "c2VjcmV0"}), HEADER),
    "jwk of a known key": (lambda forge: forge.token(jwk=jwk_of(private_key().public_key())), HEADER),
    "zip": (with_header(zip="DEF"), HEADER),
    "enc": (with_header(enc="A256GCM"), HEADER),
    "epk": (with_header(epk={"kty": "EC"}), HEADER),
    "cty: a token within": (with_header(cty="JWT"), HEADER),
    "alg missing": (with_header(alg=ABSENT), HEADER),
    "alg null": (with_header(alg=None), HEADER),
    "alg a list": (lambda forge: forge.token(alg=[forge.algorithm]), HEADER),
    "alg an object": (with_header(alg={}), HEADER),
    "alg true": (with_header(alg=True), HEADER),
    "alg empty": (with_header(alg=""), SIGNATURE),
    "alg in lower case": (lambda forge: forge.token(alg=forge.algorithm.lower()), SIGNATURE),
    "alg with a space": (lambda forge: forge.token(alg=f"{forge.algorithm} "), SIGNATURE),
    "alg of the same family": (lambda forge: forge.token(alg=f"{forge.algorithm[:2]}512"), SIGNATURE),
    "alg of the other kind": (
        lambda forge: forge.token(alg="RS256" if forge.algorithm == "HS256" else "HS256"),
        SIGNATURE,
    ),
    "alg PS256": (with_header(alg="PS256"), SIGNATURE),
    "alg ES256": (with_header(alg="ES256"), SIGNATURE),
    "alg dir": (with_header(alg="dir"), SIGNATURE),
    "kid missing": (with_header(kid=ABSENT), UNKNOWN_KEY),
    "kid null": (with_header(kid=None), HEADER),
    "kid an object": (with_header(kid={"kty": "oct", "k": "c2VjcmV0"}), HEADER),
    "kid a list": (with_header(kid=[KID]), HEADER),
    "kid an int": (with_header(kid=0), HEADER),
    "kid true": (with_header(kid=True), HEADER),
    "kid empty": (with_header(kid=""), HEADER),
    "kid with another case": (with_header(kid=KID.upper()), UNKNOWN_KEY),
    "kid with a newline": (with_header(kid=KID + "\n"), UNKNOWN_KEY),
    "kid with a NUL": (with_header(kid=KID + "\0"), UNKNOWN_KEY),
    "typ missing": (with_header(typ=ABSENT), TYPE),
    "typ empty": (with_header(typ=""), TYPE),
    "typ null": (with_header(typ=None), HEADER),
    "typ a list": (with_header(typ=[ACCESS]), HEADER),
    "typ JWT": (with_header(typ="JWT"), TYPE),
    "typ refresh+jwt": (with_header(typ="refresh+jwt"), TYPE),
    "typ rt+jwt": (with_header(typ=REFRESH), TYPE),
    "typ dpop+jwt": (with_header(typ="dpop+jwt"), TYPE),
    "typ logout+jwt": (with_header(typ="logout+jwt"), TYPE),
    "typ with a space": (with_header(typ="at+jwt "), TYPE),
    "typ with a parameter": (with_header(typ="application/at+jwt;v=1"), TYPE),
    "typ of another tree": (with_header(typ="text/at+jwt"), TYPE),
    "typ with application/ twice": (with_header(typ="application/application/at+jwt"), TYPE),
    "typ with a slash behind": (with_header(typ="at+jwt/"), TYPE),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_chooses_nothing(forge: Forge, name: str) -> None:
    """A header names a key that is known, its algorithm and the type asked for, and asks for nothing."""
    attack, reason = HEADERS[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


@pytest.mark.parametrize(
    "spelling", ["none", "None", "NONE", "nOnE", "NonE", "none ", " none", "null", "", "\uff4eone"]
)
def test_alg_none_is_no_algorithm(forge: Forge, spelling: str) -> None:
    """However it is spelled: without a signature, with an empty byte for one, and with a real one."""
    verifier = verifier_of(forge)
    signed = forge.token(alg=spelling)
    body = signed.rpartition(".")[0]

    assert outcome(verifier, f"{body}.") == MALFORMED
    assert outcome(verifier, body) == MALFORMED
    assert outcome(verifier, f"{body}.AA") == SIGNATURE
    assert outcome(verifier, signed) == SIGNATURE


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "/dev/null",
        "file:///proc/sys/kernel/randomize_va_space",
        "x' UNION SELECT 'secret' -- ",
        "' OR 1=1; --",
        "key|id",
        "$(id)",
        "`id`",
        "key\nnext",
        "key\r\nX-Header: 1",
        "http://169.254.169.254/latest/meta-data",
        "{{7*7}}",
        "%00",
        "a" * 65,
        "ключ",
        "a b",
    ],
)
def test_a_kid_is_no_path_and_no_query(forge: Forge, kid: str) -> None:
    """A kid that could mean something elsewhere is not even looked for."""
    keys = FixedKeys(keys_for(forge))

    assert outcome(verifier_of(forge, keys=keys), forge.token(kid=kid)) == UNKNOWN_KEY
    assert keys.searched == []


def test_an_unknown_kid_in_order_is_searched_for_once(forge: Forge) -> None:
    """And accepted where the search brings its key; the signature is checked all the same."""
    known = keys_for(forge)
    key = known.verifying[KID]
    later = Keys(verifying={"new": VerifyingKey("new", key.algorithm, key._key)}, timing=TIMING)
    without, found = FixedKeys(known), FixedKeys(known, later)
    token = forge.token(kid="new")

    assert outcome(verifier_of(forge, keys=without), token) == UNKNOWN_KEY
    assert isinstance(outcome(verifier_of(forge, keys=found), token), Claims)
    forged = f"{token.rpartition('.')[0]}.{forge.token().rpartition('.')[2]}"
    assert outcome(verifier_of(forge, keys=found), forged) == SIGNATURE
    assert (without.searched, found.searched) == (["new"], ["new", "new"])


def test_a_kid_of_an_algorithm_that_no_key_has_is_not_searched_for(forge: Forge) -> None:
    """Tokens of another algorithm cannot make a reader read."""
    keys = FixedKeys(keys_for(forge))

    assert outcome(verifier_of(forge, keys=keys), forge.token(kid="new", alg="ES256")) == UNKNOWN_KEY
    assert keys.searched == []


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "x5c", "kid", "cty", "iss"])
def test_nothing_in_a_token_is_fetched(forge: Forge, member: str) -> None:
    """A server that a token points to, in each place that could be followed, is never asked, whoever signed the token."""
    with Peer(lambda _: answer(200, {"keys": [jwk_of(private_key(9).public_key())]})) as canary:
        url = f"{canary.address}/jwks.json"
        value = {"jwk": {**jwk_of(private_key(9).public_key()), "x5u": url}, "x5c": [url]}.get(member, url)
        for signer in (forge, rsa_forge(9) if forge.public else hmac_forge(b"x" * 32)):
            token = signer.claiming(iss=url) if member == "iss" else signer.token(None, **{member: value})
            assert isinstance(outcome(verifier_of(forge), token), Rejection)
        assert canary.connections == 0
        urllib.request.urlopen(url).close()
        assert canary.connections == 1, "the canary counts"


def public_texts() -> dict[str, bytes]:
    """
    Return the ways to write down the public half, each a secret for whoever confuses the kinds of key.
    """
    public = private_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    numbers = public.public_numbers()
    return {
        "PEM": pem,
        "PEM without the last newline": pem.rstrip(b"\n"),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM in one line": pem.replace(b"\n", b""),
        "PEM with a newline in front": b"\n" + pem,
        "PKCS#1 PEM": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS#1 DER": public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk_of(public)).encode(),
        "JWK, compact": json_of(jwk_of(public)),
        "JWKS": json.dumps({"keys": [jwk_of(public)]}).encode(),
        "modulus": numbers.n.to_bytes(256, "big"),
        "modulus in base64url": jwk_of(public)["n"].encode(),
        "base64 of DER": base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        "kid": KID.encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("form", public_texts())
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_half_is_no_secret(form: str, algorithm: str) -> None:
    """What is known of an RSA key makes no HMAC that its verifier takes, in whatever form."""
    attacker = hmac_forge(public_texts()[form], algorithm)
    verifier = verifier_of(rsa_forge())

    assert outcome(verifier, attacker.token()) == SIGNATURE
    assert outcome(verifier_of(rsa_forge(), kid_optional=True), attacker.token(kid=ABSENT)) == SIGNATURE
    assert outcome(verifier, attacker.token(alg="RS256")) == SIGNATURE


@pytest.mark.parametrize(
    "form",
    [name for name, text in public_texts().items() if text.isascii() and not name.endswith(("DER", "base64url"))],
)
def test_a_public_half_cannot_be_made_a_secret(form: str) -> None:
    """Nobody gets a verifier with a shared secret out of a public key by mistake."""
    text = public_texts()[form].decode()

    with pytest.raises(RotatorError, match=r"no shared secret|fewer than"):
        verify_with(text, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(RotatorError, match=r"no shared secret|fewer than"):
        verify_with(SECRET, text or "x", issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA", "none", "None", "hs256", "", "HS224"])
def test_shared_secrets_go_with_hmac_only(algorithm: str) -> None:
    """Any other algorithm for a secret is a fault in the configuration."""
    with pytest.raises(ConfigError, match="algorithm"):
        verify_with(SECRET, issuer=ISSUER, audience=AUDIENCE, algorithm=algorithm)


WRONG_TIMES: dict[str, object] = {
    "missing": ABSENT,
    "null": None,
    "true": True,
    "false": False,
    "float": float(NOW + 600),
    "digits": str(NOW + 600),
    "RFC 3339": "2027-01-15T08:00:00Z",
    "empty": "",
    "list": [NOW + 600],
    "object": {"s": NOW + 600},
}
WRONG_TEXTS: dict[str, object] = {
    "missing": ABSENT,
    "null": None,
    "empty": "",
    "int": 1,
    "zero": 0,
    "true": True,
    "list": ["alice"],
    "object": {"alice": 1},
    "1025 characters": "a" * 1025,
}

CLAIM_ATTACKS: dict[str, tuple[Attack, Rejection]] = {
    **{f"exp {name}": (claiming(exp=value), CLAIMS) for name, value in WRONG_TIMES.items()},
    **{f"iat {name}": (claiming(iat=value), CLAIMS) for name, value in WRONG_TIMES.items()},
    **{f"nbf {name}": (claiming(nbf=value), CLAIMS) for name, value in WRONG_TIMES.items() if value is not ABSENT},
    **{f"sub {name}": (claiming(sub=value), CLAIMS) for name, value in WRONG_TEXTS.items()},
    **{f"jti {name}": (claiming(jti=value), CLAIMS) for name, value in WRONG_TEXTS.items()},
    "exp 1e400": (lambda forge: forge.raw(json_of(good_claims(exp=0)).replace(b'"exp":0', b'"exp":1e400')), MALFORMED),
    "exp NaN": (claiming(exp=float("nan")), MALFORMED),
    "exp Infinity": (claiming(exp=float("inf")), MALFORMED),
    "exp of 5000 digits": (
        lambda forge: forge.raw(json_of(good_claims(exp=0)).replace(b'"exp":0', b'"exp":' + b"9" * 5000)),
        MALFORMED,
    ),
    "exp of 4000 digits": (claiming(exp=10**4000), CLAIMS),
    "exp 0": (claiming(exp=0), CLAIMS),
    "exp negative": (claiming(exp=-1), CLAIMS),
    "exp in the year 10000": (claiming(iat=253402300799, exp=253402300800), CLAIMS),
    "exp in the year 9999": (claiming(exp=253402300799), CLAIMS),
    "exp in 2106": (claiming(exp=2**32), CLAIMS),
    "exp at iat": (claiming(exp=NOW), CLAIMS),
    "exp before iat": (claiming(exp=NOW - 1, iat=NOW), CLAIMS),
    "life a second above the policy": (claiming(exp=NOW + 3601), CLAIMS),
    "long life, begun long ago": (claiming(iat=NOW - 3000, exp=NOW + 900), CLAIMS),
    "iat 0": (claiming(iat=0), CLAIMS),
    "iat negative": (claiming(iat=-1, exp=NOW + 900), CLAIMS),
    "iat of -4000 digits": (claiming(iat=-(10**4000)), CLAIMS),
    "exp 60 s ago": (claiming(iat=NOW - 900, exp=NOW - 60), EXPIRED),
    "exp 61 s ago": (claiming(iat=NOW - 900, exp=NOW - 61), EXPIRED),
    "exp a year ago": (claiming(iat=NOW - 31536000, exp=NOW - 31535000), EXPIRED),
    "iat in 61 s": (claiming(iat=NOW + 61), NOT_YET_VALID),
    "iat in an hour": (claiming(iat=NOW + 3600, exp=NOW + 3700), NOT_YET_VALID),
    "nbf in 61 s": (claiming(nbf=NOW + 61), NOT_YET_VALID),
    "nbf in a year": (claiming(nbf=NOW + 31536000), NOT_YET_VALID),
    "nbf of 400 digits": (claiming(nbf=10**400), NOT_YET_VALID),
    "nbf of 4000 digits": (claiming(nbf=10**4000), NOT_YET_VALID),
    "iss missing": (claiming(iss=ABSENT), CLAIMS),
    "iss null": (claiming(iss=None), CLAIMS),
    "iss empty": (claiming(iss=""), CLAIMS),
    "iss a list": (claiming(iss=[ISSUER]), CLAIMS),
    "iss an object": (claiming(iss={ISSUER: 1}), CLAIMS),
    "iss another's": (claiming(iss="https://other.example"), CLAIMS),
    "iss a part of ours": (claiming(iss=ISSUER[:-1]), CLAIMS),
    "iss one letter of ours": (claiming(iss="h"), CLAIMS),
    "iss with ours in front": (claiming(iss=ISSUER + ".attacker.example"), CLAIMS),
    "iss with ours behind": (claiming(iss="https://attacker.example/?" + ISSUER), CLAIMS),
    "iss with a slash": (claiming(iss=ISSUER + "/"), CLAIMS),
    "iss with another case": (claiming(iss=ISSUER.upper()), CLAIMS),
    "iss with a space": (claiming(iss=ISSUER + " "), CLAIMS),
    "aud missing": (claiming(aud=ABSENT), CLAIMS),
    "aud null": (claiming(aud=None), CLAIMS),
    "aud empty": (claiming(aud=""), CLAIMS),
    "aud another's": (claiming(aud="billing"), CLAIMS),
    "aud a part of ours": (claiming(aud=AUDIENCE[:-1]), CLAIMS),
    "aud with ours in front": (claiming(aud=AUDIENCE + "2"), CLAIMS),
    "aud with another case": (claiming(aud=AUDIENCE.upper()), CLAIMS),
    "aud an empty list": (claiming(aud=[]), CLAIMS),
    "aud with an extra audience": (claiming(aud=[AUDIENCE, "billing"]), CLAIMS),
    "aud with an extra audience in front": (claiming(aud=["billing", AUDIENCE]), CLAIMS),
    "aud ours twice": (claiming(aud=[AUDIENCE, AUDIENCE]), CLAIMS),
    "aud a list within a list": (claiming(aud=[[AUDIENCE]]), CLAIMS),
    "aud an object": (claiming(aud={AUDIENCE: True}), CLAIMS),
    "aud an int": (claiming(aud=0), CLAIMS),
    "aud a list of null": (claiming(aud=[None]), CLAIMS),
}


@pytest.mark.parametrize("name", CLAIM_ATTACKS)
def test_claims_are_all_there_and_what_they_should_be(forge: Forge, name: str) -> None:
    """Each required claim, of its one type, for this service, and now."""
    attack, reason = CLAIM_ATTACKS[name]

    assert outcome(verifier_of(forge), attack(forge)) == reason


GOOD: dict[str, Attack] = {
    "plain": claiming(),
    "aud a list of one": claiming(aud=[AUDIENCE]),
    "nbf now": claiming(nbf=NOW),
    "nbf long ago": claiming(nbf=0),
    "nbf before 1970": claiming(nbf=-1),
    "nbf 59 s ahead": claiming(nbf=NOW + 59),
    "nbf 60 s ahead": claiming(nbf=NOW + 60),
    "iat 59 s ahead": claiming(iat=NOW + 59),
    "iat 60 s ahead": claiming(iat=NOW + 60),
    "exp 59 s ago": claiming(iat=NOW - 900, exp=NOW - 59),
    "the longest life": claiming(exp=NOW + 3600),
    "a life of a second": claiming(exp=NOW + 1),
    "the longest sub and jti": claiming(sub="s" * 1024, jti="j" * 1024),
    "claims of one's own": claiming(scope="read write", roles=["a", {"b": None}], n=-1.5e-3, big=2**63, yes=True),
    "a claim that is no name of ours": claiming(crit=["b64"], jku="x", alg="none"),
    "other scripts": claiming(sub="Zoë 王 😀", name="👩‍🚀"),
    "escapes": with_member('"a":"\\u00e9\\ud83d\\ude00\\n"'),
    "white space in JSON": lambda forge: forge.raw(
        json.dumps(good_claims(), indent=2).encode() + b"\r\n\t ", json.dumps(forge.header(), indent=1).encode()
    ),
    "braces within texts": claiming(a="{[" * 40),
    "many lists side by side": claiming(a=[[] for _ in range(200)]),
    "members of the header that say nothing": with_header(x5t="abc", iat=1, extra={"a": [1]}),
    "header in another order": lambda forge: forge.raw(
        json_of(good_claims()), json_of(dict(reversed(forge.header().items())))
    ),
    "typ with application/": with_header(typ="application/at+jwt"),
    "typ in upper case": with_header(typ="AT+JWT"),
    "typ with Application/ in upper case": with_header(typ="Application/AT+JWT"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_is_accepted(forge: Forge, name: str) -> None:
    """Twice, so that what was remembered of the first time is right; the claims are what was signed."""
    token = str(GOOD[name](forge))
    verifier = verifier_of(forge)
    signed = json.loads(decode(token.split(".")[1]))

    for _ in range(2):
        claims = verifier.verify(token)
        assert dict(claims) == signed
        assert (claims.subject, claims.token_id, claims.kid) == (signed["sub"], signed["jti"], KID)
    assert claims.issued_at.timestamp() == signed["iat"]
    assert claims.expires_at.timestamp() == signed["exp"]


def test_a_remembered_header_lets_nothing_by(forge: Forge) -> None:
    """After a good token, the same header is worth nothing to whoever has no key, and a revoked kid is refused."""
    keys = keys_for(forge)
    fixed = FixedKeys(keys)
    verifier = verifier_of(forge, keys=fixed)
    token = forge.token()
    header, payload, signature = token.split(".")
    other = encode(json_of(good_claims(sub="admin")))

    assert isinstance(outcome(verifier, token), Claims)
    assert outcome(verifier, f"{header}.{other}.{signature}") == SIGNATURE
    assert outcome(verifier, f"{header}.{payload}.{encode(b'x' * len(decode(signature)))}") == SIGNATURE
    assert outcome(verifier, forge.token(typ=REFRESH)) == TYPE
    fixed._keys = keys_for(forge, revoked=frozenset({KID}))
    assert outcome(verifier, token) == REVOKED
    fixed._keys = Keys(verifying={}, timing=TIMING)
    assert outcome(verifier, token) == UNKNOWN_KEY


def test_types_are_kept_apart(forge: Forge) -> None:
    """A refresh token opens nothing that an access token does, and the other way round."""
    access, refresh = verifier_of(forge), verifier_of(forge, typ=REFRESH)

    assert isinstance(outcome(access, forge.token()), Claims)
    assert isinstance(outcome(refresh, forge.token(typ=REFRESH)), Claims)
    assert isinstance(outcome(refresh, forge.token(typ="application/RT+JWT")), Claims)
    assert outcome(access, forge.token(typ=REFRESH)) == TYPE
    assert outcome(refresh, forge.token()) == TYPE
    # "application/" is left out only where no other slash follows (RFC 7515 section 4.1.9).
    assert outcome(verifier_of(forge, typ="a/b"), forge.token(typ="application/a/b")) == TYPE


@pytest.mark.parametrize(
    ("leeway", "after", "expected"),
    [
        (None, 59, True),
        (None, 60, False),
        (None, 61, False),
        (timedelta(0), -1, True),
        (timedelta(0), 0, False),
        (timedelta(seconds=5), 4, True),
        (timedelta(seconds=5), 5, False),
        (timedelta(minutes=1), 59, True),
        (timedelta(minutes=1), 60, False),
    ],
)
def test_leeway_is_the_clock_skew_at_the_end_of_a_life(
    forge: Forge, leeway: timedelta | None, after: int, expected: bool
) -> None:
    """A token is taken until exp and the leeway, that moment not included; the leeway is the keyset's clock_skew."""
    verifier = verifier_of(forge, leeway=leeway, now=lambda: NOW + 900 + after)

    assert outcome(verifier, forge.token()) == EXPIRED if not expected else verifier.verify(forge.token())


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("before", "expected"), [(59, True), (60, True), (61, False)])
def test_leeway_at_the_beginning_of_a_life(forge: Forge, claim: str, before: int, expected: bool) -> None:
    """A token is taken from iat and nbf less the leeway on, that moment included."""
    token = forge.claiming(**{"iat": NOW - 300, claim: NOW})
    result = outcome(verifier_of(forge, now=lambda: NOW - before), token)

    assert isinstance(result, Claims) if expected else result == NOT_YET_VALID


@pytest.mark.parametrize(
    "times", [{"iat": True, "exp": 60}, {"iat": False, "exp": 60}, {"iat": 0, "exp": True}, {"iat": -5, "exp": 60}]
)
def test_times_are_no_truth_values_and_not_before_1970(forge: Forge, times: dict[str, object]) -> None:
    """Even for a clock that stands at the beginning of time, where true would be a second of it."""
    verifier = verifier_of(forge, now=lambda: 0)

    assert isinstance(outcome(verifier, forge.claiming(iat=0, exp=60)), Claims)
    assert outcome(verifier, forge.claiming(**times)) == CLAIMS


def test_the_policy_of_today_counts(forge: Forge) -> None:
    """When the keyset's timing changes, so does what is accepted, at once."""
    keys = FixedKeys(keys_for(forge))
    verifier = verifier_of(forge, keys=keys)
    hour, half = forge.claiming(exp=NOW + 3600), timedelta(minutes=30)
    early = forge.claiming(iat=NOW + 30)

    assert isinstance(outcome(verifier, hour), Claims)
    assert isinstance(outcome(verifier, early), Claims)
    keys._keys = keys_for(forge, timing=Timing(TIMING.propagation_time, half, timedelta(seconds=5)))
    assert outcome(verifier, hour) == CLAIMS
    assert outcome(verifier, early) == NOT_YET_VALID


def test_leeway_is_never_above_a_minute(forge: Forge) -> None:
    """Whatever the keyset says, and whoever asks."""
    sloppy = keys_for(forge, timing=Timing(TIMING.propagation_time, TIMING.max_token_lifetime, timedelta(hours=1)))
    verifier = verifier_of(forge, keys=FixedKeys(sloppy), now=lambda: NOW + 960)

    assert outcome(verifier, forge.token()) == EXPIRED
    for wrong in (timedelta(seconds=61), timedelta(seconds=-1)):
        with pytest.raises(ConfigError, match="leeway"):
            verifier_of(forge, leeway=wrong)


@pytest.mark.parametrize("option", ["issuer", "audience", "typ"])
@pytest.mark.parametrize("value", ["", None, ["a"], 1, b"api"])
def test_a_verifier_cannot_be_made_without_saying_whose_tokens_it_takes(option: str, value: Any) -> None:
    """Issuer, audience and type are texts, none of them empty: there is no way to leave a check out."""
    with pytest.raises(ConfigError, match=option):
        verifier_of(hmac_forge(), **{option: value})


def test_another_key_signs_in_vain(forge: Forge) -> None:
    """A key of the same kind, under our kid."""
    attacker = rsa_forge(1) if forge.public else hmac_forge(b"0123456789abcdef" * 2)

    assert outcome(verifier_of(forge), attacker.token()) == SIGNATURE


@pytest.mark.parametrize(
    "signature",
    [b"\0", b"\0" * 32, b"\xff" * 32, b"\0" * 255, b"\0" * 256, b"\0" * 255 + b"\1", b"\xff" * 256, b"\0" * 257],
)
def test_made_up_signatures_do_not_verify(forge: Forge, signature: bytes) -> None:
    """Zeros, ones, and lengths that are no signature's."""
    body = forge.token().rpartition(".")[0]

    assert outcome(verifier_of(forge), f"{body}.{encode(signature)}") == SIGNATURE


def test_a_signature_is_whole(forge: Forge) -> None:
    """Neither a part of it nor more than it verifies, and no bit of it may differ."""
    body, _, text = forge.token().rpartition(".")
    signature = decode(text)
    verifier = verifier_of(forge)

    for cut in (signature[:-1], signature[1:], signature[:16], signature + b"\0", b"\0" + signature, signature * 2):
        assert outcome(verifier, f"{body}.{encode(cut)}") == SIGNATURE
    for place in range(len(signature)):
        flipped = bytearray(signature)
        flipped[place] ^= 1 << place % 8
        assert outcome(verifier, f"{body}.{encode(bytes(flipped))}") == SIGNATURE


def test_an_rsa_signature_plus_the_modulus_is_another_one() -> None:
    """Not the same number again: s and s + n mean the same to whoever does not look at the size."""
    forge = rsa_forge()
    modulus = private_key().public_key().public_numbers().n
    tried = 0
    for number in range(200):
        token = forge.claiming(jti=f"t{number}")
        body, _, text = token.rpartition(".")
        larger = int.from_bytes(decode(text), "big") + modulus
        if larger.bit_length() <= 2048:
            tried += 1
            assert isinstance(outcome(verifier_of(forge), token), Claims)
            assert outcome(verifier_of(forge), f"{body}.{encode(larger.to_bytes(256, 'big'))}") == SIGNATURE
    assert tried


OID = bytes.fromhex("0609608648016503040201")  # SHA-256


def paddings(digest: bytes) -> dict[str, bytes]:
    """
    Return ways to write down *digest* in a signature (RFC 8017 section 9.2), the first of them the right one.
    """

    def padded(info: bytes, front: bytes = b"\0\1", fill: bytes = b"\xff") -> bytes:
        return front + fill * (256 - len(front) - 1 - len(info)) + b"\0" + info

    sha, null = b"\x30\x0d" + OID + b"\x05\0", b"\x04\x20" + digest
    right = b"\x30\x31" + sha + null
    good = padded(right)
    return {
        "right": good,
        "long form of a length": padded(b"\x30\x81\x31" + sha + null),
        "long form with a leading zero": padded(b"\x30\x82\0\x31" + sha + null),
        "long form within": padded(b"\x30\x32\x30\x81\x0d" + sha[2:] + null),
        "long form of the digest's length": padded(b"\x30\x32" + sha + b"\x04\x81\x20" + digest),
        "indefinite length": padded(b"\x30\x80" + sha + null + b"\0\0"),
        "length one too short": padded(b"\x30\x30" + sha + null),
        "length one too long": padded(b"\x30\x32" + sha + null),
        "no parameters": padded(b"\x30\x2f\x30\x0b" + OID + null),
        "parameters that say something": padded(b"\x30\x33\x30\x0f" + OID + b"\x05\x02ab" + null),
        "a set for a sequence": padded(b"\x31\x31" + sha + null),
        "a bit string for an octet string": padded(b"\x30\x31" + sha + b"\x03\x20" + digest),
        "no structure at all": padded(digest),
        "SHA-1 for a name": padded(b"\x30\x2d\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\0" + null),
        "SHA-512 for a name": padded(right.replace(OID, OID[:-1] + b"\x03")),
        "half of the digest": padded(b"\x30\x21" + sha + b"\x04\x10" + digest[:16]),
        "text behind the digest": padded(right + b"x"),
        "zeros behind the digest": padded(right + bytes(8)),
        "zeros within the sequence": padded(b"\x30\x33" + sha + null + b"\0\0"),
        "short padding, then garbage": b"\0\1" + b"\xff" * 8 + b"\0" + right + b"x" * (256 - 11 - len(right)),
        "no padding, then garbage": b"\0\1\0" + right + b"x" * (256 - 3 - len(right)),
        "garbage for padding": good[:2] + b"\xff" * 20 + b"\x7f" * (len(good) - 22 - len(right) - 1) + b"\0" + right,
        "a zero within the padding": good[:50] + b"\0" + good[51:],
        "block type 0": padded(right, front=b"\0\0", fill=b"\0"),
        "block type 2": padded(right, front=b"\0\2"),
        "no zero before the structure": good[: -len(right) - 1] + b"\xff" + right,
        "PSS-like end": good[:-1] + b"\xbc",
    }


@pytest.mark.parametrize("name", paddings(b""))
def test_rsa_padding_is_exact(name: str) -> None:
    """Signed with the right key over the right digest, and padded in any but the one way, as Bleichenbacher's forgeries are."""
    forge = rsa_forge()
    numbers = private_key().private_numbers()
    body = forge.token().rpartition(".")[0]
    block = paddings(hashlib.sha256(body.encode()).digest())[name]
    assert len(block) == 256
    signature = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")

    result = outcome(verifier_of(forge), f"{body}.{encode(signature)}")
    assert isinstance(result, Claims) if name == "right" else result == SIGNATURE


class Untouchable:
    """
    A key that must not be used.
    """

    def __init__(self, algorithm: str) -> None:
        self.kid, self.algorithm = KID, Algorithm(algorithm)
        self.longest_token = timedelta(0)
        self.used = 0

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """
        Note that it happened, and say yes.
        """
        assert signing_input
        assert signature
        self.used += 1
        return True


def test_a_revoked_kid_is_refused_before_its_key_is_used(forge: Forge) -> None:
    """Even where the key is still in the set: with a kid, found by a search, and with every key tried."""
    key: Any = Untouchable(forge.algorithm)
    keys = Keys(verifying={KID: key}, revoked=frozenset({KID}), timing=TIMING)
    searched = FixedKeys(keys_for(forge, verifying={"other": key}), later=keys)

    assert outcome(verifier_of(forge, keys=FixedKeys(keys)), forge.token()) == REVOKED
    assert outcome(verifier_of(forge, keys=searched), forge.token()) == REVOKED
    optional = verifier_of(forge, keys=FixedKeys(keys), kid_optional=True)
    assert outcome(optional, forge.token(kid=ABSENT)) == SIGNATURE
    assert outcome(optional, forge.token()) == REVOKED
    assert key.used == 0
    assert isinstance(
        outcome(verifier_of(forge, keys=FixedKeys(Keys(verifying={KID: key}, timing=TIMING))), forge.token()), Claims
    )
    assert key.used == 1


def test_a_token_without_a_kid_passes_only_where_that_was_asked_for(forge: Forge) -> None:
    """With kid_optional every key is tried, each with its own algorithm; a kid that is there counts all the same."""
    token = forge.token(kid=ABSENT)
    optional = verifier_of(forge, kid_optional=True)

    assert outcome(verifier_of(forge), token) == UNKNOWN_KEY
    assert isinstance(outcome(optional, token), Claims)
    assert outcome(optional, forge.token(kid="")) == HEADER
    assert outcome(optional, forge.token(kid="other")) == UNKNOWN_KEY
    assert outcome(optional, forge.token(kid=ABSENT, alg="none")) == SIGNATURE


def test_a_key_has_one_algorithm() -> None:
    """The same secret under HS512 does not verify HS256, and the other way round."""
    secret = (SECRET + SECRET).encode()
    for bound, used in (("HS256", "HS512"), ("HS512", "HS256"), ("HS384", "HS256")):
        keys = Keys(verifying={KID: secret_key(KID, Algorithm(bound), secret)[0]}, timing=TIMING)
        verifier = verifier_of(hmac_forge(), keys=FixedKeys(keys))

        assert outcome(verifier, hmac_forge(secret, used).token()) == SIGNATURE
        assert isinstance(outcome(verifier, hmac_forge(secret, bound).token()), Claims)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_tokens_of_another_library_are_accepted(algorithm: str) -> None:
    """What PyJWT signs with our secret, kid and typ, with a list for one audience, and without a kid for former tokens."""
    secret = SECRET + SECRET
    keys = Keys(verifying={KID: secret_key(KID, Algorithm(algorithm), secret.encode())[0]}, timing=TIMING)
    for claims in (good_claims(), good_claims(aud=[AUDIENCE]), good_claims(nbf=NOW, scope="a b")):
        token = jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": KID, "typ": "at+jwt"})
        bare = jwt.encode(claims, secret, algorithm=algorithm, headers={"typ": "at+jwt"})

        assert dict(verifier_of(hmac_forge(), keys=FixedKeys(keys)).verify(token)) == claims
        assert dict(verifier_of(hmac_forge(), keys=FixedKeys(keys), kid_optional=True).verify(bare)) == claims
        static = verifier_of(hmac_forge(), keys=StaticKeys(secret, algorithm=algorithm, timing=TIMING))
        assert dict(static.verify(bare)) == dict(static.verify(token)) == claims


def test_rsa_tokens_of_another_library_are_accepted() -> None:
    """What PyJWT signs with the private half verifies with the JWKS of the public one."""
    token = jwt.encode(good_claims(), private_key(), algorithm="RS256", headers={"kid": KID, "typ": "at+jwt"})

    assert dict(verifier_of(rsa_forge()).verify(token)) == good_claims()


def test_another_librarys_defaults_are_refused() -> None:
    """PyJWT writes typ JWT and no kid unless told: neither is what an access token bears."""
    assert outcome(verifier_of(hmac_forge()), jwt.encode(good_claims(), SECRET, headers={"kid": KID})) == TYPE
    assert outcome(verifier_of(hmac_forge()), jwt.encode(good_claims(), SECRET, headers={"typ": ACCESS})) == UNKNOWN_KEY


def test_static_secrets_old_and_new_verify() -> None:
    """Each of them, whatever kid a token names; one that is no longer there does not."""
    old, older = SECRET[::-1], SECRET[7:] + SECRET[:7]
    keys = StaticKeys(SECRET, old, None, "", timing=TIMING)
    verifier = verifier_of(hmac_forge(), keys=keys)

    for secret in (SECRET, old):
        assert isinstance(outcome(verifier, hmac_forge(secret.encode()).token(kid=ABSENT)), Claims)
        assert isinstance(outcome(verifier, hmac_forge(secret.encode()).token(kid="anything at all")), Claims)
    assert outcome(verifier, hmac_forge(older.encode()).token()) == SIGNATURE
    assert outcome(verifier, rsa_forge().token()) == SIGNATURE


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
    """It fails for whoever asks for it, not for whoever gets the token."""
    signer = Signer(StaticKeys(SECRET, timing=TIMING), issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    options = {"subject": "alice"} | UNSIGNED[name]

    with pytest.raises(SigningError):
        signer.sign(options.pop("subject"), **options)
    assert signer.sign("alice")


def test_keys_that_only_verify_do_not_sign() -> None:
    """A public half signs nothing."""
    with pytest.raises(SigningError, match="do not sign"):
        Signer(FixedKeys(keys_for(rsa_forge())), issuer=ISSUER, audience=AUDIENCE).sign("alice")


@pytest.mark.parametrize(("algorithm", "shortest"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secrets_as_long_as_the_hash(algorithm: str, shortest: int) -> None:
    """Every shorter one is refused, wherever it comes from (RFC 7518 section 3.2)."""
    text = "Zk3vT9qXw2LmB7rNc5YhDf8JpGs4QaUe6MxKtEi1WoCgPzHnV0yRlSjbFuAdq-_7"[:shortest]
    for size in range(shortest):
        with pytest.raises(WeakSecretError, match=f"{size} bytes"):
            secret_key(KID, Algorithm(algorithm), text[:size].encode())
        with pytest.raises(WeakSecretError):
            StaticKeys(text[:size] or "x", algorithm=algorithm)

    assert secret_key(KID, Algorithm(algorithm), text.encode())
    assert StaticKeys(text, algorithm=algorithm).verifying().signing is not None


def every_attack() -> Iterator[tuple[str, Attack]]:
    """
    Yield the attacks of all tables.
    """
    for table in (SPELLING, JSON, HEADERS, CLAIM_ATTACKS):
        for name, (attack, _) in table.items():
            yield name, attack


def test_all_refusals_look_alike(forge: Forge) -> None:
    """One type, one message, no cause and no trace of the token in the error: an attacker learns nothing from it."""
    verifier = verifier_of(forge)
    for name, attack in every_attack():
        with pytest.raises(InvalidTokenError) as caught:
            verifier.verify(attack(forge))  # type: ignore[arg-type] # some are no texts
        error = caught.value
        assert type(error) is InvalidTokenError, name
        assert (str(error), repr(error)) == ("invalid token", "InvalidTokenError('invalid token')"), name
        assert error.__cause__ is None, name
        assert error.__context__ is None or error.__suppress_context__, name
