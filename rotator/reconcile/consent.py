"""
What a person decided about a keyset, kept in its standby, where only the daemon and operators can write.

A person may accept a document, give a keyset up, or remove it. Each is said once in the store, and tells any number of
daemons, whenever they look.
"""

from dataclasses import replace
from datetime import timedelta

from rotator.documents.seal import NEVER_SEALED, Sealing
from rotator.documents.standby import Standby, encode_standby
from rotator.model.algorithms import Algorithm
from rotator.model.document import ClockReading, Fields, Tree
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import LastSeen
from rotator.model.removal import Removal
from rotator.ports.keygen import KeyGenerator
from rotator.ports.store import DocumentStore
from rotator.reconcile.standby import decoded, empty_standby, private_of


def renewed_seal(store: DocumentStore, keygen: KeyGenerator, keyset: Keyset) -> tuple[Standby, int]:
    """
    Return a standby with a new seal key for *keyset*, which a person accepted, and the version that it replaces.

    Save the signing document under the new seal first, then this: the daemon then believes the document, whatever it
    saw before. After a crash between the two, the old seal key still tells which versions rotator wrote. The private key
    of its `next` is kept if it stands by.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    found = decoded(stored, keyset.name)
    sealing = _accepted(keygen, found, stored.clock)
    standby = empty_standby(keyset.name, keyset.epoch, keyset.algorithm, stored.clock, sealing)
    if found and keyset.next and not keyset.symmetric and private_of(found, keyset, keyset.next):
        standby = replace(found, sealing=sealing)
    return standby, stored.version


def give_up_keyset(store: DocumentStore, keygen: KeyGenerator, name: str, policy: Policy) -> None:
    """
    Let the daemon create the keyset *name* again, since a person accepted that its signing document is gone.

    The standby is emptied, so that no key of the former keyset is adopted, and names an epoch of which there is no
    trace: that is what the daemon takes for leave to create (`Observer`).
    """
    stored = store.load(Tree.STANDBY, name)
    sealing = _accepted(keygen, decoded(stored, name), stored.clock)
    empty = empty_standby(name, keygen.epoch(), policy.algorithm, stored.clock, sealing)
    store.save(Tree.STANDBY, name, encode_standby(empty), stored.version)


def was_given_up(store: DocumentStore, name: str, seen: LastSeen | None, public: Fields | None) -> bool:
    """
    Return whether a person gave the keyset up (`give_up_keyset`): its standby names an epoch of which there is no trace.
    """
    found = decoded(store.load(Tree.STANDBY, name), name)
    traces = {seen.epoch if seen else "", str((public or {}).get("epoch", ""))}
    return found is not None and found.sealing.thawed_at is not None and found.epoch not in traces


def save_removal(store: DocumentStore, keygen: KeyGenerator, name: str, removal: Removal, clock: ClockReading) -> None:
    """
    Note in the standby that the keyset *name* is removed. Once that is done it holds nothing else.

    It then names an epoch of which there is no trace: that of a keyset created later under this name.
    """
    stored = store.load(Tree.STANDBY, name)
    found = decoded(stored, name)
    algorithm = found.algorithm if found else Algorithm.HS256
    empty = empty_standby(name, keygen.epoch(), algorithm, clock, NEVER_SEALED)
    standby = empty if found is None or removal.done else found
    store.save(Tree.STANDBY, name, encode_standby(replace(standby, removal=removal)), stored.version)


def is_removed(store: DocumentStore, name: str) -> bool:
    """
    Return whether the standby is the gravestone of a keyset that a person removed. Ask when there is no signing document.
    """
    found = decoded(store.load(Tree.STANDBY, name), name)
    return found is not None and found.removal is not None and found.removal.done


def _accepted(keygen: KeyGenerator, found: Standby | None, clock: ClockReading) -> Sealing:
    """
    Return a new seal key, accepted now: later than any before.
    """
    former = found.sealing.thawed_at if found else None
    thawed_at = max(clock.earliest, former + timedelta(seconds=1)) if former else clock.earliest
    return Sealing(keygen.seal_key(), thawed_at=thawed_at)
