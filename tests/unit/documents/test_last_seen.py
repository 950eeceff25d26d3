"""
The file that keeps what was last seen of a keyset.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rotator.documents.last_seen import decode_last_seen, encode_last_seen
from rotator.documents.public import encode_public
from rotator.errors import DocumentError
from rotator.model.publication import LastSeen
from tests.support.publications import publication

SHOWN = publication("web", 1, sequence=5)
SEEN = LastSeen(
    epoch="epoch-1",
    sequence=5,
    op_id="op-5",
    well_known=True,
    symmetric=False,
    timing=SHOWN.timing,
    document=SHOWN.document,
)


SEALED = replace(
    SEEN,
    version=12,
    digest="d" * 64,
    stay_until={"k1": datetime(2026, 3, 1, tzinfo=UTC)},
    thawed_at=datetime(2026, 2, 1, tzinfo=UTC),
    seal="f" * 64,
)


@pytest.mark.parametrize("seen", [SEEN, SEALED, replace(SEEN, well_known=False, symmetric=True)])
def test_what_is_encoded_decodes_to_the_same(seen: LastSeen) -> None:
    """Both flags and every duration survive."""
    assert decode_last_seen(encode_last_seen(seen), "web") == seen


def test_the_encoding_is_stable() -> None:
    """Equal values give equal bytes: by these it is told whether a file must be written."""
    assert encode_last_seen(SEEN) == encode_last_seen(replace(SEEN))
    assert encode_last_seen(SEEN) != encode_last_seen(replace(SEEN, op_id="op-6"))


def test_another_keysets_file_is_refused() -> None:
    """A file copied under another name does not pass for that keyset's."""
    with pytest.raises(DocumentError):
        decode_last_seen(encode_last_seen(SEEN), "api")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"public": {}}'])
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    """Whatever the bytes are, the error is ours."""
    with pytest.raises(DocumentError):
        decode_last_seen(data, "web")


@pytest.mark.parametrize("field", json.loads(encode_last_seen(SEEN)))
def test_every_field_must_be_there(field: str) -> None:
    """A file that lacks one is damaged."""
    fields = json.loads(encode_last_seen(SEEN))
    del fields[field]
    with pytest.raises(DocumentError):
        decode_last_seen(json.dumps(fields).encode(), "web")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "twelve"),
        ("stay_until", ["k1"]),
        ("thawed_at", "yesterday"),
        ("well_known", "no"),
        ("symmetric", 1),
        ("propagation_time", "2h"),
        ("clock_skew", 1e300),
    ],
)
def test_every_field_has_its_type(field: str, value: object) -> None:
    """A flag is true or false, and a duration a number that time can hold."""
    fields = json.loads(encode_last_seen(SEEN)) | {field: value}
    with pytest.raises(DocumentError):
        decode_last_seen(json.dumps(fields).encode(), "web")


def test_the_file_holds_the_public_document_and_the_policy() -> None:
    """Flags are flags, durations are numbers of seconds, and nothing in it is secret."""
    assert json.loads(encode_last_seen(SEEN)) == {
        "op_id": "op-5",
        "well_known": True,
        "symmetric": False,
        "propagation_time": 100,
        "max_token_lifetime": 900,
        "clock_skew": 1,
        "public": encode_public(SHOWN.document),
    }
