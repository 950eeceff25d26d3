"""
Stored documents: the golden ones of docs/documents.md, unknown fields, and what is refused.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rotator.documents.public import decode_public, encode_public, public_document
from rotator.documents.seal import Sealing
from rotator.documents.signing import decode_keyset, encode_keyset
from rotator.documents.standby import decode_standby
from rotator.errors import DocumentError
from rotator.model.keys import CurrentKey, KeyPair

PAGE = Path(__file__).parents[3] / "docs" / "documents.md"
GOLDEN = {
    title: json.loads(text)
    for title, text in re.findall(r"### `(\S+)`[^\n]*\n\n```json\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
}


def sealing(name: str) -> Sealing:
    """Return what seals the golden documents of a keyset."""
    return decode_standby(golden(f"standby/{name}"), name).sealing


def golden(title: str) -> dict[str, Any]:
    """Return a copy of a golden document."""
    copy: dict[str, Any] = json.loads(json.dumps(GOLDEN[title]))
    return copy


def test_the_page_has_all_golden_documents() -> None:
    """Both keysets are there, whole."""
    assert set(GOLDEN) == {"keys/web", "jwks/web", "standby/web", "keys/internal", "jwks/internal", "standby/internal"}


@pytest.mark.parametrize("name", ["web", "internal"])
def test_signing_document_round_trips(name: str) -> None:
    """Decoding and encoding changes nothing."""
    document = golden(f"keys/{name}")

    assert document == sealing(name).seal(encode_keyset(decode_keyset(document, name)))
    assert sealing(name).fits(document)


@pytest.mark.parametrize("name", ["web", "internal"])
def test_public_document_is_computed_from_the_signing_one(name: str) -> None:
    """The JWKS of the page is what the keys of the page give, byte for byte."""
    keyset = decode_keyset(golden(f"keys/{name}"), name)
    assert golden(f"jwks/{name}") == encode_public(public_document(keyset, sealing(name)))
    assert golden(f"jwks/{name}") == encode_public(decode_public(golden(f"jwks/{name}"), name))


def test_flat_fields_are_the_view_of_the_list() -> None:
    """current, old and next are those of keys[], and every flat field is a string."""
    document = golden("keys/internal")
    by_state = {key["state"]: key for key in document["keys"]}

    for state in ("current", "old", "next"):
        assert document[state] == by_state[state]["secret"]
        kid = "kid" if state == "current" else f"{state}_kid"
        assert document[kid] == by_state[state]["kid"]
    assert all(isinstance(value, str) for name, value in document.items() if name not in {"keys", "revoked"})


def test_no_private_half_but_current_s() -> None:
    """The signing document of a pair holds one private key: current."""
    document = golden("keys/web")

    assert json.dumps(document).count("BEGIN PRIVATE KEY") == 2
    assert document["old"].startswith("-----BEGIN PUBLIC KEY")


def test_without_old_and_next_the_flat_fields_repeat_current() -> None:
    """A template or a naive reader never holds an empty or guessable key."""
    document = golden("keys/internal")
    document["keys"] = [key for key in document["keys"] if key["state"] == "current"]
    again = encode_keyset(decode_keyset(document, "internal"))

    assert again["old"] == again["next"] == again["current"]
    assert again["old_kid"] == again["next_kid"] == again["kid"]
    assert again["old_retires_at"] == ""


@pytest.mark.parametrize("value", ["", "false", "TRUE", True, None])
def test_only_the_word_true_is_a_heartbeat(value: object) -> None:
    """Anything else would make signers stop."""
    assert decode_keyset(golden("keys/internal"), "internal").heartbeat
    assert not decode_keyset(golden("keys/internal") | {"heartbeat": value}, "internal").heartbeat


def test_a_document_from_before_freshness_is_read() -> None:
    """It does not say when it was saved."""
    document = golden("keys/web")
    del document["seen_at"]

    assert decode_keyset(document, "web").seen_at is None


def test_unknown_fields_survive() -> None:
    """A field of a later rotator is kept, in the document and in each key."""
    document = golden("keys/web")
    document["labels"] = {"team": "payments"}
    document["keys"][0]["note"] = "kept"

    assert encode_keyset(decode_keyset(document, "web")) == {k: v for k, v in document.items() if k != "seal"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "2"),
        ("schema", "x"),
        ("sequence", "9" * 40),
        ("sequence", str(2**53)),
        ("sequence", "-1"),
        ("keyset", "other"),
        ("epoch", ""),
        ("sequence", "many"),
        ("keys", []),
        ("keys", "none"),
        ("propagation_time", None),
    ],
)
def test_what_is_not_ours_is_refused(field: str, value: object) -> None:
    """A damaged, foreign or newer document raises DocumentError, whose text holds nothing of it."""
    document = golden("keys/web") | {field: value}

    with pytest.raises(DocumentError) as caught:
        decode_keyset(document, "web")
    assert "PRIVATE" not in str(caught.value)


def test_two_current_keys_are_refused() -> None:
    """There is one current key, or the document is damaged."""
    document = golden("keys/web")
    document["keys"].append(document["keys"][0] | {"kid": "another"})

    with pytest.raises(DocumentError):
        decode_keyset(document, "web")


def test_repr_shows_no_material() -> None:
    """Neither the repr of a keyset nor of its keys gives a secret away, unknown fields included."""
    document = golden("keys/web") | {"later": "canary-secret"}
    keyset = decode_keyset(document, "web")

    assert isinstance(keyset.current, CurrentKey)
    assert isinstance(keyset.current.material, KeyPair)
    assert "PRIVATE" not in repr(keyset)
    assert "canary" not in repr(keyset)


def test_a_keyset_before_its_first_activation_has_no_flat_keys() -> None:
    """A key pair is published before it signs: the document exists, and no reader finds an empty `current` in it."""
    document = golden("keys/web")
    document["keys"] = [key for key in document["keys"] if key["state"] == "next"]
    again = encode_keyset(decode_keyset(document, "web"))

    assert again["algorithm"] == "RS256"
    assert not {"kid", "current", "old", "next", "rotated_at"} & again.keys()


def test_a_request_to_rotate_round_trips() -> None:
    """And an empty one is none."""
    request = {"op_id": "deploy-17", "at": "2026-02-01T00:00:00Z", "reason": "a rehearsal"}
    document = golden("keys/web") | {"rotate_requested": request}

    assert encode_keyset(decode_keyset(document, "web"))["rotate_requested"] == request
    assert "rotate_requested" not in encode_keyset(decode_keyset(golden("keys/web") | {"rotate_requested": {}}, "web"))


def test_old_keys_keep_their_order() -> None:
    """The last demoted comes first, also if the clock stepped back before it was; the flat field `old` is that one."""
    document = golden("keys/internal")
    old = next(key for key in document["keys"] if key["state"] == "old")
    document["keys"].append(old | {"kid": "older", "deactivated_at": "2027-12-31T00:00:00Z"})

    assert [key.kid for key in decode_keyset(document, "internal").old] == [old["kid"], "older"]
    assert encode_keyset(decode_keyset(document, "internal"))["old_kid"] == old["kid"]


@pytest.mark.parametrize("field", ["private", "public", "kid", "algorithm", "state", "created_at", "activated_at"])
def test_a_current_key_without_a_part_is_refused(field: str) -> None:
    """Neither is one with an empty part, a guess at it or a default taken."""
    for replaced in ({}, {field: ""}):
        document = golden("keys/web")
        key = next(key for key in document["keys"] if key["state"] == "current")
        del key[field]
        key |= replaced

        with pytest.raises(DocumentError):
            decode_keyset(document, "web")


def test_revocations_keep_their_reason_in_the_signing_document() -> None:
    """The public document has the rest."""
    entry = {"kid": "gone", "revoked_at": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    document = golden("keys/web") | {"revoked": [entry | {"reason": "laptop stolen"}]}
    keyset = decode_keyset(document, "web")

    assert encode_keyset(keyset)["revoked"] == [entry | {"reason": "laptop stolen"}]
    assert encode_public(public_document(keyset))["revoked"] == [entry]
