"""
Private keys: a pair comes back from its PEM, and what is unfit is refused.
"""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rotator.adapters.keygen import Keygen
from rotator.documents.jwk import public_jwk, thumbprint
from rotator.documents.private_key import load_pair, pair_of
from rotator.errors import KeyMaterialError
from rotator.model.algorithms import Algorithm
from rotator.model.keys import PublicKey
from rotator.model.secret import SecretText
from tests.support.publications import pair


def test_made_pair_works_and_comes_back_from_pem() -> None:
    """A private half leads back to the same pair, and its kid is the thumbprint."""
    made = Keygen().generate(Algorithm.RS256, 2048)
    assert made.private is not None
    assert isinstance(made.material, PublicKey)

    assert load_pair(made.private, Algorithm.RS256) == made
    assert made.kid == public_jwk(made.kid, Algorithm.RS256, made.material)["kid"] == thumbprint(made.material)


def test_small_and_foreign_keys_are_refused() -> None:
    """1024 bits, and texts that are no private key, raise without showing them."""
    with pytest.raises(KeyMaterialError, match="1024"):
        pair_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), Algorithm.RS256)  # noqa: S505 - the point
    with pytest.raises(KeyMaterialError) as caught:
        load_pair(SecretText("canary"), Algorithm.RS256)
    assert "canary" not in str(caught.value)


def test_a_key_of_another_type_or_under_a_password_is_refused() -> None:
    """Elliptic curves are not supported yet, and a daemon knows no password."""
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private = pair(1).private
    assert private is not None
    locked = (
        private.reveal()
        .replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE")
        .replace("END PRIVATE", "END ENCRYPTED PRIVATE")
    )

    with pytest.raises(KeyMaterialError, match="not an RSA key"):
        load_pair(SecretText(curve.decode()), Algorithm.RS256)
    with pytest.raises(KeyMaterialError, match="not an unencrypted private key"):
        load_pair(SecretText(locked), Algorithm.RS256)


def test_a_pair_that_does_not_verify_what_it_signs_is_refused() -> None:
    """A private key beside a public one that is not its own would sign tokens that no one can verify."""
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    foreign = rsa.RSAPrivateNumbers(
        numbers.p,
        numbers.q,
        numbers.d,
        numbers.dmp1,
        numbers.dmq1,
        numbers.iqmp,
        rsa.RSAPublicNumbers(3, numbers.public_numbers.n),
    )

    with pytest.raises(KeyMaterialError, match="does not verify what it signs"):
        pair_of(foreign.private_key(unsafe_skip_rsa_key_validation=True), Algorithm.RS256)


def test_an_algorithm_of_secrets_takes_no_private_key() -> None:
    """HS256 signs with a shared secret; the text of a PEM is not one."""
    private = pair(1).private
    assert private is not None

    with pytest.raises(KeyMaterialError, match="HS256 takes a shared secret"):
        load_pair(private, Algorithm.HS256)
