"""
The JWKS in the store, for verifiers that may read it there.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from rotator.adapters.jwks.read_back import require_keys
from rotator.documents.jwk import EMPTY, parse_jwks
from rotator.documents.public import WELL_KNOWN, decode_public, encode_public
from rotator.errors import DocumentError, KeyMaterialError, PublicationError, StoreConflictError
from rotator.model.document import Fields, Tree
from rotator.model.keys import Kid
from rotator.model.publication import Publication
from rotator.ports.store import DocumentStore

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Read:
    """
    A public document as last read: `at` in monotonic seconds, `fields` None if the store has none of ours.
    """

    version: int
    fields: Fields | None
    at: float


class StorePublisher:
    """
    The tree `jwks/` of the store. What was read is trusted for a propagation time at most, to spare requests.
    """

    name = "store"

    def __init__(self, store: DocumentStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._seen: dict[str, _Read] = {}

    def publish(self, publication: Publication) -> None:
        """
        Save the public document unless it is there, or a later one of the same epoch is.

        Of a symmetric keyset it is saved only when something verifiers read has changed; its sequence may lag.
        """
        keyset, fields = publication.document.keyset, encode_public(publication.document)
        _scan(publication)
        for _ in range(ATTEMPTS):
            seen = self._seen.get(keyset)
            if seen is None or self._monotonic() - seen.at >= publication.timing.propagation_time.total_seconds():
                seen = self._load(keyset)
            if not _outdated(seen.fields, fields, symmetric=publication.symmetric):
                return
            try:
                stored = self._store.save(Tree.JWKS, keyset, fields, seen.version)
            except StoreConflictError:
                self._seen.pop(keyset, None)
            except BaseException:
                self._seen.pop(keyset, None)
                raise
            else:
                self._seen[keyset] = _Read(stored.version, fields, self._monotonic())
                return
        raise PublicationError(f"{keyset}: its public document keeps changing under us; find out who else writes it")

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids of the stored set; none if there is no document, or none that verifiers can read.
        """
        try:
            return parse_jwks(_text_of(self._load(publication.document.keyset).fields)).keys()
        except (PublicationError, KeyMaterialError):
            return ()

    def read_back(self, publication: Publication) -> None:
        """
        Read the document back.
        """
        if not publication.symmetric:
            fields = self._load(publication.document.keyset).fields
            require_keys(publication, _text_of(fields), f"the public document of {publication.document.keyset}")

    def close(self) -> None:
        """
        Do nothing: the store has an owner of its own.
        """

    def _load(self, keyset: str) -> _Read:
        stored = self._store.load(Tree.JWKS, keyset)
        fields: Fields | None = None
        if stored.fields is not None:
            try:
                fields = encode_public(decode_public(stored.fields, keyset))
            except DocumentError as error:
                self._seen.pop(keyset, None)
                raise PublicationError(
                    f"{error}; move {Tree.JWKS}/{keyset} away, or give rotator a prefix of its own"
                ) from error
        self._seen[keyset] = seen = _Read(stored.version, fields, self._monotonic())
        return seen


def _scan(publication: Publication) -> None:
    try:
        parse_jwks(publication.document.jwks)
    except KeyMaterialError as error:
        raise PublicationError(f"{publication.document.keyset}: {error}") from error


def _text_of(fields: Fields | None) -> str:
    return str(fields["jwks"]) if fields else EMPTY


def _outdated(stored: Fields | None, wanted: Fields, *, symmetric: bool) -> bool:
    if stored is None or stored["epoch"] != wanted["epoch"]:
        return True
    lag = int(wanted["sequence"]) - int(stored["sequence"])
    changed = any(stored.get(member) != wanted.get(member) for member in ("jwks", "revoked", WELL_KNOWN))
    return lag >= 0 and (changed or (lag > 0 and not symmetric))
