"""
The seal: what it covers, what it survives, and the names of the fields in which two documents differ.
"""

import json
from typing import Any

import pytest

from rotator.documents.seal import NEVER_SEALED, Sealing, canonical, differences, digest_of, seal_of
from rotator.model.secret import SecretText
from tests.unit.documents.test_signing import golden, sealing

KEY = SecretText("0" * 64)


def test_equal_documents_have_equal_seals_whatever_the_order_of_their_fields() -> None:
    """Canonical JSON: a store may give fields back in another order."""
    document = golden("keys/web")
    turned: dict[str, Any] = dict(reversed(document.items()))

    assert list(turned) != list(document)
    assert seal_of(turned, KEY) == seal_of(document, KEY)
    assert json.loads(canonical(turned)) == document


def test_a_seal_does_not_cover_itself_and_covers_all_else() -> None:
    """Fields that this version does not know, too."""
    document = Sealing(KEY).seal({"a": "1", "later": {"b": [1, None]}})

    assert document["seal"] == seal_of({"a": "1", "later": {"b": [1, None]}}, KEY)
    assert Sealing(KEY).fits(document)
    assert not Sealing(KEY).fits({**document, "later": {"b": [1, False]}})
    assert not Sealing(KEY).fits({**document, "more": ""})
    assert not Sealing(SecretText("1" * 64)).fits(document)


@pytest.mark.parametrize("borne", ["", "f" * 64, "\N{SNOWMAN}", None, 5, ["x"]])
def test_what_is_no_seal_does_not_fit(borne: object) -> None:
    """Neither does a document without one, once there is a seal key."""
    assert not sealing("web").fits({**golden("keys/web"), "seal": borne})
    unsealed = golden("keys/web")
    del unsealed["seal"]
    assert not sealing("web").fits(unsealed)


def test_without_a_key_a_document_bears_no_seal() -> None:
    """It is from before there were seals; one that bears a seal cannot be checked."""
    assert NEVER_SEALED.seal({"a": "1"}) == {"a": "1"}
    assert NEVER_SEALED.fits({"a": "1"})
    assert not NEVER_SEALED.fits({"a": "1", "seal": "0" * 64})


def test_the_standby_vouches_for_one_document_without_a_seal() -> None:
    """The one that was there when the seal key was made; any other is an edited one."""
    unsealed = {"sequence": "7", "kid": "k"}
    vouching = Sealing(KEY, seal_of(unsealed, KEY))

    assert vouching.fits(unsealed)
    assert vouching.fits(vouching.seal({"sequence": "8"}))
    assert not vouching.fits({**unsealed, "kid": "another"})


def test_a_heartbeat_changes_the_seal_and_not_the_content() -> None:
    """The digest leaves out what says only that somebody is still there."""
    before, after = ({"sequence": "7", "seen_at": at, "seal": at} for at in ("1", "2"))

    assert digest_of(before) == digest_of(after) == digest_of({"sequence": "7"})
    assert seal_of(before, KEY) != seal_of(after, KEY)
    assert digest_of({"sequence": "8"}) != digest_of({"sequence": "7"})


def test_bytes_that_are_no_text_come_back_as_another_character() -> None:
    """An argument may hold them (a lone surrogate), and Vault replaces it; the seal fits all the same."""
    assert seal_of({"reason": "x\udce9", "\udcff": ["\ud800", 5]}, KEY) == seal_of(
        {"reason": "x\ufffd", "\ufffd": ["\ufffd", 5]}, KEY
    )
    assert seal_of({"reason": "\U0001f511"}, KEY) == seal_of(json.loads('{"reason": "\\ud83d\\udd11"}'), KEY)


def test_differences_are_named_and_not_shown() -> None:
    """Down to the field of a key; another length of a list names the list."""
    one = {"a": "1", "keys": [{"kid": "k", "secret": "x"}], "revoked": [], "deep": {"b": 1}}
    other = {"a": "1", "keys": [{"kid": "k", "secret": "y", "new": ""}], "revoked": ["r"], "deep": {"b": True}, "c": 0}

    assert list(differences(one, other)) == ["keys[0].secret", "keys[0].new", "revoked", "deep.b", "c"]
    assert list(differences(one, one)) == []
