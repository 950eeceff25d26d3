"""
Secret text: nothing of it appears anywhere by accident.
"""

import copy
import gc
import pickle

import pytest

from rotator.model.secret import SecretText, live_secrets

CANARY = "canary-" * 6


def test_secret_text_gives_nothing_away() -> None:
    """repr, str and format are redacted, equality works, pickling is refused."""
    secret = SecretText(CANARY)

    assert "canary" not in f"{secret} {secret!r} {secret!s} {secret:>50} {[secret]}"
    assert secret == SecretText(CANARY)
    assert secret != SecretText("other")
    assert secret != CANARY
    assert CANARY in live_secrets()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(secret)


def test_the_text_itself_comes_from_reveal_alone() -> None:
    """And there is no attribute to add or to read it from by name."""
    secret = SecretText(CANARY)

    assert secret.reveal() == CANARY
    assert not hasattr(secret, "__dict__")


def test_the_hash_says_nothing_of_the_text() -> None:
    """Two of the same text have different ones, so nothing computed from a secret can be logged."""
    one, other = SecretText(CANARY), SecretText(CANARY)

    assert hash(one) != hash(other)


def test_only_secrets_without_a_shape_are_remembered_and_only_while_they_live() -> None:
    """The log's redaction knows 64 hex digits and PEM by their shape."""
    generated, pem = SecretText("0f" * 32), SecretText("-----BEGIN PRIVATE KEY-----")
    imported = SecretText("imported-" * 5)

    assert imported.reveal() in live_secrets()
    assert not {generated.reveal(), pem.reveal()} & set(live_secrets())
    del imported
    gc.collect()
    assert "imported-" * 5 not in live_secrets()
