"""
What a source of keys is, and what a stored document is to a service.
"""

from datetime import timedelta
from typing import Protocol, runtime_checkable

from rotator.client.jose.keys import Keys, keys_of, keys_of_jwks
from rotator.documents.public import decode_public
from rotator.documents.signing import decode_keyset
from rotator.errors import KeyMaterialError, StoreUnavailableError
from rotator.model.document import Stored, Tree
from rotator.model.policy import Timing


@runtime_checkable
class Source(Protocol):
    """
    One keyset at one place. Used by one thread at a time; reading raises RotatorError, for whatever is wrong.
    """

    @property
    def place(self) -> str:
        """
        The words for it in messages.
        """
        ...

    @property
    def keyset(self) -> str:
        """
        The name of the keyset, "" where it is not known or there are several.
        """
        ...

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Return the keys that are there now, and for how long the place says they may be kept; within *timeout* seconds.

        *known* itself is returned where nothing changed. *fresh* asks caches on the way to look again.
        """
        ...

    def changed(self) -> bool:
        """
        Return whether something may have changed since the last reading, for next to nothing; called about once a second.
        """
        ...


class DocumentDecoder:
    """
    What a document of a store is to a service: the signing document, or the *public* one.
    """

    def __init__(self, keyset: str, where: str, public: bool, timing: Timing) -> None:  # noqa: FBT001 - passed on
        self.tree = Tree.JWKS if public else Tree.KEYS
        self.place = f"{where}/{self.tree}/{keyset}"
        self._keyset, self._timing = keyset, timing

    def decode(self, stored: Stored, known: Keys | None) -> Keys:
        """
        Return the keys of *stored*; *known* where it is the document that those were read from.
        """
        if stored.fields is None:
            why = "it was deleted" if stored.version else "is its name right, and did the daemon start?"
            raise StoreUnavailableError(f"{self.place}: no such document; {why}")
        if self.tree is Tree.KEYS:
            keyset = decode_keyset(stored.fields, self._keyset)
            now = (keyset.epoch, keyset.sequence, keyset.op_id)
            return known if known and (known.epoch, known.sequence, known.op_id) == now else keys_of(keyset)
        document = decode_public(stored.fields, self._keyset)
        if known and (known.epoch, known.sequence) == (document.epoch, document.sequence):
            return known
        try:
            verifying = keys_of_jwks(document.jwks)
        except KeyMaterialError as error:
            raise KeyMaterialError(f"{self.place}: {error}") from None
        return Keys(
            verifying=verifying,
            revoked=frozenset(str(revocation.kid) for revocation in document.revoked),
            timing=self._timing,
            keyset=document.keyset,
            epoch=document.epoch,
            sequence=document.sequence,
        )
