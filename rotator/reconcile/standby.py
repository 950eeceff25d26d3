"""
The standby document: the private key of an asymmetric `next`, apart from what signers may read.
"""

from dataclasses import dataclass
from datetime import datetime

from rotator.documents.private_key import load_pair
from rotator.documents.standby import Standby, decode_standby, encode_standby
from rotator.errors import DocumentError, KeyMaterialError, StandbyLostError, StoreConflictError
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.secret import SecretText
from rotator.ports.keygen import KeyGenerator
from rotator.ports.store import DocumentStore


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    A key whose private key stands by. *adopted*: a crash or a lost race left it behind, so it was not generated now.
    """

    key: NextKey
    epoch: str
    adopted: bool


def prepare_standby(
    store: DocumentStore, keygen: KeyGenerator, keyset: Keyset | None, name: str, policy: Policy
) -> Prepared:
    """
    Save the private key of a new key, or adopt the one that a crash or a lost race left behind.

    At bootstrap (*keyset* None) the standby's epoch becomes the keyset's. Call it after the signing document was read:
    the standby is saved with the version of the very read that found nothing to adopt.
    """
    stored = store.load(Tree.STANDBY, name)
    found = _adoptable(stored, keyset, name)
    if found:
        standby, generated = found
    else:
        generated = keygen.generate(policy.algorithm, policy.rsa_bits)
        epoch = keyset.epoch if keyset else keygen.epoch()
        standby = Standby(name, epoch, generated.kid, policy.algorithm, generated.private, stored.clock.earliest)
        store.save(Tree.STANDBY, name, encode_standby(standby), stored.version)
    key = NextKey(
        kid=generated.kid, algorithm=standby.algorithm, material=generated.material, created_at=standby.created_at
    )
    return Prepared(key, standby.epoch, adopted=found is not None)


def clear_standby(store: DocumentStore, keyset: Keyset, next_key: NextKey, now: datetime) -> None:
    """
    Overwrite the standby with an empty document, so that a revoked `next` is not adopted again.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    try:
        held = decode_standby(stored.fields, keyset.name).kid if stored.fields is not None else next_key.kid
    except DocumentError:
        held = next_key.kid
    if held not in {next_key.kid, ""}:
        raise StoreConflictError(f"{keyset.name}: another key stands by already")
    empty = Standby(keyset.name, keyset.epoch, Kid(""), next_key.algorithm, None, now)
    store.save(Tree.STANDBY, keyset.name, encode_standby(empty), stored.version)


def private_key(store: DocumentStore, keyset: Keyset, next_key: NextKey) -> tuple[SecretText, ClockReading]:
    """
    Return the private key of `next`, and the store's clock in that reply; raises StandbyLostError if it is not there.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    lost = StandbyLostError(f"{keyset.name}: the standby does not hold the private half of {next_key.kid}")
    if stored.fields is None:
        raise lost
    try:
        standby = decode_standby(stored.fields, keyset.name)
        if standby.private is None or (standby.epoch, standby.kid) != (keyset.epoch, next_key.kid):
            raise lost
        if load_pair(standby.private, next_key.algorithm, ours=True).material != next_key.material:
            raise lost
    except (DocumentError, KeyMaterialError) as error:
        raise lost from error
    return standby.private, stored.clock


def standby_matches(store: DocumentStore, keyset: Keyset) -> bool:
    """
    Return whether the standby holds the private key of `next`; true if `next` needs none.
    """
    if keyset.symmetric or keyset.next is None:
        return True
    try:
        private_key(store, keyset, keyset.next)
    except StandbyLostError:
        return False
    return True


def _adoptable(stored: Stored, keyset: Keyset | None, name: str) -> tuple[Standby, GeneratedKey] | None:
    """
    Return the standby and its key if that was made for this keyset and never became its `next`.
    """
    if stored.fields is None:
        return None
    try:
        standby = decode_standby(stored.fields, name)
        if standby.private is None or (keyset and (standby.epoch != keyset.epoch or keyset.knows(standby.kid))):
            return None
        generated = load_pair(standby.private, standby.algorithm, ours=True)
    except (DocumentError, KeyMaterialError):
        return None
    return (standby, generated) if generated.kid == standby.kid else None
