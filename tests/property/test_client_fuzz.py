"""
Whatever is sent, there are claims or InvalidTokenError, and claims only for what was signed and is in order.

ROTATOR_FUZZ_EXAMPLES says how many examples altogether (100,000; nightly 10,000,000), ROTATOR_FUZZ_SEED repeats a run.
"""

import json
import os
import random
import re
import string
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rotator.client import Claims, InvalidTokenError, Signer, SigningError, StaticKeys, WeakSecretError, require_strong
from rotator.client.jose.keys import keys_of_jwks
from rotator.errors import KeyMaterialError
from tests.support.forgery import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    KID,
    NOW,
    SECRET,
    TIMING,
    Forge,
    decode,
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

EXAMPLES = int(os.environ.get("ROTATOR_FUZZ_EXAMPLES", "100000"))
SEED = int(os.environ.get("ROTATOR_FUZZ_SEED", "") or random.SystemRandom().getrandbits(32))
FORGES: dict[str, Callable[[], Forge]] = {"HS256": hmac_forge, "RS256": rsa_forge}
BASE64URL = string.ascii_letters + string.digits + "-_"
# Characters of tokens and JSON, similar ones, and ones that must not occur there.
CHARACTERS = BASE64URL + "=+/. \n\t\r\0{}[]\":,\\'ueE9nN" + "é\u200b\ud800😀"
PIECES = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\\udc00\\ud800",
        b" ",
        b"\n",
        b"\0",
        b"\xff",
    ),
    *(
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"-",
        b"0",
        b"1e400",
        b"1e5",
        b".5",
        b"9" * 19,
        b"9" * 400,
        b"[" * 17,
        b"{}",
    ),
    *(
        b'"exp":0,',
        b'"exp":1800000900',
        b'"sub":"x"',
        b'"nbf":1',
        b'"crit":[]',
        b'"kid":"x"',
        b'"alg":"none"',
        b'"a":1,',
    ),
]
SAID = re.compile(
    r"it (has \d+ bytes, fewer than 32: too weak to sign with|is not UTF-8 text|is a PEM key, an SSH key or a JWK, and no shared "
    r"secret|(holds at most \d+ bits, in hexadecimal digits, or )?can be guessed: common words, sequences or repetition); "
    r"make one with `rotator generate` \(256 random bits as 64 hex digits\)"
)
FORBIDDEN = {"crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip", "cty", "epk"}

settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=max(100, EXAMPLES // 200),
    suppress_health_check=list(HealthCheck),
    database=None,
)
fuzzed = settings(settings.get_profile("fuzz"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + EXAMPLES // 500)]


def mutated_text(numbers: random.Random, text: str, others: list[str]) -> str:
    """
    Return *text* with one to three changes such as an attacker or a bad line would make.
    """
    for _ in range(numbers.choice((1, 1, 1, 2, 3))):
        place = numbers.randrange(len(text) + 1)
        match numbers.randrange(12):
            case 0 | 1:
                text = text[:place] + numbers.choice(BASE64URL) + text[place + 1 :]
            case 2:
                text = text[:place] + numbers.choice(CHARACTERS) + text[place + 1 :]
            case 3:
                text = text[:place] + numbers.choice(CHARACTERS) + text[place:]
            case 4:
                text = text[:place] + text[place + numbers.randrange(1, 5) :]
            case 5:
                text = text[:place] + text[place : place + numbers.randrange(1, 50)] + text[place:]
            case 6:
                segments = text.split(".")
                numbers.shuffle(segments)
                text = ".".join(segments)
            case 7:
                segments = text.split(".")
                which = numbers.randrange(len(segments))
                other = numbers.choice(others).split(".")
                segments[which] = other[which % len(other)]
                text = ".".join(segments)
            case 8:
                text = text[:place]
            case 9:
                text = text[:-1] + numbers.choice(BASE64URL)
            case 10:
                text += numbers.choice(("=", "==", ".", "\n", " ", "A", ".A", "\0"))
            case _:
                segments = text.split(".")
                which = numbers.randrange(len(segments))
                try:
                    segments[which] = encode(mutated_bytes(numbers, decode(segments[which])))
                except ValueError:
                    segments[which] = ""
                text = ".".join(segments)
    return text


def mutated_bytes(numbers: random.Random, data: bytes) -> bytes:
    """
    Return JSON with one to three changes, of bytes or of what JSON is made of.
    """
    for _ in range(numbers.choice((1, 1, 1, 2, 3))):
        place = numbers.randrange(len(data) + 1)
        match numbers.randrange(7):
            case 0:
                data = data[:place] + bytes([numbers.randrange(256)]) + data[place + 1 :]
            case 1:
                data = data[:place] + bytes([numbers.randrange(256)]) + data[place:]
            case 2:
                data = data[:place] + data[place + numbers.randrange(1, 4) :]
            case 3:
                data = data[:place] + numbers.choice(PIECES) + data[place:]
            case 4:
                data = data[:place] + numbers.choice(PIECES) + data[place + numbers.randrange(1, 9) :]
            case 5:
                start, end = sorted((place, numbers.randrange(len(data) + 1)))
                data = data[:end] + data[start:end] + data[end:]
            case _:
                digits = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
                if digits:
                    at = numbers.choice(digits)
                    data = data[:at] + bytes([numbers.randrange(48, 58)]) + data[at + 1 :]
    return data


def in_order(forge: Forge, header: bytes, payload: bytes) -> bool:
    """
    Whether a token of *header* and *payload*, signed with our key, should be accepted: the rules again.
    """
    try:
        names, claims = _read(header), _read(payload)
    except ValueError:
        return False
    if names.keys() & FORBIDDEN or len(header) > 1024:
        return False
    if names.get("alg") != forge.algorithm or names.get("kid") != KID or not isinstance(names.get("typ"), str):
        return False
    if names["typ"].lower() not in {"at+jwt", "application/at+jwt"}:
        return False
    if claims.get("iss") != ISSUER or claims.get("aud") not in (AUDIENCE, [AUDIENCE]):
        return False
    if not all(isinstance(claims.get(name), str) and 1 <= len(claims[name]) <= 1024 for name in ("sub", "jti")):
        return False
    times = [claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)]
    if not all(isinstance(time, int) and not isinstance(time, bool) for time in times):
        return False
    iat, exp, nbf = (int(time or 0) for time in times)
    return 0 <= iat < exp <= iat + 3600 and exp > NOW - 60 and max(iat, nbf) <= NOW + 60


def _read(data: bytes) -> dict[str, Any]:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def number(text: str) -> float:
        if float(text) in (float("inf"), float("-inf")):
            raise ValueError
        return float(text)

    try:
        value = json.loads(data.decode(), object_pairs_hook=members, parse_constant=float.fromhex, parse_float=number)
    except RecursionError:
        raise ValueError from None
    if not isinstance(value, dict) or _levels(value) > 16 or data[:1] == b"\xef" or _not_finite(value):
        raise ValueError
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _levels(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_levels, inner), default=0)


def _not_finite(value: object) -> bool:
    if isinstance(value, dict | list):
        return any(map(_not_finite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))  # noqa: PLR0124 - NaN


def good_tokens(forge: Forge) -> list[str]:
    """
    Return tokens that are accepted, of different lengths.
    """
    claims = [
        good_claims(),
        good_claims(sub="bob", nbf=NOW),
        good_claims(a={"b": [1, None]}, aud=[AUDIENCE]),
        good_claims(z="é"),
    ]
    return [forge.token(each) for each in claims] + [forge.token(typ="application/at+jwt")]


@pytest.mark.parametrize(("name", "share"), [("HS256", 0.5), ("RS256", 0.3)])
def test_changed_tokens_are_refused(name: str, share: float) -> None:
    """No text is accepted but the very ones that were made; nothing else than InvalidTokenError comes of the others."""
    numbers, forge = random.Random(f"{SEED} {name}"), FORGES[name]()  # noqa: S311 - to be repeated
    verifier, good = verifier_of(forge), good_tokens(forge)
    others = [
        *good,
        hmac_forge(b"x" * 32).token(),
        rsa_forge(1).token(),
        forge.token(typ="rt+jwt"),
        forge.claiming(exp=0),
    ]
    made, accepted = frozenset(good), 0
    for count in range(int(EXAMPLES * share)):
        token = mutated_text(numbers, numbers.choice(good), others)
        try:
            verifier.verify(token)
        except InvalidTokenError:
            assert token not in made, f"ROTATOR_FUZZ_SEED={SEED} example {count}: refused {token!r}"
        except Exception as error:  # noqa: BLE001 - the point
            pytest.fail(f"ROTATOR_FUZZ_SEED={SEED} example {count}: {error!r} for {token!r}")
        else:
            accepted += 1
            assert token in made, f"ROTATOR_FUZZ_SEED={SEED} example {count}: accepted {token!r}"
    assert accepted < EXAMPLES * share / 10, f"ROTATOR_FUZZ_SEED={SEED}: hardly anything was changed"


@pytest.mark.parametrize(("name", "share"), [("HS256", 0.17), ("RS256", 0.01)])
def test_signed_tokens_are_accepted_if_and_only_if_they_are_in_order(name: str, share: float) -> None:
    """JSON with changes, signed with the right key: the verifier and the rules, written down a second time, agree."""
    numbers, forge = random.Random(f"{SEED} signed {name}"), FORGES[name]()  # noqa: S311 - to be repeated
    verifier = verifier_of(forge)
    accepted = 0
    for count in range(int(EXAMPLES * share)):
        header = json_of(forge.header(note="x"))
        payload = json_of(good_claims(nbf=NOW - 1, a={"b": [1, "c"]}))
        match numbers.randrange(4):
            case 0:
                header = mutated_bytes(numbers, header)
            case 1:
                header, payload = mutated_bytes(numbers, header), mutated_bytes(numbers, payload)
            case _:
                payload = mutated_bytes(numbers, payload)
        token = forge.raw(payload, header)
        try:
            result = isinstance(outcome(verifier, token), Claims)
        except Exception as error:  # noqa: BLE001 - the point
            pytest.fail(f"ROTATOR_FUZZ_SEED={SEED} example {count}: {error!r} for {header!r} {payload!r}")
        accepted += result
        assert result == in_order(forge, header, payload), (
            f"ROTATOR_FUZZ_SEED={SEED} example {count}: {header!r} {payload!r}"
        )
    assert accepted > EXAMPLES * share / 100, f"ROTATOR_FUZZ_SEED={SEED}: hardly anything was left in order"


TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", ISSUER, AUDIENCE, KID, "alice", "at+jwt", "none", "HS256", "x" * 1025, "\ud800"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(NOW - 4000, NOW + 4000),
    st.sampled_from([0, -1, NOW, NOW + 60, NOW + 61, NOW - 60, 253402300799, 253402300800, 10**400, -(10**400), 2**63]),
    st.floats(),
    TEXT,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)
NAMES = ["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "a", "crit", "kid", "alg"]
HEADER_NAMES = ["alg", "kid", "typ", "note", *sorted(FORBIDDEN)]


def changes(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """
    Return a strategy for members that are added, replaced or left out.
    """
    return st.dictionaries(st.one_of(st.sampled_from(names), TEXT), st.one_of(VALUES, st.just(ABSENT)), max_size=3)


def dumped(members: dict[str, object]) -> bytes:
    """
    Return *members* as JSON, in UTF-8 where that can be.
    """
    kept = {name: value for name, value in members.items() if value is not ABSENT}
    try:
        return json.dumps(kept, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(kept).encode()


@fuzzed
@given(changed=changes(NAMES), header=changes(HEADER_NAMES))
@example(changed={"nbf": 10**400}, header={})
@example(changed={"exp": float("inf")}, header={})
@example(changed={}, header={"kid": ABSENT})
@example(changed={"aud": [AUDIENCE]}, header={"typ": "AT+jwt"})
def test_any_claims_and_any_header(changed: dict[str, object], header: dict[str, object]) -> None:
    """Random claims and header members, signed with the right key: accepted as the rules say, and no crash."""
    forge = hmac_forge()
    claims, names = dumped(good_claims(**changed)), dumped(forge.header(**header))
    token = forge.raw(claims, names)

    expected = in_order(forge, names, claims) and len(token) <= 8192
    assert isinstance(outcome(verifier_of(forge), token), Claims) == expected


@fuzzed
@given(
    text=st.one_of(st.text(), st.text(CHARACTERS), st.lists(st.text(BASE64URL), min_size=2, max_size=5).map(".".join))
)
def test_any_text(text: str) -> None:
    """A token without a signature of ours is refused, whatever it is."""
    assert not isinstance(outcome(verifier_of(hmac_forge()), text), Claims)
    assert not isinstance(outcome(verifier_of(rsa_forge(), kid_optional=True), text), Claims)


@fuzzed
@given(thing=st.one_of(VALUES, st.binary(), st.tuples(TEXT)))
def test_any_thing(thing: object) -> None:
    """A token that is not a text is refused."""
    assert not isinstance(outcome(verifier_of(hmac_forge()), thing), Claims)


@fuzzed
@given(
    subject=TEXT,
    claims=st.dictionaries(st.one_of(TEXT, st.integers(0, 3)), VALUES, max_size=4),
    lifetime=st.integers(-5, 3700),
    token_id=TEXT,
)
@example(subject="alice", claims={1: 1, "1": 1}, lifetime=60, token_id="")
def test_what_is_signed_is_accepted(subject: str, claims: dict[str, object], lifetime: int, token_id: str) -> None:
    """A signer raises SigningError, or what it signs is accepted, with the claims that were asked for."""
    keys = StaticKeys(SECRET, timing=TIMING)
    signer = Signer(keys, issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    try:
        token = signer.sign(subject, lifetime=timedelta(seconds=lifetime), claims=claims, token_id=token_id)
    except SigningError:
        return
    accepted = verifier_of(hmac_forge(), keys=keys).verify(token)
    assert (accepted.subject, accepted["exp"] - accepted["iat"]) == (subject, lifetime)
    assert not token_id or accepted.token_id == token_id
    assert json.loads(json.dumps(claims)).items() <= dict(accepted).items()


@fuzzed
@given(
    members=st.lists(
        st.one_of(VALUES, changes(["kty", "kid", "use", "alg", "n", "e", "key_ops", "d", "x5c"])), max_size=3
    )
)
def test_any_set_of_keys(members: list[object]) -> None:
    """Random members, and our key with random changes: keys that can be used, or KeyMaterialError."""
    ours = jwk_of(private_key().public_key())
    changed = [
        {name: value for name, value in (ours | member).items() if value is not ABSENT}
        if isinstance(member, dict)
        else member
        for member in members
    ]
    try:
        found = keys_of_jwks(json.dumps({"keys": changed}))
    except KeyMaterialError:
        return
    assert found
    assert all(key.algorithm == "RS256" and key.kid == kid for kid, key in found.items())
    fit = [member for member in changed if isinstance(member, dict) and not member.get("d")]
    for kid in found:
        assert any(
            (member.get("kid"), member.get("alg"), member.get("kty"), member.get("use", "sig"))
            == (kid, "RS256", "RSA", "sig")
            for member in fit
        )


@fuzzed
@given(
    text=st.one_of(
        st.text(), st.text(min_size=32), st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
    )
)
def test_any_secret(text: str) -> None:
    """A text is strong, or WeakSecretError says that it is not, without the text."""
    refused: Exception | None = None
    try:
        require_strong(text, "it")
    except WeakSecretError as error:
        refused = error
    if refused is None:
        assert len(text.encode()) >= 32
        assert len(set(text)) > 4
    else:
        assert SAID.fullmatch(str(refused))
