"""
The JWKS in the store, for verifiers that may read it there.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from rotator.adapters.jwks.read_back import refuse_leak, require_keys
from rotator.documents.header import MAX_OUTRUN
from rotator.documents.jwk import EMPTY, parse_jwks
from rotator.documents.public import WELL_KNOWN, decode_public, encode_public
from rotator.documents.seal import NEVER_SEALED, SEAL, Sealing
from rotator.documents.served_jwks import read_jwks
from rotator.errors import DocumentError, KeyMaterialError, OutrunError, PublicationError, StoreConflictError
from rotator.model.document import Fields, Stored, Tree
from rotator.model.keys import Kid
from rotator.model.publication import Publication
from rotator.ports.store import DocumentStore

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Read:
    """
    A public document as last read: `at` in monotonic seconds, `fields` None if the store has none of ours.

    `edited` says what another hand did to it, "" if nothing; None if we saved it ourselves.
    """

    version: int
    fields: Fields | None
    at: float
    edited: str | None = None


class StorePublisher:
    """
    The tree `jwks/` of the store. What was read is trusted for a propagation time at most, to spare requests.

    *sealing_of* returns what seals a keyset: a document whose seal does not fit is overwritten.
    """

    name = "store"

    def __init__(
        self,
        store: DocumentStore,
        sealing_of: Callable[[str], Sealing] = lambda _: NEVER_SEALED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sealing_of = sealing_of
        self._monotonic = monotonic
        self._seen: dict[str, _Read] = {}
        self._ahead: dict[str, tuple[int, float]] = {}

    def publish(self, publication: Publication) -> str | None:
        """
        Save the public document unless it is there, or a later one of the same epoch is.

        Of a symmetric keyset it is saved only when something verifiers read has changed; its sequence may lag. A later one
        that stays for P/4 is of a signing document that is no more; it is overwritten, too. Raises OutrunError for one of
        another hand that readers would not give up for this one.
        """
        keyset, fields = publication.document.keyset, encode_public(publication.document)
        p = publication.timing.propagation_time.total_seconds()
        _scan(publication)
        for _ in range(ATTEMPTS):
            seen = self._seen.get(keyset)
            repaired = seen.edited if seen else None
            if seen is None or self._monotonic() - seen.at >= p:
                seen = self._load(keyset, publication)
                repaired = seen.edited or self._overdue(keyset, seen, fields, p / 4)
            if not repaired and not _outdated(seen.fields, fields, symmetric=publication.symmetric):
                return repaired
            if repaired and _outruns(seen.fields, fields):
                shown = int((seen.fields or {})["sequence"])
                raise OutrunError(f"{repaired.split(';')[0]}; readers may have seen its sequence, {shown}", shown)
            try:
                stored = self._store.save(Tree.JWKS, keyset, fields, seen.version)
            except StoreConflictError:
                self._seen.pop(keyset, None)
            except BaseException:
                self._seen.pop(keyset, None)
                raise
            else:
                self._seen[keyset] = _Read(stored.version, fields, self._monotonic())
                refuse_leak(publication, _text_of(seen.fields), _name_of(keyset))
                return repaired
        raise PublicationError(f"{keyset}: its public document keeps changing under us; find out who else writes it")

    def served_kids(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids of the stored set; none if there is no document, or none that verifiers can read.
        """
        try:
            served = read_jwks(_text_of(self._load(publication.document.keyset, publication).fields))
        except (PublicationError, KeyMaterialError):
            return ()
        return [Kid(kid) for kid in served.keys]

    def read_back(self, publication: Publication) -> None:
        """
        Read the document back.
        """
        if not publication.symmetric:
            fields = self._load(publication.document.keyset, publication).fields
            require_keys(publication, _text_of(fields), _name_of(publication.document.keyset))

    def withdraw(self, keyset: str) -> None:
        """
        Forget what was read: the document went with the keyset.
        """
        self._seen.pop(keyset, None)

    def close(self) -> None:
        """
        Do nothing: the store has an owner of its own.
        """

    def _load(self, keyset: str, publication: Publication) -> _Read:
        stored = self._store.load(Tree.JWKS, keyset)
        fields, edited = None, ""
        if stored.fields is not None:
            try:
                fields = encode_public(decode_public(stored.fields, keyset))
            except DocumentError as error:
                self._seen.pop(keyset, None)
                if error.newer or not publication.document.seal:
                    raise PublicationError(
                        f"{error}; move {Tree.JWKS}/{keyset} away, or give rotator a prefix of its own"
                    ) from error
            if publication.document.seal:
                edited = self._edited(stored, stored.fields, fields, publication)
        self._seen[keyset] = seen = _Read(stored.version, fields, self._monotonic(), edited)
        return seen

    def _edited(self, stored: Stored, raw: Fields, fields: Fields | None, publication: Publication) -> str:
        """
        Return what another hand did to the document, "" if nothing: it was sealed, or is from before it could be.
        """
        document = publication.document
        sealing = self._sealing_of(document.keyset)
        if sealing.key is None or sealing.fits(raw):
            return ""
        if sealing.excuses(stored.committed_at):
            return ""
        if sealing.vouched and fields and SEAL not in raw and int(fields["sequence"]) < document.sequence:
            return ""
        return (
            f"version {stored.version} of {Tree.JWKS}/{document.keyset} was changed by another hand; it was overwritten"
        )

    def _overdue(self, keyset: str, seen: _Read, wanted: Fields, patience: float) -> str:
        """
        Return what is wrong with a document that has been ahead of the signing one for longer than *patience*.
        """
        ahead = int(seen.fields["sequence"]) if seen.fields and seen.fields["epoch"] == wanted["epoch"] else 0
        if ahead <= int(wanted["sequence"]):
            self._ahead.pop(keyset, None)
            return ""
        sequence, since = self._ahead.setdefault(keyset, (ahead, self._monotonic()))
        if sequence != ahead:
            self._ahead[keyset] = (ahead, self._monotonic())
        elif self._monotonic() - since >= patience:
            return (
                f"{Tree.JWKS}/{keyset} had sequence {ahead}, ahead of {wanted['sequence']} in the signing document; it was "
                "overwritten"
            )
        return ""


def _outruns(shown: Fields | None, wanted: Fields) -> bool:
    """
    Return whether readers who read *shown* would refuse *wanted*, or take it for the same.
    """
    if shown is None or shown["epoch"] != wanted["epoch"] or int(shown["sequence"]) >= MAX_OUTRUN:
        return False
    ahead = int(shown["sequence"]) - int(wanted["sequence"])
    return ahead > 0 or (ahead == 0 and any(shown[name] != wanted[name] for name in ("jwks", "revoked")))


def _scan(publication: Publication) -> None:
    try:
        parse_jwks(publication.document.jwks)
    except KeyMaterialError as error:
        raise PublicationError(f"{publication.document.keyset}: {error}") from error


def _name_of(keyset: str) -> str:
    return f"the public document of {keyset}"


def _text_of(fields: Fields | None) -> str:
    return str(fields["jwks"]) if fields else EMPTY


def _outdated(stored: Fields | None, wanted: Fields, *, symmetric: bool) -> bool:
    if stored is None or stored["epoch"] != wanted["epoch"]:
        return True
    lag = int(wanted["sequence"]) - int(stored["sequence"])
    changed = any(stored.get(member) != wanted.get(member) for member in ("jwks", "revoked", WELL_KNOWN))
    changed = changed or (SEAL in wanted and SEAL not in stored)
    return lag >= 0 and (changed or (lag > 0 and not symmetric))
