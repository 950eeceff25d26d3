"""
Secrets from the environment, the current one and former ones.
"""

import pytest

from rotator.client import Claims, ConfigError, StaticKeys, WeakSecretError, verify_with
from rotator.client.jose.keys import secret_key
from rotator.model.algorithms import Algorithm
from tests.support.attacks import SIGNATURE
from tests.support.forgery import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    KID,
    SECRET,
    TIMING,
    hmac_forge,
    outcome,
    rsa_forge,
    verifier_of,
)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA", "none", "None", "hs256", "", "HS224"])
def test_shared_secrets_go_with_hmac_only(algorithm: str) -> None:
    """Any other algorithm for a secret is a fault in the configuration."""
    with pytest.raises(ConfigError, match="algorithm"):
        verify_with(SECRET, issuer=ISSUER, audience=AUDIENCE, algorithm=algorithm)


def test_static_secrets_old_and_new_verify() -> None:
    """Each of them, whatever kid a token names; a secret that was removed does not."""
    old, older = SECRET[::-1], SECRET[7:] + SECRET[:7]
    keys = StaticKeys(SECRET, old, None, "", timing=TIMING)
    verifier = verifier_of(hmac_forge(), keys=keys)

    for secret in (SECRET, old):
        assert isinstance(outcome(verifier, hmac_forge(secret.encode()).token(kid=ABSENT)), Claims)
        assert isinstance(outcome(verifier, hmac_forge(secret.encode()).token(kid="anything at all")), Claims)
    assert outcome(verifier, hmac_forge(older.encode()).token()) == SIGNATURE
    assert outcome(verifier, rsa_forge().token()) == SIGNATURE


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
