"""
Keys: what of a key is public, and what a repr shows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from rotator.model.algorithms import Algorithm
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, Kid, NextKey, PublicKey, no_extra, public_key
from rotator.model.secret import SecretText

PUBLIC = PublicKey("public")
CANARY = SecretText("canary")


def next_key(material: HmacSecret | PublicKey, extra: Mapping[str, object]) -> NextKey:
    """Return a next key with *material*."""
    return NextKey(
        kid=Kid("a"),
        algorithm=Algorithm.RS256,
        material=material,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        extra=extra,
    )


def current_key(material: HmacSecret | KeyPair) -> CurrentKey:
    """Return a current key with *material*."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return CurrentKey(
        kid=Kid("a"),
        algorithm=Algorithm.RS256,
        material=material,
        created_at=at,
        published_at=None,
        usable_at=None,
        activated_at=at,
        activated_by="op",
        longest_token=timedelta(days=1),
    )


def test_a_pair_has_a_public_key_and_a_secret_has_none() -> None:
    """A next or old key of a pair is only that; a current one has the private key beside it."""
    assert public_key(next_key(PUBLIC, {})) is PUBLIC
    assert public_key(current_key(KeyPair(CANARY, PUBLIC))) is PUBLIC
    assert public_key(next_key(HmacSecret(CANARY), {})) is None
    assert public_key(current_key(HmacSecret(CANARY))) is None


def test_a_repr_shows_no_material_and_no_unknown_field() -> None:
    """A field of a later rotator may hold anything."""
    assert "canary" not in repr(next_key(HmacSecret(CANARY), {"later": "canary"}))
    assert "canary" not in repr(KeyPair(CANARY, PUBLIC))


def test_no_extra_fields_cannot_be_written() -> None:
    """The empty mapping is shared by all keys."""
    with pytest.raises(TypeError):
        no_extra()["a"] = 1  # type: ignore[index]
