"""
Which keys a verifier takes from a JWKS: each with its one algorithm, for signatures, strong, public, and named once.
"""

import json
import math
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from rotator.client import Claims, Keys, Rejection
from rotator.client.jose.keys import keys_of, keys_of_jwks, secret_key
from rotator.documents.served_jwks import rsa_fault
from rotator.documents.signing import decode_keyset
from rotator.errors import KeyMaterialError, RotatorError
from rotator.model.algorithms import Algorithm
from tests.support.forgery import (
    ABSENT,
    KID,
    SECRET,
    FixedKeys,
    encode,
    jwk_of,
    keys_for,
    outcome,
    private_key,
    rsa_forge,
    verifier_of,
)
from tests.unit.documents.test_signing import golden

OURS = jwk_of(private_key().public_key())

OTHER = jwk_of(private_key(1).public_key(), kid="other")

AKP = {"kty": "AKP", "kid": "pq", "use": "sig", "alg": "ML-DSA-65", "pub": "AAAA"}

OKP = {"kty": "OKP", "kid": "ed", "use": "sig", "alg": "EdDSA", "crv": "Ed448", "x": "AAAA"}

EC = {"kty": "EC", "kid": "ec", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "AAAA", "y": "AAAA"}

OCT = {"kty": "oct", "kid": "hs", "use": "sig", "alg": "HS256", "k": encode(SECRET.encode())}


def changed(**changes: object) -> dict[str, Any]:
    """
    Return our JWK with *changes*, those that are ABSENT left out.
    """
    return jwk_of(private_key().public_key(), **changes)


def number(value: int) -> str:
    """
    Return *value* as a JWK has it.
    """
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwks(*members: object) -> str:
    """
    Return the set of *members*.
    """
    return json.dumps({"keys": members})


def flawed_modulus(seed: int) -> int:
    """
    Return a modulus as in CVE-2017-15361: both factors are powers of 65537 modulo all small primes.
    """
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))]
    primorial = math.prod(primes)
    numbers = random.Random(seed)  # noqa: S311 - a key for this test only

    def factor() -> int:
        return numbers.getrandbits(55) * primorial + pow(65537, numbers.getrandbits(40), primorial)

    while (modulus := factor() * factor()).bit_length() < 2048:
        pass
    return modulus


USABLE: dict[str, tuple[list[object], set[str]]] = {
    "plain": ([OURS], {KID}),
    "two": ([OURS, OTHER], {KID, "other"}),
    "an AKP key first": ([AKP, OURS], {KID}),
    "an AKP key last": ([OURS, AKP], {KID}),
    "an OKP key first": ([OKP, OURS], {KID}),
    "an EC key last": ([OURS, EC], {KID}),
    "an unknown kind": ([{"kty": "XYZ"}, OURS], {KID}),
    "a member without a kind": ([{}, OURS], {KID}),
    "members that are no objects": (["x", 1, None, [], True, OURS], {KID}),
    "an RSA key for encryption": ([changed(use="enc", kid="enc"), OURS], {KID}),
    "an RSA key of unknown use": ([changed(use="other", kid="x"), OURS], {KID}),
    "an RSA key of another algorithm": ([changed(alg="RS512", kid="x"), changed(alg="RSA-OAEP", kid="y"), OURS], {KID}),
    "an RSA key without an algorithm": ([changed(alg=ABSENT, kid="x"), OURS], {KID}),
    "an RSA key to sign with": ([changed(key_ops=["sign"], kid="x"), OURS], {KID}),
    "an RSA key to encrypt with": ([changed(key_ops=["encrypt"], kid="x", use=ABSENT), OURS], {KID}),
    "one of another kind under the same kid": ([{**EC, "kid": KID}, OURS], {KID}),
    "without use": ([changed(use=ABSENT)], {KID}),
    "with key_ops": ([changed(key_ops=["verify"], use=ABSENT)], {KID}),
    "with members that say nothing": ([changed(x5t="x", ext=True, iat=1, nbf=1)], {KID}),
    "any text for a kid": ([changed(kid="bilbo.baggins@hobbiton.example")], {"bilbo.baggins@hobbiton.example"}),
    "exponent 3": ([changed(e="Aw")], {KID}),
}


@pytest.mark.parametrize("name", USABLE)
def test_keys_that_can_be_used_are_found_among_others(name: str) -> None:
    """Members that are not for us are passed over, wherever they stand, and do no harm to the others."""
    members, kids = USABLE[name]
    found = keys_of_jwks(jwks(*members))

    assert set(found) == kids
    assert all(key.kid == kid and key.algorithm is Algorithm.RS256 for kid, key in found.items())


def test_our_key_verifies_whatever_stands_beside_it() -> None:
    """A token of ours is accepted with each of those sets that holds our key."""
    token = rsa_forge().token()
    tried = 0
    for members, kids in USABLE.values():
        if OURS in members and KID in kids:
            tried += 1
            keys = keys_for(rsa_forge(), verifying=keys_of_jwks(jwks(*members)))
            assert isinstance(outcome(verifier_of(rsa_forge(), keys=FixedKeys(keys)), token), Claims)
    assert tried > 10


# Entries that no verifier can use, each alone; what is said of it.
UNFIT: dict[str, tuple[object, str]] = {
    "a shared secret": (OCT, "kid 'hs' is a shared secret"),
    "a shared secret without k": ({"kty": "oct", "kid": "x"}, "is a shared secret"),
    "a private RSA key": (changed(d="AQ"), f"kid '{KID}' shows a private key"),
    "some private members": (changed(p="AQ", q="AQ"), "private key"),
    "other primes": (changed(oth=[{"r": "AQ"}]), "private key"),
    "a private EC key": ({**EC, "d": "AQ"}, "private key"),
    "a private OKP key": ({**OKP, "d": "AQ"}, "private key"),
    "a private AKP key": ({**AKP, "priv": "AQ"}, "private key"),
    "a private key of unknown kind": ({"kty": "XYZ", "d": "AQ"}, "an entry without a kid shows a private key"),
    "a private key as PEM": (changed(pem="-----BEGIN PRIVATE KEY-----\nAQ"), "private key"),
    "no kid": (changed(kid=ABSENT), "an entry without a kid has no kid"),
    "an empty kid": (changed(kid=""), "no kid"),
    "a kid that is no text": (changed(kid=1), "no kid"),
    "a kid that is null": (changed(kid=None), "no kid"),
    "no modulus": (changed(n=ABSENT), "is no RSA key"),
    "no exponent": (changed(e=ABSENT), "is no RSA key"),
    "a modulus that is no text": (changed(n=65537), "is no RSA key"),
    "a modulus that is null": (changed(n=None), "is no RSA key"),
    "a modulus that is no base64url": (changed(n="ключ"), "is no RSA key"),
    "a modulus with a line break": (changed(n=f"{OURS['n'][:9]}\n{OURS['n'][9:]}"), "is no RSA key"),
    "a modulus of a length that cannot be": (changed(n="A" * 345), "is no RSA key"),
    "an empty modulus": (changed(n=""), "is no RSA key"),
    "a modulus of zero": (changed(n="AA"), "too weak"),
    "an even modulus": (changed(n=number(private_key().public_key().public_numbers().n + 1)), "too weak"),
    "an exponent of zero": (changed(e="AA"), "too weak"),
    "an exponent of one": (changed(e="AQ"), "too weak"),
    "an exponent of two": (changed(e="Ag"), "too weak"),
    "an even exponent": (changed(e="AQAA"), "too weak"),
    "an exponent above the modulus": (changed(e=number((1 << 2049) + 1)), "too large"),
    "1024 bits": (changed(n=number((1 << 1023) + 1)), "too weak"),
    "2047 bits": (changed(n=number((1 << 2047) - 1)), "too weak"),
    "16385 bits": (changed(n=number((1 << 16384) + 1)), "too large"),
    "a flawed generator": (changed(n=number(flawed_modulus(1))), "CVE-2017-15361"),
    "AKP": (AKP, "is of no kind that can be used"),
    "OKP": (OKP, "is of no kind that can be used"),
    "EC": (EC, "is of no kind that can be used"),
    "nothing": ({}, "is of no kind that can be used"),
    "kind rsa": (changed(kty="rsa"), "is of no kind that can be used"),
    "a kind in a list": (changed(kty=["RSA"]), "is of no kind that can be used"),
    "for encryption": (changed(use="enc"), "is not for verifying signatures"),
    "use null": (changed(use=None), "is not for verifying signatures"),
    "to sign with": (changed(key_ops=["sign"]), "is not for verifying signatures"),
    "no operations": (changed(key_ops=[]), "is not for verifying signatures"),
    "operations that are no list": (changed(key_ops="verify"), "is not for verifying signatures"),
    "without an algorithm": (changed(alg=ABSENT), r'does not say its algorithm \("alg"\)'),
    "of another algorithm": (changed(alg="PS256"), "is for another algorithm than RS256"),
    "alg in a list": (changed(alg=["RS256"]), "is for another algorithm than RS256"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_entry_that_cannot_be_used_is_passed_over_and_named(name: str) -> None:
    """Wherever it stands beside a good key it does no harm (RFC 7517 section 5); alone, it is said what is wrong with it."""
    unfit, said = UNFIT[name]
    for members in ([unfit, OTHER], [OTHER, unfit], [unfit, OTHER, unfit]):
        assert list(keys_of_jwks(jwks(*members))) == ["other"]
    with pytest.raises(KeyMaterialError, match=f"^a JWKS without any key that can be used: .*{said}") as caught:
        keys_of_jwks(jwks(unfit))
    assert OCT["k"] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_long_list_of_faults_is_cut() -> None:
    """A shared address may hold many keys that are not for us."""
    with pytest.raises(KeyMaterialError, match=r"kid 'ec' .*; kid 'ec' .*; kid 'ec' .*, and 97 more$"):
        keys_of_jwks(jwks(*[EC] * 100))


def test_members_that_say_nothing_do_not_leak() -> None:
    """Some serialise what they do not have as null."""
    assert list(keys_of_jwks(jwks(changed(d=None, p=None, q="", oth=[], k=None)))) == [KID]


def test_a_key_that_is_listed_twice_counts_once() -> None:
    """As where the sets of two replicas are merged; members that do not belong to the key may differ."""
    assert list(keys_of_jwks(jwks(OURS, OTHER, OURS, changed(x5t="x")))) == [KID, "other"]
    assert list(keys_of_jwks(jwks(OURS, changed(use="enc")))) == [KID]


def test_a_kid_that_names_two_keys_names_none() -> None:
    """Which of the two is meant cannot be told; the others are not concerned."""
    two = [OURS, {**OTHER, "kid": KID}]
    for members in (two, two[::-1]):
        assert list(keys_of_jwks(jwks(*members, OTHER))) == ["other"]
        with pytest.raises(KeyMaterialError, match=f"any key that can be used: kid '{KID}' names two keys"):
            keys_of_jwks(jwks(*members))


def test_a_key_whose_private_part_is_shown_anywhere_is_not_used() -> None:
    """Under its own kid or another, before the plain one or behind it."""
    for leak in (changed(d="AQ"), changed(d="AQ", kid="copy"), changed(d="AQ", kid=ABSENT), {"kid": KID, "d": "AQ"}):
        for members in ([OURS, leak, OTHER], [leak, OURS, OTHER]):
            assert list(keys_of_jwks(jwks(*members))) == ["other"]


REFUSED: dict[str, object] = {
    "nothing": [],
    "no list": {"0": OURS},
    "null": None,
    "a text": "keys",
    "no objects": ["x", 1, None, []],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_set_is_no_set(name: str) -> None:
    """What holds nothing for us raises an error, which quotes none of it."""
    with pytest.raises(KeyMaterialError) as caught:
        keys_of_jwks(json.dumps({"keys": REFUSED[name]}))

    assert OCT["k"] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [512, 1024, 2040, 2047])
def test_short_moduli_are_refused_where_warnings_are_none_of_our_business(bits: int) -> None:
    """The size is checked here, not only warned of by the library."""
    with pytest.raises(KeyMaterialError, match="too weak"):
        keys_of_jwks(jwks(changed(n=number((1 << bits) - 1))))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "1", '"keys"', "<html></html>", '{"keys":', "[" * 100_000, '{"keys":' * 100_000, "\ud800"],
)
def test_what_is_no_set_is_no_set(text: str) -> None:
    """Whatever a server answers, it is this one error."""
    with pytest.raises(KeyMaterialError):
        keys_of_jwks(text)


def test_bytes_that_are_no_text_are_no_set() -> None:
    """Neither are bytes that cannot be decoded."""
    with pytest.raises(KeyMaterialError):
        keys_of_jwks(b"\xff\xfe\xff")


def test_keys_of_a_flawed_generator_are_recognised() -> None:
    """All of them, and no other: neither those made here nor any of 20,000 odd numbers."""
    numbers = random.Random(2017)  # noqa: S311 - no key
    e = "AQAB"
    for seed in range(20):
        with pytest.raises(KeyMaterialError, match="CVE-2017-15361"):
            keys_of_jwks(jwks({**OURS, "n": number(flawed_modulus(seed)), "e": e}))
    for kid in range(3):
        assert rsa_fault(private_key(kid).public_key().public_numbers().n, 65537) == ""
    for _ in range(20_000):
        modulus = numbers.getrandbits(2048) | 1 | 1 << 2047
        assert any(
            modulus % prime not in {pow(65537, power, prime) for power in range(prime)}
            for prime in (11, 13, 17, 19, 37)
        ) or not rsa_fault(modulus, 65537)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_usual_sizes_are_accepted(bits: int) -> None:
    """The sizes of real keys."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    assert list(keys_of_jwks(jwks(jwk_of(public)))) == [KID]


def test_hmac_and_rsa_are_never_in_one_set() -> None:
    """Neither a JWKS nor a signing document nor a set made by hand may hold both."""
    secret, _ = secret_key("hs", Algorithm.HS256, SECRET.encode())
    with pytest.raises(RotatorError, match="in one set"):
        Keys(verifying={"hs": secret, **keys_of_jwks(jwks(OURS))})
    assert list(keys_of_jwks(jwks(OURS, OCT))) == [KID]
    for name, other in (("web", "internal"), ("internal", "web")):
        document = golden(f"keys/{name}")
        document["keys"] += [key for key in golden(f"keys/{other}")["keys"] if key["state"] == "old"]
        with pytest.raises(RotatorError, match="in one set"):
            keys_of(decode_keyset(document, name))
        algorithms = {key.algorithm for key in keys_of(decode_keyset(golden(f"keys/{name}"), name)).verifying.values()}
        assert len(algorithms) == 1


def test_a_weak_secret_is_no_key() -> None:
    """Neither an empty one nor a public key in PEM, whatever stands in front of it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    public = private_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for secret in (b"", b"x" * 31, pem, b"\n" + pem, pem.replace(b"\n", b"\r\n"), der):
        with pytest.raises(KeyMaterialError):
            secret_key(KID, Algorithm.HS256, secret)


def test_two_keys_do_not_stand_in_for_each_other() -> None:
    """With both in the set, a token of one under the other's kid is refused."""
    keys = keys_for(rsa_forge(), verifying=keys_of_jwks(jwks(OURS, OTHER)))
    verifier = verifier_of(rsa_forge(), keys=FixedKeys(keys))

    assert isinstance(outcome(verifier, rsa_forge(1).token(kid="other")), Claims)
    assert outcome(verifier, rsa_forge(1).token()) == Rejection.SIGNATURE
    assert outcome(verifier, rsa_forge().token(kid="other")) == Rejection.SIGNATURE
