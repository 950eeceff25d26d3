"""
The protocol of a source of keys, and the keys in a stored document.
"""

from dataclasses import replace
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
    One keyset at one place. A reader uses it from one thread at a time.
    """

    @property
    def place(self) -> str:
        """
        The name of the place, for messages; without secrets.
        """
        ...

    @property
    def keyset(self) -> str:
        """
        The name of the keyset; "" if it is not known, or there are several.
        """
        ...

    def read(self, known: Keys | None, timeout: float, *, fresh: bool) -> tuple[Keys, timedelta | None]:
        """
        Return the keys that are there now, and how long the place lets them be kept (None if it does not say).

        Ends within *timeout* seconds; raises RotatorError. If nothing changed, the keys are *known* itself, or *known*
        with a later `seen_at`. *fresh* makes caches on the way ask for a new answer.
        """
        ...

    def changed(self) -> bool:
        """
        Return whether something may have changed since the last `read`.

        Called about once a second, so it must cost little.
        """
        ...


@runtime_checkable
class Announced(Protocol):
    """
    A Source that knows by which name the daemon announces changes of its keyset.
    """

    @property
    def announced_by(self) -> str:
        """
        The `source` of those events.
        """
        ...


class DocumentDecoder:
    """
    Decodes the signing document of a keyset, or the *public* one, into keys.
    """

    def __init__(self, keyset: str, where: str, public: bool, timing: Timing) -> None:  # noqa: FBT001 - passed on
        self.tree = Tree.JWKS if public else Tree.KEYS
        self.place = f"{where}/{self.tree}/{keyset}"
        self._keyset, self._timing = keyset, timing

    def decode(self, stored: Stored, known: Keys | None) -> Keys:
        """
        Return the keys of *stored*; *known* if they came from the same save, with the moment of a later heartbeat.
        """
        if stored.fields is None:
            why = "it was deleted" if stored.version else "is its name right, and did the daemon start?"
            raise StoreUnavailableError(f"{self.place}: no such document; {why}")
        if self.tree is Tree.KEYS:
            keyset = decode_keyset(stored.fields, self._keyset)
            now = (keyset.epoch, keyset.sequence, keyset.op_id)
            if known is None or (known.epoch, known.sequence, known.op_id) != now:
                return keys_of(keyset)
            seen_at = keyset.seen_at if keyset.heartbeat else None
            return known if known.seen_at == seen_at else replace(known, seen_at=seen_at)
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
