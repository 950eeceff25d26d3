"""
The standby document: the private key of next, whole or emptied.
"""

import dataclasses
from datetime import UTC, datetime

import pytest

from rotator.documents.private_key import load_pair
from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.documents.signing import decode_keyset
from rotator.documents.standby import decode_standby, encode_standby
from rotator.errors import DocumentError
from rotator.model.secret import SecretText
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


def test_what_seals_round_trips() -> None:
    """Absent is the same as empty: a standby from before there were seals."""
    sealing = Sealing(SecretText("0" * 64), "f" * 64, thawed_at=datetime(2026, 3, 1, tzinfo=UTC))
    standby = dataclasses.replace(decode_standby(golden("standby/web"), "web"), sealing=sealing)
    fields = encode_standby(standby)

    assert (fields["vouched"], fields["thawed_at"]) == ("f" * 64, "2026-03-01T00:00:00Z")
    assert decode_standby(fields, "web") == standby
    before = {name: value for name, value in golden("standby/web").items() if name != "seal_key"}
    assert decode_standby(before, "web").sealing == NEVER_SEALED
    assert encode_standby(decode_standby(before, "web")) == before
