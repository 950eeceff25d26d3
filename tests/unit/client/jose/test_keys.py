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
from rotator.client.jose.keys import key_of_jwk, keys_of, keys_of_jwks, secret_key
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


REFUSED: dict[str, object] = {
    "a shared secret": [OCT, OURS],
    "a shared secret last": [OURS, OCT],
    "a shared secret without k": [OURS, {"kty": "oct", "kid": "x"}],
    "a private RSA key": [changed(d="AQ")],
    "the private half of another": [OURS, {**OTHER, "d": "AQ", "p": "AQ", "q": "AQ"}],
    "one private member, null": [changed(qi=None)],
    "a private EC key": [OURS, {**EC, "d": "AQ"}],
    "a private OKP key": [OURS, {**OKP, "d": "AQ"}],
    "a private AKP key": [OURS, {**AKP, "priv": "AQ"}],
    "a private key of unknown kind": [OURS, {"kty": "XYZ", "d": "AQ"}],
    "a kid twice, the right one first": [OURS, {**OTHER, "kid": KID}],
    "a kid twice, the right one last": [{**OTHER, "kid": KID}, OURS],
    "a kid twice, the very same key": [OURS, OURS],
    "no kid": [changed(kid=ABSENT)],
    "an empty kid": [changed(kid="")],
    "a kid that is no text": [changed(kid=1)],
    "a kid that is null": [changed(kid=None), OTHER],
    "no modulus": [changed(n=ABSENT)],
    "no exponent": [changed(e=ABSENT)],
    "a modulus that is no text": [changed(n=65537), OTHER],
    "a modulus that is null": [changed(n=None), OTHER],
    "a modulus that is no base64url": [changed(n="ключ"), OTHER],
    "an empty modulus": [changed(n="")],
    "a modulus of zero": [changed(n="AA")],
    "an even modulus": [changed(n=number(private_key().public_key().public_numbers().n + 1))],
    "an exponent of zero": [changed(e="AA")],
    "an exponent of one": [changed(e="AQ")],
    "an exponent of two": [changed(e="Ag")],
    "an even exponent": [changed(e="AQAA")],
    "an exponent above the modulus": [changed(e=number((1 << 2049) + 1))],
    "1024 bits": [changed(n=number((1 << 1023) + 1)), OTHER],
    "2047 bits": [changed(n=number((1 << 2047) - 1)), OTHER],
    "a flawed generator": [changed(n=number(flawed_modulus(1))), OTHER],
    "nothing": [],
    "nothing for us": [AKP, OKP, EC, {}],
    "only an RSA key for encryption": [changed(use="enc")],
    "only an RSA key without an algorithm": [changed(alg=ABSENT)],
    "only one of another algorithm": [changed(alg="PS256")],
    "only one with alg in a list": [changed(alg=["RS256"])],
    "only one with use null": [changed(use=None)],
    "only one to sign with": [changed(key_ops=["sign"])],
    "only one with no operations": [changed(key_ops=[])],
    "only one with operations that are no list": [changed(key_ops="verify")],
    "only one of kind rsa": [changed(kty="rsa")],
    "no list": {"0": OURS},
    "null": None,
    "a text": "keys",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_set_is_no_set(name: str) -> None:
    """A set that leaks, is ambiguous, weak, or holds nothing for us raises an error, which quotes none of it."""
    with pytest.raises(KeyMaterialError) as caught:
        keys_of_jwks(json.dumps({"keys": REFUSED[name]}))

    assert OCT["k"] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [512, 1024, 2040, 2047])
def test_short_moduli_are_refused_where_warnings_are_none_of_our_business(bits: int) -> None:
    """The size is checked here, not only warned of by the library."""
    with pytest.raises(KeyMaterialError, match="too weak"):
        key_of_jwk(changed(n=number((1 << bits) - 1)))


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
            key_of_jwk({**OURS, "n": number(flawed_modulus(seed)), "e": e})
    for kid in range(3):
        assert key_of_jwk(jwk_of(private_key(kid).public_key()))
    for _ in range(20_000):
        modulus = numbers.getrandbits(2048) | 1 | 1 << 2047
        assert any(
            modulus % prime not in {pow(65537, power, prime) for power in range(prime)}
            for prime in (11, 13, 17, 19, 37)
        ) or key_of_jwk({**OURS, "n": number(modulus)})


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_usual_sizes_are_accepted(bits: int) -> None:
    """The sizes of real keys."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    key = key_of_jwk(jwk_of(public))

    assert key is not None
    assert key.kid == KID


def test_hmac_and_rsa_are_never_in_one_set() -> None:
    """Neither a JWKS nor a signing document nor a set made by hand may hold both."""
    secret, _ = secret_key("hs", Algorithm.HS256, SECRET.encode())
    with pytest.raises(RotatorError, match="in one set"):
        Keys(verifying={"hs": secret, **keys_of_jwks(jwks(OURS))})
    with pytest.raises(RotatorError):
        keys_of_jwks(jwks(OURS, OCT))
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
