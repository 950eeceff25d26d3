"""
A keyset as one reply of the store showed it, with the policy it is under.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.documents.signing import decode_keyset
from rotator.errors import DocumentError, FrozenError, RefusedError
from rotator.model.document import ClockReading, Fields, Stored, Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy

if TYPE_CHECKING:
    from rotator.model.publication import Publication
    from rotator.ports.store import DocumentStore


@dataclass(frozen=True)
class Snapshot:
    """
    A keyset as this process sees it: *loaded* from the store, or just saved as *version*.

    `committed_at` is when the store committed that version, `clock` the store's clock in that reply, `sealing` what seals
    its documents. `unsealed` is the document as it was loaded if nothing seals it yet.
    """

    keyset: Keyset
    policy: Policy
    version: int
    clock: ClockReading
    committed_at: datetime
    loaded: bool
    sealing: Sealing = NEVER_SEALED
    unsealed: Fields | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, stored: Stored, name: str, policy: Policy, sealing: Sealing = NEVER_SEALED) -> Self:
        """
        Return the snapshot of a signing document that was loaded; raises DocumentError if it is not one.

        Whether rotator wrote it, the `Loader` checks.
        """
        if stored.fields is None:
            raise DocumentError(f"{name}: there is no signing document")
        keyset = decode_keyset(stored.fields, name)
        return cls(keyset, policy, stored.version, stored.clock, stored.committed_at, True, sealing)

    @property
    def name(self) -> str:
        """
        The name of the keyset.
        """
        return self.keyset.name

    @property
    def now(self) -> datetime:
        """
        The moment of the reply, in whole seconds rounded down: what decisions go by.
        """
        return self.clock.earliest

    @property
    def committed_by(self) -> datetime:
        """
        When this version was committed at the latest: the moment of the reply, if the commit's own clock was ahead.
        """
        return min(self.committed_at, self.clock.latest)

    @cached_property
    def publication(self) -> "Publication":
        """
        What publishers are to show of the keyset. Rendered once.
        """
        # Imported here: a command that only reads documents is spared a tenth of its start-up.
        from rotator.documents.public import public_document  # noqa: PLC0415
        from rotator.model.publication import Publication  # noqa: PLC0415

        keyset, well_known = self.keyset, self.policy.well_known
        document = public_document(keyset, self.sealing, well_known=well_known)
        return Publication(document, keyset.timing, well_known, keyset.symmetric)


def in_force(policy: Policy, keyset: Keyset) -> Policy:
    """
    Return the policy that *keyset* is under: one that does not fit its keys serves and retires it, and never rotates it.
    """
    if policy.rotates and policy.algorithm.symmetric == keyset.symmetric:
        return policy
    return replace(policy, rotates=False, timing=keyset.timing, algorithm=keyset.algorithm)


def load(store: "DocumentStore", name: str, policy: Policy) -> Snapshot:
    """
    Return the keyset as it is stored now, for a command that only shows it: nothing is checked but its shape.

    Raises RefusedError if there is none, FrozenError if its document was deleted or destroyed.
    """
    stored = store.load(Tree.KEYS, name)
    if stored.fields is None and stored.version:
        raise FrozenError(f"{name}: its document was deleted or destroyed; see the daemon's alarm for the way out")
    if stored.fields is None:
        raise RefusedError(f"{name}: does not exist yet; start the daemon or run `rotator tick` to create it")
    snapshot = Snapshot.of(stored, name, policy)
    return replace(snapshot, policy=in_force(policy, snapshot.keyset))
