"""
Tokens that a verifier must refuse, in tables: how each is made from a good one, and why it is refused.
"""

import base64
import json
from collections.abc import Callable, Iterator

from rotator.client import ACCESS, REFRESH, Rejection
from rotator.client.jose.compact import MAX_HEADER, MAX_TOKEN
from tests.support.forgery import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    KID,
    NOW,
    Forge,
    encode,
    good_claims,
    hmac_forge,
    json_of,
    jwk_of,
    private_key,
    rsa_forge,
)

MALFORMED, HEADER, UNKNOWN_KEY = Rejection.MALFORMED, Rejection.HEADER, Rejection.UNKNOWN_KEY

SIGNATURE, TYPE, CLAIMS = Rejection.SIGNATURE, Rejection.TYPE, Rejection.CLAIMS

EXPIRED, NOT_YET_VALID, REVOKED = Rejection.EXPIRED, Rejection.NOT_YET_VALID, Rejection.REVOKED

Attack = Callable[[Forge], object]

FORGES: dict[str, Callable[[], Forge]] = {"HS256": hmac_forge, "RS256": rsa_forge}


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
    Return an attack that joins the segments of a good token in another way.
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


def every_attack() -> Iterator[tuple[str, Attack]]:
    """
    Yield the attacks of all tables.
    """
    for table in (SPELLING, JSON, HEADERS, CLAIM_ATTACKS):
        for name, (attack, _) in table.items():
            yield name, attack
