"""
What a signing document shows of itself: an edit that its own parts betray, without any seal.
"""

from typing import Any

import pytest

from rotator.documents.integrity import faults_of
from rotator.documents.signing import decode_keyset
from tests.support.edits import stranger
from tests.unit.documents.test_signing import golden


def faults(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document."""
    return list(faults_of(document, decode_keyset(document, document["keyset"])))


@pytest.mark.parametrize("name", ["web", "internal"])
def test_what_rotator_wrote_has_no_faults(name: str) -> None:
    """With or without a seal, and with fields of a later version."""
    document = golden(f"keys/{name}")
    assert faults(document) == []
    del document["seal"]
    assert faults({**document, "later": {"a": 1}}) == []


@pytest.mark.parametrize(
    ("field", "value"), [("current", "x"), ("old_kid", "x"), ("rotated_at", ""), ("sequence", "08"), ("sequence", 8)]
)
def test_a_flat_field_is_what_the_keys_give(field: str, value: object) -> None:
    """Written as rotator writes it; the fault names the field alone."""
    assert faults(golden("keys/internal") | {field: value}) == [f"{field} is not what keys gives"]


def test_a_missing_flat_field_is_named() -> None:
    """And several at once."""
    document = golden("keys/internal")
    del document["next"], document["old"]
    assert faults(document) == ["old, next are not what keys gives"]


@pytest.mark.parametrize("name", ["web", "internal"])
def test_one_key_is_current_once_one_was(name: str) -> None:
    """Only key pairs that never signed have none."""
    document = golden(f"keys/{name}")
    document["keys"] = [key for key in document["keys"] if key["state"] == "next"]
    assert faults(document)[0] == "no key is current"


def test_key_pairs_before_their_first_activation_need_no_current() -> None:
    """A key is published before it signs."""
    document = golden("keys/web")
    flat = ("kid", "current", "current_public", "old_algorithm", "old_kid", "old", "rotated_at", "old_retires_at")
    fresh = {name: value for name, value in document.items() if name not in flat}
    fresh["keys"] = [key for key in document["keys"] if key["state"] == "next"]
    assert faults(fresh) == []


def test_the_public_key_fits_the_private_one() -> None:
    """Else consumers verify with a key that nothing was signed with."""
    document, made = golden("keys/web"), stranger()
    assert made.private is not None
    document["keys"][0]["private"] = document["current"] = made.private.reveal()
    assert faults(document) == ["keys[0] holds a public key that does not fit its private key"]


@pytest.mark.parametrize(("number", "flat"), [(1, ()), (2, ("old",))])
def test_a_kid_names_the_key_that_it_was_made_from(number: int, flat: tuple[str, ...]) -> None:
    """RFC 7638."""
    document, pem = golden("keys/web"), stranger().material.pem  # type: ignore[union-attr]
    document["keys"][number]["public"] = pem
    assert faults(document | dict.fromkeys(flat, pem)) == [f"keys[{number}] holds another key than its kid names"]


def test_an_imported_key_may_have_any_kid() -> None:
    """It signed as soon as it was there, and was never published before."""
    document = golden("keys/web")
    current = document["keys"][0]
    document["kid"] = current["kid"] = "ours-since-2019"
    assert faults(document) == ["keys[0] holds another key than its kid names"]
    del current["published_at"], current["usable_at"]
    current["created_at"] = current["activated_at"]
    assert faults(document) == []


@pytest.mark.parametrize("field", ["private", "public"])
def test_what_is_no_key_is_a_fault(field: str) -> None:
    """Its text is not shown."""
    document = golden("keys/web")
    document["keys"][0][field] = "-----BEGIN NOTHING-----"
    document["current" if field == "private" else "current_public"] = "-----BEGIN NOTHING-----"
    assert faults(document)[-1] == "keys[0] holds a key that cannot be used"
    assert "NOTHING" not in str(faults(document))
