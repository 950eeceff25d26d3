"""
What rotator asks of the outside world: a store of documents, publishers of JWKS, a notifier, a clock it can trust.

Adapters implement these Protocols and translate every foreign exception into one of `rotator.errors`.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rotator.documents.signing import Fields, PublicDocument
from rotator.model.keys import Keyset, Kid, Timing


class Tree(StrEnum):
    """
    The three trees of documents below the prefix, so that a policy can tell readers apart.
    """

    KEYS = "keys"
    JWKS = "jwks"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Moment:
    """
    The store's clock as one reply showed it.

    `floor` is whole seconds, at or before the true moment; `ceiling` whole seconds, at or after it. `drift` is by how much the
    local clock was ahead, `tolerance` how much of that the reading itself may explain; `read_at` monotonic seconds.
    """

    floor: datetime
    ceiling: datetime
    drift: timedelta = timedelta(0)
    tolerance: timedelta = timedelta(0)
    read_at: float = field(default_factory=time.monotonic, compare=False)

    def trusted(self, clock_skew: timedelta) -> bool:
        """
        Whether the local clock agrees with the store's within *clock_skew*.
        """
        return abs(self.drift) <= clock_skew + self.tolerance


@dataclass(frozen=True, slots=True)
class Stored:
    """
    One reply to a load or save.

    `version` counts the saves of this document, 0 when it was never written. `fields` is None where there is nothing to read:
    never written, or (with a version) deleted or destroyed. `created_at` is when that version was committed, by the store's clock.
    """

    version: int
    fields: Fields | None = field(repr=False)
    created_at: datetime | None
    moment: Moment


class DocumentStore(Protocol):
    """
    A store of versioned JSON documents with compare-and-set: Vault KV v2, files, or memory in tests.

    Every method may raise StoreUnavailableError and StoreDeniedError. Safe to use from several threads.
    """

    def load(self, tree: Tree, keyset: str) -> Stored:
        """
        Return the latest version of a document; absence is an answer, not an error.
        """
        ...

    def save(self, tree: Tree, keyset: str, fields: Fields, cas: int) -> Stored:
        """
        Write version *cas* + 1 if the latest is still *cas*, durably, and return it.

        Raises StoreConflictError when somebody else was first. When the reply was lost the document is read back and its
        `op_id` compared, so that a save that did happen is reported as done.
        """
        ...

    def versions(self, tree: Tree, keyset: str) -> Collection[int]:
        """
        Return the numbers of the versions whose data still exists, soft-deleted ones included.
        """
        ...

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """
        Destroy the data of *versions* for good. Proof is another call of `versions`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What a publisher shows of one keyset; `shown` holds the kids of next, current and old. Nothing in it is secret.
    """

    document: PublicDocument
    timing: Timing
    well_known: bool
    symmetric: bool


class JwksPublisher(Protocol):
    """
    A place where verifiers find the JWKS. All methods raise PublicationError, or StoreError where the place is in the store.
    """

    @property
    def name(self) -> str:
        """
        The word for this publisher in logs and messages.
        """
        ...

    def publish(self, publication: Publication) -> None:
        """
        Show *publication*, unless it is shown already or a later one of the same epoch is.
        """
        ...

    def shown(self, publication: Publication) -> Collection[Kid] | None:
        """
        Return the kids that consumers of this place find for the keyset, None where it never served it.
        """
        ...

    def confirm(self, publication: Publication) -> None:
        """
        Read back what consumers read; return when every key of *publication* is there, member for member.
        """
        ...


class EventType(StrEnum):
    """
    The types of events, as the CloudEvents attribute `type` names them.
    """

    PUBLISHED = "rotator.key.published"
    ACTIVATED = "rotator.key.activated"
    RETIRED = "rotator.key.retired"
    REVOKED = "rotator.key.revoked"
    CHANGED = "rotator.keyset.changed"
    HELD = "rotator.rotation.held"
    OVERDUE = "rotator.rotation.overdue"


@dataclass(frozen=True, slots=True)
class Event:
    """
    A hint that a keyset changed: no key material, no authority.
    """

    type: EventType
    id: str
    keyset: str
    epoch: str
    sequence: int
    at: datetime
    kid: str = ""
    reason: str = ""


def position(keyset: Keyset) -> str:
    """
    Return what the announced hash holds for *keyset*: epoch and sequence.
    """
    return f"{keyset.epoch}:{keyset.sequence}"


class Notifier(Protocol):
    """
    The durable feed of changes. Both methods raise NotificationError, within a bounded time.
    """

    def announce(self, event: Event) -> None:
        """
        Append *event* to the feed, tell whoever listens, and remember the keyset's position as announced.
        """
        ...

    def announced(self, keysets: Iterable[str]) -> Mapping[str, str]:
        """
        Return the announced position of each of *keysets* that has one.
        """
        ...
