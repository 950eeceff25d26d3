"""
New keys and names: random, never the same twice, of the form that documents promise.
"""

import re
import uuid

import pytest

from rotator.adapters.keygen import Keygen, fresh_secret
from rotator.documents.jwk import thumbprint
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, PublicKey
from rotator.model.op_id import milliseconds_of


@pytest.mark.parametrize("algorithm", [algorithm for algorithm in Algorithm if algorithm.symmetric])
def test_a_secret_is_256_random_bits_in_hexadecimal(algorithm: Algorithm) -> None:
    """64 hex digits under a kid of 32, which is not computed from the secret; never the same twice."""
    made = [Keygen().generate(algorithm, 0) for _ in range(20)]
    secrets = [key.material.secret.reveal() for key in made if isinstance(key.material, HmacSecret)]
    assert len(set(secrets)) == len({key.kid for key in made}) == 20
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)
    assert all(re.fullmatch(r"[0-9a-f]{32}", key.kid) and key.private is None for key in made)


def test_a_pair_is_named_by_its_thumbprint() -> None:
    """RFC 7638, of the size that was asked for."""
    made = Keygen().generate(Algorithm.RS256, 3072)
    assert isinstance(made.material, PublicKey)
    assert made.kid == thumbprint(made.material)
    assert len(made.material.pem) > 600


def test_an_op_id_is_uuid_7_and_tells_when() -> None:
    """RFC 9562 section 5.7: version 7, variant 10, and milliseconds that grow."""
    made = [uuid.UUID(Keygen().op_id()) for _ in range(20)]
    assert {(value.version, value.variant) for value in made} == {(7, uuid.RFC_4122)}
    times = [milliseconds_of(str(value)) or 0 for value in made]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000_000
    assert len(set(made)) == 20


def test_epochs_and_secrets_are_random() -> None:
    """An epoch is a random UUID; a fresh secret has 64 hex digits."""
    assert uuid.UUID(Keygen().epoch()).version == 4
    assert Keygen().epoch() != Keygen().epoch()
    assert re.fullmatch(r"[0-9a-f]{64}", fresh_secret().reveal())
