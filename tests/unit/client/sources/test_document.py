"""
The keys in a stored document.
"""

from datetime import UTC, datetime, timedelta

import pytest

from rotator.client.jose.keys import DEFAULT_TIMING
from rotator.client.sources.document import DocumentDecoder
from rotator.documents.public import encode_public
from rotator.documents.signing import encode_keyset
from rotator.errors import DocumentError, KeyMaterialError, StoreUnavailableError
from rotator.model.document import ClockReading, Fields, Stored
from rotator.model.keys import Kid
from rotator.model.policy import Timing
from tests.support.documents import TIMING, keyset
from tests.support.publications import kid, publication

PUBLIC_TIMING = Timing(timedelta(hours=1), timedelta(hours=3), timedelta(seconds=5))
AT = datetime(2026, 1, 1, tzinfo=UTC)


def stored(fields: Fields | None, version: int = 1) -> Stored:
    """The reply of a store that holds *fields*."""
    return Stored(version, fields, AT, ClockReading(AT, AT, read_at=0.0))


def decoder(*, public: bool = False) -> DocumentDecoder:
    """A decoder of the documents of the keyset web."""
    return DocumentDecoder("web", "the store", public, PUBLIC_TIMING)


def test_a_signing_document_is_keys_and_policy() -> None:
    """Its own policy counts; *timing* is for the public document, which holds none."""
    keys = decoder().decode(stored(encode_keyset(keyset(3))), None)

    assert (list(keys.verifying), keys.epoch, keys.sequence, keys.op_id) == (["k3"], "epoch-1", 3, "op-3")
    assert keys.signing is not None
    assert (keys.timing, keys.policy_known) == (TIMING, True)


def test_a_public_document_is_public_keys_and_revoked_kids() -> None:
    """Nothing in it signs, and its policy is the one given."""
    document = publication("web", 1, sequence=4, revoked=(Kid("leaked"),)).document
    keys = decoder(public=True).decode(stored(encode_public(document)), None)

    assert (list(keys.verifying), keys.epoch, keys.sequence) == ([kid(1)], document.epoch, 4)
    assert keys.signing is None
    assert keys.revoked == {"leaked"}
    assert (keys.timing, keys.policy_known) == (PUBLIC_TIMING, False)


@pytest.mark.parametrize("public", [False, True])
def test_an_unchanged_document_is_the_known_keys(public: bool) -> None:
    """The same save brings the very same object; another one does not."""

    def save(sequence: int) -> Stored:
        document = publication("web", 1, sequence=sequence).document
        return stored(encode_public(document) if public else encode_keyset(keyset(sequence)))

    known = decoder(public=public).decode(save(1), None)

    assert decoder(public=public).decode(save(1), known) is known
    assert decoder(public=public).decode(save(2), known).sequence == 2


@pytest.mark.parametrize(("version", "text"), [(0, "is its name right"), (3, "it was deleted")])
def test_an_absent_document_is_explained(version: int, text: str) -> None:
    """One that was never written may be misspelt; one with a version was deleted."""
    with pytest.raises(StoreUnavailableError, match=rf"^the store/keys/web: no such document; {text}"):
        decoder().decode(stored(None, version), None)


def test_a_document_of_another_keyset_is_refused() -> None:
    """It was copied, or the path is wrong."""
    with pytest.raises(DocumentError):
        decoder().decode(stored(encode_keyset(keyset(1, name="api"))), None)


def test_a_damaged_set_names_its_place() -> None:
    """And quotes nothing of it."""
    fields = {**encode_public(publication("web", 1).document), "jwks": "CANARY"}
    with pytest.raises(KeyMaterialError, match=r"^the store/jwks/web: no JWKS$"):
        decoder(public=True).decode(stored(fields), None)


def test_the_default_policy_is_the_daemons() -> None:
    """A service that says nothing else, and a keyset that says nothing else, agree."""
    assert (DEFAULT_TIMING.propagation_time, DEFAULT_TIMING.max_token_lifetime) == (
        timedelta(hours=2),
        timedelta(days=7),
    )
