"""
Serving a keyset that cannot be reconciled: what was verified last, so that an outage of the store is not one of the JWKS.
"""

from rotator.documents.header import MAX_OUTRUN
from rotator.documents.jwk import parse_jwks
from rotator.documents.last_seen import last_seen_fields
from rotator.documents.public import decode_public, encode_public
from rotator.documents.seal import Sealing
from rotator.errors import DocumentError, FrozenError, KeyMaterialError, OutrunError, PublicationError, StoreError
from rotator.model.document import Fields, Tree
from rotator.model.policy import Policy, Timing
from rotator.model.publication import LastSeen, Publication, PublicDocument
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.publication_cache import PublicationCache
from rotator.ports.store import DocumentStore
from rotator.reconcile.publishing import Publishing
from rotator.reconcile.seals import Seals


class LastKnown:
    """
    Fills the cache that our listener and our file serve from, without a pass over the keyset.
    """

    def __init__(
        self,
        store: DocumentStore,
        seals: Seals,
        last_seen: LastSeenStore | None,
        cache: PublicationCache,
        publishing: Publishing,
    ) -> None:
        self._store = store
        self._seals = seals
        self._publishing = publishing
        self._last_seen = last_seen
        self._cache = cache

    def serve(self, name: str, policy: Policy, *, ask: bool) -> None:
        """
        Serve the set that this host saw last. If it remembers none and may *ask*, serve the store's public document.

        As soon as the store answers, neither is served unless its seal fits. If nothing can be served, the keyset is noted
        as absent, so that the combined set does not wait for it.
        """
        sealing = self._sealing(name) if ask else None
        seen = self._recorded(name)
        if seen is not None and sealing and sealing.key and not sealing.fits(last_seen_fields(seen)):
            seen = None
            self._cache.withdraw(name)
        if seen is not None and self._put(Publication(seen.document, seen.timing, seen.well_known, seen.symmetric)):
            return
        if not ask:
            return
        document = self._public(name, sealing) if sealing else None
        symmetric = policy.algorithm.symmetric
        if document is None or not self._put(Publication(document, policy.timing, policy.well_known, symmetric)):
            self._cache.mark_absent(name)

    def put_back(self, name: str) -> str:
        """
        Overwrite a public document that another hand changed by the one that this host saw last; return what was done.

        Returns "" if there was nothing to do. Both seals must tell: theirs does not fit, ours does.
        """
        seen = self._recorded(name)
        if seen is None:
            return ""
        good = encode_public(seen.document)
        try:
            stored = self._store.load(Tree.JWKS, name)
            if stored.fields is None or self._seals.get(name).fits(stored.fields):
                return ""
            sealing = self._seals.read(name)  # a person may have accepted something since
            ours = sealing.key is not None and sealing.fits(good) and sealing.fits(last_seen_fields(seen))
            if not ours or sealing.fits(stored.fields) or sealing.excuses(stored.committed_at):
                return ""
            shown = _decoded(stored.fields, name)
            self._store.save(Tree.JWKS, name, good, stored.version)
        except StoreError:
            return ""  # another was faster, a later rotator wrote it, or the next look tells more
        text = f"version {stored.version} of {Tree.JWKS}/{name} was changed by another hand; it was overwritten"
        if shown is not None and shown.epoch == seen.epoch and seen.sequence <= shown.sequence < MAX_OUTRUN:
            self._publishing.outran(name, OutrunError(text, shown.sequence))
        return text

    def timing(self, name: str) -> Timing | None:
        """
        Return the durations that this host saw in force last, None if it remembers none.
        """
        seen = self._recorded(name)
        return seen.timing if seen else None

    def forget(self, name: str) -> None:
        """
        Serve a keyset that a person removed no more; raises LastSeenWriteError if the record of it stays.
        """
        self._publishing.withdraw(name)
        self._cache.drop(name)
        if self._last_seen:
            self._last_seen.forget(name)

    def _put(self, publication: Publication) -> bool:
        """
        Return whether *publication* is fit to be served, and is.
        """
        try:
            self._cache.put(publication, remembered=True)
        except PublicationError:  # its policy is of another kind, or another keyset has one of its kids
            return False
        return True

    def _recorded(self, name: str) -> LastSeen | None:
        try:
            return self._last_seen.get(name) if self._last_seen else None
        except FrozenError:
            return None  # its file is damaged, which the pass has reported already

    def _sealing(self, name: str) -> Sealing | None:
        """
        Return what seals the keyset, None if that cannot be read now.
        """
        try:
            return self._seals.get(name)
        except StoreError:
            return None

    def _public(self, name: str, sealing: Sealing) -> PublicDocument | None:
        try:
            stored = self._store.load(Tree.JWKS, name)
            if not sealing.fits(stored.fields or {}):
                return None
            document = decode_public(stored.fields, name) if stored.fields is not None else None
            if document is not None:
                parse_jwks(document.jwks)
        except (StoreError, KeyMaterialError):
            return None
        return document


def _decoded(fields: Fields, name: str) -> PublicDocument | None:
    """
    Return a public document, None if it is damaged; raises DocumentError if a later rotator wrote it.
    """
    try:
        return decode_public(fields, name)
    except DocumentError as error:
        if error.newer:
            raise
        return None
