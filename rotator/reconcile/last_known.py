"""
Serving a keyset that cannot be reconciled: what was verified last, so that an outage of the store is not one of the JWKS.
"""

from rotator.documents.jwk import parse_jwks
from rotator.documents.last_seen import last_seen_fields
from rotator.documents.public import decode_public
from rotator.documents.seal import Sealing
from rotator.errors import FrozenError, KeyMaterialError, PublicationError, StoreError
from rotator.model.document import Tree
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
