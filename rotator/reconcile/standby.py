"""
The standby document: the private half of an asymmetric `next`, apart from what signers may read.
"""

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


def prepare_standby(
    store: DocumentStore, keygen: KeyGenerator, keyset: Keyset | None, name: str, policy: Policy
) -> tuple[str, NextKey, bool]:
    """
    Save the private half of a new key, or adopt the one that a crash or a lost race left behind.

    Return the epoch it belongs to (at bootstrap the standby's becomes the keyset's), the key, and whether it was adopted. Call it
    after the signing document was read: the standby is saved with the version of the very read that found nothing to adopt.
    """
    stored = store.load(Tree.STANDBY, name)
    adopted = _adoptable(stored, keyset, name)
    if adopted:
        standby, made = adopted
    else:
        made = keygen.generate(policy.algorithm, policy.rsa_bits)
        epoch = keyset.epoch if keyset else keygen.epoch()
        standby = Standby(name, epoch, made.kid, policy.algorithm, made.private, stored.moment.earliest)
        store.save(Tree.STANDBY, name, encode_standby(standby), stored.version)
    key = NextKey(kid=made.kid, algorithm=standby.algorithm, material=made.material, created_at=standby.created_at)
    return standby.epoch, key, adopted is not None


def clear_standby(store: DocumentStore, keyset: Keyset, following: NextKey, now: datetime) -> None:
    """
    Overwrite the standby with an empty document, so that a revoked `next` is not adopted again.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    try:
        held = decode_standby(stored.fields, keyset.name).kid if stored.fields is not None else following.kid
    except DocumentError:
        held = following.kid
    if held not in {following.kid, ""}:
        raise StoreConflictError(f"{keyset.name}: another key stands by already")
    empty = Standby(keyset.name, keyset.epoch, Kid(""), following.algorithm, None, now)
    store.save(Tree.STANDBY, keyset.name, encode_standby(empty), stored.version)


def private_key(store: DocumentStore, keyset: Keyset, following: NextKey) -> tuple[SecretText, ClockReading]:
    """
    Return the private half of `next` and the moment of the read; raises StandbyLostError where it is not there.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    lost = StandbyLostError(f"{keyset.name}: the standby does not hold the private half of {following.kid}")
    if stored.fields is None:
        raise lost
    try:
        standby = decode_standby(stored.fields, keyset.name)
        if standby.private is None or (standby.epoch, standby.kid) != (keyset.epoch, following.kid):
            raise lost
        if load_pair(standby.private, ours=True).material != following.material:
            raise lost
    except (DocumentError, KeyMaterialError) as error:
        raise lost from error
    return standby.private, stored.moment


def _adoptable(stored: Stored, keyset: Keyset | None, name: str) -> tuple[Standby, GeneratedKey] | None:
    """
    Return the standby and its key when it was made for this keyset and never came to be its `next`.
    """
    if stored.fields is None:
        return None
    try:
        standby = decode_standby(stored.fields, name)
        if standby.private is None or (keyset and (standby.epoch != keyset.epoch or keyset.knows(standby.kid))):
            return None
        made = load_pair(standby.private, ours=True)
    except (DocumentError, KeyMaterialError):
        return None
    return (standby, made) if made.kid == standby.kid else None
