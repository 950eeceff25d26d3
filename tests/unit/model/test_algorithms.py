"""
The table of algorithms: complete, consistent, and every kind of key known where keys are made, proved and published.
"""

import hashlib
import json

import pytest

from rotator.adapters.keygen import Keygen
from rotator.documents.jwk import public_jwk
from rotator.documents.private_key import load_pair
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import MIN_RSA_BITS, RSA_SIZES, TABLE, Algorithm, KeyType
from rotator.model.keys import HmacSecret, Kid, PublicKey
from rotator.model.secret import SecretText

SYMMETRIC = [algorithm for algorithm in Algorithm if algorithm.symmetric]
ASYMMETRIC = [algorithm for algorithm in Algorithm if not algorithm.symmetric]


def test_every_algorithm_has_a_row() -> None:
    """No algorithm can be named that the table does not describe."""
    assert set(TABLE) == set(Algorithm)
    assert all(algorithm.row is TABLE[algorithm] and algorithm.kty is TABLE[algorithm].kty for algorithm in Algorithm)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_name_tells_the_hash(algorithm: Algorithm) -> None:
    """RFC 7518 section 3.1: the digits of a name are those of its hash."""
    assert algorithm.row.hash == f"SHA-{algorithm.value[2:]}"


@pytest.mark.parametrize("algorithm", SYMMETRIC)
def test_a_secret_is_as_long_as_the_hash(algorithm: Algorithm) -> None:
    """RFC 7518 section 3.2, and what rotator generates is long enough."""
    digest = hashlib.new(algorithm.row.hash.replace("-", "").lower()).digest_size
    made = Keygen().generate(algorithm, 0)
    assert isinstance(made.material, HmacSecret)
    assert algorithm.min_secret == digest <= len(made.material.secret.reveal())
    assert (algorithm.kty, made.private, algorithm.row.sizes) == (KeyType.OCT, None, ())


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_pair_is_made_proved_and_published(algorithm: Algorithm) -> None:
    """What is generated loads again, and its JWK bears the kty and alg of the row."""
    made = Keygen().generate(algorithm, min(algorithm.row.sizes))
    assert made.private is not None
    assert isinstance(made.material, PublicKey)
    assert load_pair(made.private, algorithm) == made
    member = public_jwk(made.kid, algorithm, made.material)
    assert (member["kty"], member["alg"]) == (algorithm.kty, algorithm)
    assert algorithm.min_secret == 0


def test_a_key_of_one_kind_is_refused_for_another() -> None:
    """A pair is no shared secret: neither its private key nor its public key passes for an HMAC algorithm."""
    made = Keygen().generate(Algorithm.RS256, MIN_RSA_BITS)
    assert made.private is not None
    assert isinstance(made.material, PublicKey)
    with pytest.raises(KeyMaterialError, match="HS256 takes a shared secret"):
        load_pair(made.private, Algorithm.HS256)
    with pytest.raises(KeyMaterialError, match="kind oct"):
        public_jwk(made.kid, Algorithm.HS256, made.material)


P256_PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
"""


def test_a_kind_that_rotator_does_not_make_is_refused() -> None:
    """An elliptic curve key has no members here, until its kind has a row."""
    with pytest.raises(KeyMaterialError, match="kind that rotator makes: RSA"):
        public_jwk(Kid("a"), Algorithm.RS256, PublicKey(P256_PUBLIC))
    with pytest.raises(KeyMaterialError, match="not SubjectPublicKeyInfo"):
        public_jwk(Kid("a"), Algorithm.RS256, PublicKey(json.dumps({"kty": "EC"})))
    with pytest.raises(KeyMaterialError, match="unencrypted private key"):
        load_pair(SecretText(P256_PUBLIC), Algorithm.RS256)


def test_rsa_sizes_are_ascending() -> None:
    """NIST SP 800-57 part 1: 2048 bits are the least (112 bits of security)."""
    assert list(RSA_SIZES) == sorted(RSA_SIZES)
    assert MIN_RSA_BITS == RSA_SIZES[0] == 2048
