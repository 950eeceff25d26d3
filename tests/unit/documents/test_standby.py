"""
The standby document: the private key of next, whole or emptied.
"""

import dataclasses

import pytest

from rotator.documents.private_key import load_pair
from rotator.documents.signing import decode_keyset
from rotator.documents.standby import decode_standby, encode_standby
from rotator.errors import DocumentError
from tests.unit.documents.test_signing import golden


def test_standby_round_trips_and_matches_next() -> None:
    """The standby holds the private half of next."""
    standby = decode_standby(golden("standby/web"), "web")
    keyset = decode_keyset(golden("keys/web"), "web")

    assert golden("standby/web") == encode_standby(standby)
    assert standby.private is not None
    assert keyset.next is not None
    assert load_pair(standby.private, standby.algorithm).material == keyset.next.material


def test_an_emptied_standby_keeps_only_whose_it_is() -> None:
    """No private key, and no kid that could be taken for one that waits."""
    emptied = encode_standby(dataclasses.replace(decode_standby(golden("standby/web"), "web"), private=None))

    assert emptied == golden("standby/web") | {"private": "", "kid": ""}
    assert decode_standby(emptied, "web").private is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("keyset", "other"), ("schema", "2"), ("algorithm", "none"), ("created_at", "x"), ("epoch", "")],
)
def test_what_is_not_ours_is_refused(field: str, value: str) -> None:
    """A damaged, foreign or newer standby raises DocumentError, whose text holds nothing of it."""
    with pytest.raises(DocumentError) as caught:
        decode_standby(golden("standby/web") | {field: value}, "web")
    assert "PRIVATE" not in str(caught.value)


def test_a_repr_shows_no_material() -> None:
    """The private key is a SecretText."""
    assert "BEGIN" not in repr(decode_standby(golden("standby/web"), "web"))
