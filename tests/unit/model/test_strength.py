"""
Which texts may be shared secrets: those a generator made, of 256 bits or near it, and none that a person thought of.
"""

import base64
import json
import random
import string
import traceback
import uuid
from collections.abc import Callable
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rotator.adapters.keygen import Keygen
from rotator.client import StaticKeys, WeakSecretError, require_strong
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret
from rotator.model.strength import MIN_BYTES

SEED = 20260731
PRINTABLE = string.ascii_letters + string.digits + string.punctuation

WEAK = [
    "636f727265637420686f727365206261747465727920737461706c65203132333435363738",  # "correct horse ...", in hexadecimal
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.",
    "secretsecretsecretsecretsecretsecret",
    "SECRETsecretSECRETsecretSECRETsecret",
    "secret-1secret-2secret-3secret-4secret-5",
    "changemechangemechangemechangeme",
    "change-me-change-me-change-me-change-me",
    "changeme_in_production_please_changeme",
    "please-change-this-secret-in-production!",
    "CHANGE_ME_TO_A_RANDOM_STRING_OF_32_CHARACTERS",
    "replace-this-with-a-random-string-32-chars",
    "<your-secret-key-here-at-least-32-characters>",
    "your-256-bit-secret-your-256-bit-secret",
    "your-256-bit-secret-goes-here-please-change",
    "a-string-secret-at-least-256-bits-long",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "this-is-a-very-long-secret-key-for-jwt-signing",
    "super-secret-key-that-should-be-changed-in-production",
    "my-super-secret-jwt-key-2024-do-not-share",
    "mycompany-production-jwt-signing-secret-2024",
    "thisisasecretkeyforjwtauthenticationinspringboot",
    "ThisIsMySuperSecretKeyForJwtAuthentication123!",
    "insecure-development-only-secret-do-not-use",
    "django-insecure-change-me-to-something-random",
    "test-secret-test-secret-test-secret-test",
    "JWT_SECRET=JWT_SECRET=JWT_SECRET=JWT_SECRET",
    "TODO: put a real secret here before release",
    "passwordpasswordpasswordpassword",
    "P@ssw0rdP@ssw0rdP@ssw0rdP@ssw0rd",
    "hunter2hunter2hunter2hunter2hunter2",
    "letmeinletmeinletmeinletmeinletmein",
    "iloveyouiloveyouiloveyouiloveyou",
    "qwertyqwertyqwertyqwertyqwertyqwerty",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "correcthorsebatterystaplecorrecthorsebatterystaple",
    "correct horse battery staple correct horse battery staple",
    "the quick brown fox jumps over the lazy dog",
    "to be or not to be that is the question",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit",
    "https://login.example.com/oauth2/token",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "12345678901234567890123456789012",
    "1234567890123456789012345678901234567890123456789012345678901234",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "0" * 64,
    "f" * 64,
    "00000000-0000-0000-0000-000000000000",
    "aaaaaaaabbbbbbbbccccccccdddddddd",
    "abc123abc123abc123abc123abc123abc123",
    "xyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyz",
    "ABABABABABABABABABABABABABABABABABAB",
    "!@#$%^&*()!@#$%^&*()!@#$%^&*()!@#$%^&*()",
    "Tr0ub4dor&3xyz" * 3,
    "kJ8#qP2!" * 4,
    "qZ9w" * 20 + "!",
    "." * 32,
    " " * 40,
    "\n" * 32,
    "é" * 32,
    "秘密" * 16,
    "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
]


def refusal(text: str) -> str:
    """
    Return what is said of *text*; fails where nothing is.
    """
    with pytest.raises(WeakSecretError) as caught:
        require_strong(text, "the secret of the shop")
    said = "".join(traceback.format_exception(caught.value))
    assert "the secret of the shop" in str(caught.value)
    assert "`rotator generate`" in str(caught.value), "the way out"
    assert text not in str(caught.value) or not text.strip()
    assert caught.value.__cause__ is None
    assert len(text) < MIN_BYTES or not text.strip(" \n.") or text not in said
    return str(caught.value)


@pytest.mark.parametrize("text", WEAK)
def test_what_people_think_of_is_refused(text: str) -> None:
    """Words, sequences, repetitions and phrases, however long; and in whatever case."""
    assert len(text.encode()) >= MIN_BYTES, "long enough to be refused for what it is"
    for spelled in (text, text.upper(), text.swapcase(), text + text, text * 3):
        assert "guessed" in refusal(spelled)


def test_base64_makes_no_secret_of_what_a_person_typed() -> None:
    """It can be undone by whoever guesses."""
    assert "guessed" in refusal("U3VwZXJTZWNyZXRLZXlGb3JKV1RUb2tlbnMxMjM0NTY3ODkw")


@pytest.mark.parametrize("size", range(32, 61))
def test_repeating_a_short_secret_makes_no_long_one(size: int) -> None:
    """Ten random characters again and again, wherever that is cut off."""
    assert "guessed" in refusal(("kJ8#qP2!v5" * 10)[:size])


@pytest.mark.parametrize("size", range(MIN_BYTES))
def test_short_secrets_are_refused(size: int) -> None:
    """Every length below 32 bytes, even of random characters; the message says how long it was."""
    text = "".join(random.Random(SEED + size).choices(PRINTABLE, k=size))  # noqa: S311 - the same in each run

    assert f"{size} bytes" in refusal(text)
    with pytest.raises(WeakSecretError):
        StaticKeys(text, algorithm="HS256")


def test_length_is_counted_in_bytes() -> None:
    """Letters outside of ASCII count as what they are in UTF-8."""
    letters = random.Random(SEED).choices("ЖЩЮЯЭЪЫЬ王国水火木金土日月äöüßéèêçñ", k=40)  # noqa: S311 - the same in each run

    assert "bytes" in refusal("".join(letters[:10]))
    assert require_strong("".join(letters), "it") is None  # type: ignore[func-returns-value] # the point


def random_texts() -> dict[str, Callable[[random.Random], str]]:
    """
    Return what generators of secrets make.
    """

    def of(alphabet: str, size: int) -> Callable[[random.Random], str]:
        return lambda numbers: "".join(numbers.choices(alphabet, k=size))

    return {
        "64 hex digits": lambda numbers: numbers.randbytes(32).hex(),
        "64 hex digits in upper case": lambda numbers: numbers.randbytes(32).hex().upper(),
        "128 hex digits": lambda numbers: numbers.randbytes(64).hex(),
        "base64url of 32 bytes": lambda n: base64.urlsafe_b64encode(n.randbytes(32)).decode().rstrip("="),
        "base64 of 32 bytes": lambda numbers: base64.b64encode(numbers.randbytes(32)).decode(),
        "base64 of 64 bytes": lambda numbers: base64.b64encode(numbers.randbytes(64)).decode(),
        "base32 of 32 bytes": lambda numbers: base64.b32encode(numbers.randbytes(32)).decode(),
        "32 printable characters": of(PRINTABLE, 32),
        "40 printable characters": of(PRINTABLE, 40),
        "43 letters and digits": of(string.ascii_letters + string.digits, 43),
        "50 characters, as Django makes them": of("abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)", 50),
        "78 digits": of(string.digits, 78),
        "two UUIDs": lambda n: f"{uuid.UUID(bytes=n.randbytes(16))}{uuid.UUID(bytes=n.randbytes(16))}",
    }


@pytest.mark.parametrize("kind", random_texts())
def test_random_secrets_pass(kind: str) -> None:
    """A thousand of each kind, none refused by chance."""
    numbers = random.Random(SEED)  # noqa: S311 - the same in each run
    for _ in range(1000):
        text = random_texts()[kind](numbers)
        try:
            require_strong(text, "it")
        except WeakSecretError as error:
            pytest.fail(f"{text}: {error}")


def test_what_rotator_makes_passes() -> None:
    """And signs, with each algorithm that takes a secret."""
    for algorithm in (Algorithm.HS256, Algorithm.HS384, Algorithm.HS512):
        for _ in range(100):
            half = Keygen().generate(algorithm, 0).material
            assert isinstance(half, HmacSecret)
            assert StaticKeys(half.secret.reveal(), algorithm=algorithm).signing().signing is not None


def test_128_bits_in_hex_are_too_few() -> None:
    """32 digits have 32 bytes and half the bits: refused always, and not by chance."""
    numbers = random.Random(SEED)  # noqa: S311 - the same in each run
    for _ in range(1000):
        assert "at most 128 bits, in hexadecimal digits" in refusal(numbers.randbytes(16).hex())


def keys_of_a_pair() -> dict[str, str]:
    """
    Return a key pair in all forms that are texts.
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    n = public.public_numbers().n.to_bytes(256, "big")
    jwk = {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(n).decode().rstrip("=")}
    return {
        "public PEM": pem,
        "public PEM, indented": f"\n  {pem}",
        "public PEM in one line": pem.replace("\n", ""),
        "PKCS#1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
        "private PEM": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        "JWK": json.dumps(jwk),
        "JWK, indented": json.dumps(jwk, indent=2),
        "JWKS": json.dumps({"keys": [jwk]}),
    }


@pytest.mark.parametrize("form", keys_of_a_pair())
def test_a_key_of_a_pair_is_no_secret(form: str) -> None:
    """Long and random as it is: a public half is known to everybody, a private one is for something else."""
    assert "no shared secret" in refusal(keys_of_a_pair()[form])


def test_a_text_that_is_no_text_is_refused() -> None:
    """An environment may hold any bytes; the error is ours, and does not carry them."""
    text = b"\xff\xfe\x80".decode("utf-8", "surrogateescape") + "kJ8#" * 10

    assert "UTF-8" in refusal(text)
    with pytest.raises(WeakSecretError, match="former secret 1"):
        StaticKeys("Zk3vT9qXw2LmB7rNc5YhDf8JpGs4QaUe", text)


def test_every_secret_is_looked_at() -> None:
    """The current one and each of the former; the message says which."""
    strong = ["5f0c1e6b9d8a47324f7be1905cc2d3a8e6470b1f92d85ac3b07e4f6618d92ca5", "Zk3vT9qXw2LmB7rNc5YhDf8JpGs4QaUe"]
    weak = WEAK[0]

    assert StaticKeys(*strong).verifying().named is False
    with pytest.raises(WeakSecretError, match="the current secret"):
        StaticKeys(weak, *strong)
    with pytest.raises(WeakSecretError, match="former secret 2"):
        StaticKeys(*strong, weak)
    with pytest.raises(WeakSecretError, match="the current secret"):
        StaticKeys("")


def test_what_is_not_set_is_refused_by_its_type() -> None:
    """A variable that is missing is None; the message says so, and what to do."""
    with pytest.raises(WeakSecretError, match=r"the secret is not set, or no text \(NoneType\); make one with"):
        require_strong(cast("str", None), "the secret")
