"""
The public document: what is refused of one that was read. Its golden form is in test_signing.
"""

import pytest

from rotator.documents.public import decode_public, encode_public
from rotator.errors import DocumentError
from tests.unit.documents.test_signing import golden


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keyset", "other"),
        ("schema", "2"),
        ("schema", None),
        ("epoch", ""),
        ("sequence", "many"),
        ("sequence", "9" * 40),
        ("sequence", str(2**53)),
        ("sequence", "-1"),
        ("revoked", ["a-kid"]),
        ("revoked", [{"kid": "a"}]),
    ],
    ids=repr,
)
def test_what_is_not_ours_is_refused(field: str, value: object) -> None:
    """Damaged, of a newer schema, or another keyset's."""
    with pytest.raises(DocumentError):
        decode_public(golden("jwks/web") | {field: value}, "web")


@pytest.mark.parametrize("field", ["keyset", "epoch", "sequence", "jwks", "schema"])
def test_a_field_that_is_missing_is_damage(field: str) -> None:
    """No default stands in for any of them."""
    document = golden("jwks/web")
    del document[field]

    with pytest.raises(DocumentError):
        decode_public(document, "web")


def test_the_deny_list_round_trips() -> None:
    """Kid and both moments; a document without a deny-list has an empty one."""
    entry = {"kid": "gone", "revoked_at": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    document = golden("jwks/web") | {"revoked": [entry]}

    assert encode_public(decode_public(document, "web")) == document
    assert decode_public(golden("jwks/web") | {"revoked": None}, "web").revoked == ()
