"""
What a verifier accepts, and what it refuses, each token correctly signed and refused for the right reason.
"""

import asyncio
import json
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest

from rotator.client import (
    ACCESS,
    Claims,
    ConfigError,
    InvalidTokenError,
    Keys,
    KeysUnavailableError,
    Rejection,
    StaticKeys,
    Timing,
    Verifier,
    clock,
)
from rotator.client.jose.jws import Search
from rotator.client.jose.keys import keys_of, secret_key
from rotator.client.verifier import Refresh
from rotator.documents.signing import decode_keyset
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, NextKey
from tests.support.attacks import (
    CLAIM_ATTACKS,
    CLAIMS,
    EXPIRED,
    NOT_YET_VALID,
    TYPE,
    UNKNOWN_KEY,
    Attack,
    claiming,
    every_attack,
    with_header,
    with_member,
)
from tests.support.forgery import (
    AUDIENCE,
    KID,
    NOW,
    SECRET,
    TIMING,
    FixedKeys,
    Forge,
    decode,
    good_claims,
    hmac_forge,
    json_of,
    keys_for,
    outcome,
    private_key,
    rsa_forge,
    verifier_of,
)
from tests.unit.documents.test_signing import golden


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
    """A token is accepted until exp plus leeway, that moment excluded; the leeway is the keyset's clock_skew."""
    verifier = verifier_of(forge, leeway=leeway, now=lambda: NOW + 900 + after)

    assert outcome(verifier, forge.token()) == EXPIRED if not expected else verifier.verify(forge.token())


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("before", "expected"), [(59, True), (60, True), (61, False)])
def test_leeway_at_the_beginning_of_a_life(forge: Forge, claim: str, before: int, expected: bool) -> None:
    """A token is accepted from iat and nbf minus leeway on, that moment included."""
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
    """Whatever the keyset or the caller says."""
    sloppy = keys_for(forge, timing=Timing(TIMING.propagation_time, TIMING.max_token_lifetime, timedelta(hours=1)))
    verifier = verifier_of(forge, keys=FixedKeys(sloppy), now=lambda: NOW + 960)

    assert outcome(verifier, forge.token()) == EXPIRED
    for wrong in (timedelta(seconds=61), timedelta(seconds=-1)):
        with pytest.raises(ConfigError, match="leeway"):
            verifier_of(forge, leeway=wrong)


@pytest.mark.parametrize("option", ["issuer", "audience", "typ"])
@pytest.mark.parametrize("value", ["", None, ["a"], 1, b"api"])
def test_a_verifier_cannot_be_made_without_saying_whose_tokens_it_takes(option: str, value: Any) -> None:
    """Issuer, audience and type are texts that are not empty: no check can be left out."""
    with pytest.raises(ConfigError, match=option):
        verifier_of(hmac_forge(), **{option: value})


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_tokens_of_another_library_are_accepted(algorithm: str) -> None:
    """PyJWT with our secret, kid and typ; with a list of one audience; and without a kid, for former tokens."""
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
    """PyJWT by default writes typ JWT and no kid, which an access token must not have."""
    assert outcome(verifier_of(hmac_forge()), jwt.encode(good_claims(), SECRET, headers={"kid": KID})) == TYPE
    assert outcome(verifier_of(hmac_forge()), jwt.encode(good_claims(), SECRET, headers={"typ": ACCESS})) == UNKNOWN_KEY


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


def test_a_shorter_policy_takes_no_token_back() -> None:
    """Tokens that a key signed under a longer max_token_lifetime verify to their end; a new key's obey the policy."""
    document = golden("keys/internal")
    keys = keys_of(decode_keyset({**document, "max_token_lifetime": "60"}, "internal"))
    assert keys.longest_token == timedelta(days=7)
    for number, key in enumerate(decode_keyset(document, "internal").keys()):
        assert isinstance(key.material, HmacSecret)
        _, signing = secret_key(key.kid, key.algorithm, key.material.secret.reveal().encode())
        now = int(time.time())
        claims = {"iss": "i", "sub": "s", "aud": "a", "jti": "j", "iat": now, "exp": now + 3600}
        token = signing.signed("at+jwt", json.dumps(claims).encode())
        verifier = Verifier(FixedKeys(keys, replace(keys, read_at=clock.now())), issuer="i", audience="a")
        if isinstance(key, NextKey):
            assert number == 1
            with pytest.raises(InvalidTokenError) as caught:
                verifier.verify(token)
            assert caught.value.reason is Rejection.CLAIMS
        else:
            assert verifier.verify(token).subject == "s"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_longer_policy_is_read_before_a_token_of_it_is_refused(asynchronous: bool) -> None:
    """Signers obey it as soon as they read it; a verifier that read before refreshes once, only for such tokens."""
    forge = hmac_forge()
    before = keys_for(forge, policy_known=True, read_at=clock.now() - 10)
    longer = replace(TIMING, max_token_lifetime=timedelta(hours=2))
    good, long, too_long = (forge.claiming(exp=NOW + seconds) for seconds in (3600, 7200, 7201))

    def said(token: str, keys: Keys, later: Keys | None) -> tuple[object, int]:
        provider = FixedKeys(keys, later)
        verifier = verifier_of(forge, keys=provider)
        try:
            claims = asyncio.run(verifier.averify(token)) if asynchronous else verifier.verify(token)
        except InvalidTokenError as error:
            return error.reason, provider.refreshed
        except KeysUnavailableError:
            return "unavailable", provider.refreshed
        return claims["exp"], provider.refreshed

    after = replace(before, timing=longer, read_at=clock.now())
    assert said(good, before, after) == (NOW + 3600, 0)
    assert said(long, before, after) == (NOW + 7200, 1)
    assert said(too_long, before, after) == (Rejection.CLAIMS, 1)
    assert said(long, before, replace(before, read_at=clock.now())) == (Rejection.CLAIMS, 1)
    # If it cannot be read, the token is not judged; a revoked key stays revoked; without a policy there is no refresh.
    assert said(long, before, None) == ("unavailable", 1)
    assert said(long, before, replace(after, revoked=frozenset({KID}))) == (Rejection.REVOKED, 1)
    assert said(long, before, replace(after, verifying={})) == (Rejection.CLAIMS, 1)
    assert said(long, replace(before, policy_known=False), after) == (Rejection.CLAIMS, 0)
    # What was signed well before the fetch was allowed then, or never.
    assert said(forge.claiming(iat=NOW - 80, exp=NOW + 7000), before, after) == (Rejection.CLAIMS, 0)
    assert said(forge.claiming(iat=NOW - 60, exp=NOW + 7000), before, after) == (NOW + 7000, 1)
    assert said(forge.claiming(iat=NOW - 9000, exp=NOW - 60), before, after) == (Rejection.EXPIRED, 0)


# -- the steps, and their drivers --------------------------------------------------------------------------------------


def ended(steps: Generator[Any, Keys | None, Claims], answer: Keys | None = None) -> object:
    """Answer what *steps* asked for; return the claims, or the reason of the refusal, with which it must end."""
    try:
        asked = steps.send(answer)
    except StopIteration as end:
        return dict(end.value)
    except InvalidTokenError as error:
        return error.reason
    pytest.fail(f"it asks for {asked}")


def test_a_verification_with_the_keys_at_hand_asks_for_nothing(forge: Forge) -> None:
    """Good or bad, a token of a known key ends at the first step."""
    verifier, keys = verifier_of(forge), keys_for(forge)
    assert ended(verifier._steps(forge.token(), keys)) == good_claims()
    assert ended(verifier._steps(forge.claiming(aud="others"), keys)) is Rejection.CLAIMS
    assert ended(verifier._steps(forge.token(kid="no/kid"), keys)) is Rejection.UNKNOWN_KEY


def test_a_kid_that_is_revoked_or_means_nothing_asks_for_nothing(forge: Forge) -> None:
    """A search could not change the end: revoked kids stay revoked, and unnamed keys are all tried."""
    keys = keys_for(forge, revoked=frozenset({"gone"}))
    assert ended(verifier_of(forge)._steps(forge.token(kid="gone"), keys)) is Rejection.REVOKED
    assert ended(verifier_of(forge)._steps(forge.token(kid="any"), replace(keys, named=False))) == good_claims()


def test_an_unknown_kid_asks_for_one_search(forge: Forge) -> None:
    """And the answer decides: keys with the kid, keys that revoked it, or none."""
    keys = keys_for(forge)
    key = next(iter(keys.verifying.values()))
    later = replace(keys, verifying={"new": replace(key, kid="new")})
    answers = {
        "found": (later, good_claims()),
        "revoked": (replace(keys, revoked=frozenset({"new"})), Rejection.REVOKED),
        "others": (keys, Rejection.UNKNOWN_KEY),
        "none": (None, Rejection.UNKNOWN_KEY),
    }
    for name, (answer, expected) in answers.items():
        steps = verifier_of(forge)._steps(forge.token(kid="new"), keys)
        assert next(steps) == Search("new"), name
        assert ended(steps, answer) == expected, name


def test_a_life_above_the_policy_asks_for_one_refresh(forge: Forge) -> None:
    """Only of a token that is younger than the keys; and keys that are no younger bring no judgement."""
    keys = keys_for(forge, policy_known=True, read_at=clock.now() - 10)
    longer = replace(keys, timing=replace(TIMING, max_token_lifetime=timedelta(hours=2)), read_at=clock.now())
    token = forge.claiming(exp=NOW + 7200)
    steps = verifier_of(forge)._steps(token, keys)
    assert next(steps) == Refresh()
    assert ended(steps, longer) == good_claims(exp=NOW + 7200)

    steps = verifier_of(forge)._steps(token, keys)
    assert next(steps) == Refresh()
    with pytest.raises(KeysUnavailableError, match="could not be read again"):
        steps.send(keys)


@pytest.mark.parametrize("found", [True, False])
def test_both_drivers_search(forge: Forge, found: bool) -> None:
    """`verify` and `averify` ask their provider once for the same kid, and come to the same end."""
    keys = keys_for(forge)
    later = replace(keys, verifying={"new": replace(next(iter(keys.verifying.values())), kid="new")})

    def asynchronous(verifier: Verifier, token: str) -> Claims:
        return asyncio.run(verifier.averify(token))

    for call in (Verifier.verify, asynchronous):
        provider = FixedKeys(keys, later if found else None)
        try:
            end: object = call(verifier_of(forge, keys=provider), forge.token(kid="new")).kid
        except InvalidTokenError as error:
            end = error.reason
        assert end == ("new" if found else Rejection.UNKNOWN_KEY)
        assert provider.searched == ["new"]
