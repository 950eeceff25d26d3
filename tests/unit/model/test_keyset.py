"""
Keysets: the order of their keys, and which kids are taken.
"""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from rotator.model.algorithms import Algorithm
from rotator.model.keys import CurrentKey, HmacSecret, Kid, NextKey, OldKey
from rotator.model.keyset import KEYSET_NAME, Keyset, Revocation
from rotator.model.policy import Timing
from rotator.model.secret import SecretText

AT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = HmacSecret(SecretText("ab" * 32))
NEXT = NextKey(kid=Kid("next"), algorithm=Algorithm.HS512, material=SECRET, created_at=AT)
CURRENT = CurrentKey(
    kid=Kid("current"),
    algorithm=Algorithm.HS256,
    material=SECRET,
    created_at=AT,
    published_at=AT,
    usable_at=AT,
    activated_at=AT,
    activated_by="op",
    longest_token=DAY,
)
OLD = OldKey(
    kid=Kid("old"),
    algorithm=Algorithm.HS256,
    material=SECRET,
    created_at=AT,
    published_at=AT,
    usable_at=AT,
    activated_at=AT,
    activated_by="op",
    longest_token=DAY,
    deactivated_at=AT,
    retire_at=AT + DAY,
)
OLDER = dataclasses.replace(OLD, kid=Kid("older"))
EMPTY = Keyset(name="web", epoch="e", sequence=1, op_id="op", timing=Timing(DAY, DAY, DAY))
FULL = dataclasses.replace(
    EMPTY,
    current=CURRENT,
    next=NEXT,
    old=(OLD, OLDER),
    revoked=(Revocation(Kid("revoked"), AT, "stolen", AT + DAY),),
)


def test_keys_come_in_the_order_that_verifiers_try_them() -> None:
    """Current, next, then old from the newest; a keyset without some of them has the rest."""
    assert [key.kid for key in FULL.keys()] == ["current", "next", "old", "older"]
    assert [key.kid for key in dataclasses.replace(FULL, current=None).keys()] == ["next", "old", "older"]
    assert list(EMPTY.keys()) == []


def test_a_key_is_found_by_its_kid() -> None:
    """Among all keys, but not on the deny-list."""
    assert FULL.find("older") is OLDER
    assert FULL.find("revoked") is None
    assert FULL.find("") is None


def test_a_kid_of_a_key_or_on_the_deny_list_is_taken() -> None:
    """A new key may bear neither."""
    assert FULL.knows("next")
    assert FULL.knows("revoked")
    assert not FULL.knows("free")


def test_the_algorithm_is_that_of_the_key_that_signs() -> None:
    """Of the next key only while there is no other; an empty keyset is never stored."""
    assert FULL.algorithm is Algorithm.HS256
    assert dataclasses.replace(FULL, current=None).algorithm is Algorithm.HS512
    assert FULL.symmetric
    with pytest.raises(AssertionError):
        _ = EMPTY.algorithm


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("web", True),
        ("0_a-b", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("Web", False),
        ("-a", False),
        ("a/b", False),
    ],
)
def test_names_are_safe_in_paths_and_addresses(name: str, *, good: bool) -> None:
    """Small letters, digits, "_" and "-", not first; at most 63."""
    assert (KEYSET_NAME.fullmatch(name) is not None) is good


def test_values_do_not_change_nor_grow() -> None:
    """Frozen, with slots: whoever holds one need not fear another thread."""
    for value in (FULL, CURRENT, NEXT, OLD, SECRET, FULL.timing, FULL.revoked[0]):
        field = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)
        assert not hasattr(value, "__dict__")
