"""
The standby document: the private key of an asymmetric `next`, apart from what signers may read, and the seal key.

Every save of it carries the seal key on. One without a seal key, from before there were seals, gets one with the save
that comes first.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from rotator.documents.private_key import load_pair
from rotator.documents.seal import NEVER_SEALED, Sealing, seal_of
from rotator.documents.signing import encode_keyset
from rotator.documents.standby import Standby, decode_standby, encode_standby
from rotator.errors import DocumentError, FrozenError, KeyMaterialError, StandbyLostError, StoreConflictError
from rotator.model.algorithms import Algorithm
from rotator.model.document import ClockReading, Stored, Tree
from rotator.model.keys import GeneratedKey, Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.publication import accepted_later
from rotator.model.removal import Removal
from rotator.model.secret import SecretText
from rotator.ports.keygen import KeyGenerator
from rotator.ports.store import DocumentStore
from rotator.reconcile.snapshot import Snapshot

MAX_UNFINISHED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    A key whose private key stands by. *adopted*: a crash or a lost race left it behind, so it was not generated now.
    """

    key: NextKey
    epoch: str
    sealing: Sealing
    adopted: bool


@dataclass(frozen=True, slots=True)
class StandbyCheck:
    """
    What a look at the standby found: whether it holds the private key of `next`, and what is wrong ("" if nothing).
    """

    sealing: Sealing
    matches: bool
    trouble: str


def prepare_standby(
    store: DocumentStore, keygen: KeyGenerator, before: Snapshot | None, name: str, policy: Policy
) -> Prepared:
    """
    Save the private key of a new key, or adopt the one that a crash or a lost race left behind.

    At bootstrap (*before* None) the standby's epoch becomes the keyset's. Call it after the signing document was read:
    the standby is saved with the version of the very read that found nothing to adopt.
    """
    stored = store.load(Tree.STANDBY, name)
    keyset, found = before.keyset if before else None, decoded(stored, name)
    waiting = found if keyset else _unfinished(found, stored)
    sealing = _carried(keygen, before, waiting)
    adopted = _adoptable(waiting, keyset)
    if waiting and adopted:
        standby, generated = waiting, adopted
    else:
        generated = keygen.generate(policy.algorithm, policy.rsa_bits)
        epoch = keyset.epoch if keyset else (waiting.epoch if waiting else "") or keygen.epoch()
        standby = Standby(name, epoch, generated.kid, policy.algorithm, generated.private, stored.clock.earliest)
    _save_unless_same(store, replace(standby, sealing=sealing), stored)
    key = NextKey(
        kid=generated.kid, algorithm=standby.algorithm, material=generated.material, created_at=standby.created_at
    )
    return Prepared(key, standby.epoch, sealing, adopted=adopted is not None)


def prepare_seal(store: DocumentStore, keygen: KeyGenerator, name: str, policy: Policy) -> tuple[str, Sealing]:
    """
    Save a seal key for a keyset that is to be created with its first key signing; return its epoch and the seal key.

    What a crash or a lost race left behind is adopted, so that processes which create the keyset at once agree on it.
    """
    stored = store.load(Tree.STANDBY, name)
    waiting = _unfinished(decoded(stored, name), stored)
    sealing = _carried(keygen, None, waiting)
    epoch = (waiting.epoch if waiting else "") or keygen.epoch()
    standby = empty_standby(name, epoch, policy.algorithm, stored.clock, sealing)
    if waiting and not policy.algorithm.symmetric:
        standby = replace(waiting, epoch=epoch, sealing=sealing)
    _save_unless_same(store, standby, stored)
    return epoch, sealing


def seal_from_now_on(store: DocumentStore, keygen: KeyGenerator, before: Snapshot) -> Sealing:
    """
    Return what seals a keyset; one from before there were seals gets a seal key.

    Its document, which bears no seal, is believed until the next save: the standby vouches for it.
    """
    if before.sealing.key:
        return before.sealing
    keyset, stored = before.keyset, store.load(Tree.STANDBY, before.name)
    found = decoded(stored, keyset.name)
    sealing = _carried(keygen, before, found)
    standby = found or empty_standby(keyset.name, keyset.epoch, keyset.algorithm, stored.clock, sealing)
    _save_unless_same(store, replace(standby, sealing=sealing), stored)
    return sealing


def clear_standby(store: DocumentStore, before: Snapshot, next_key: NextKey) -> None:
    """
    Overwrite the standby with an empty document, so that a revoked `next` is not adopted again.
    """
    keyset, stored = before.keyset, store.load(Tree.STANDBY, before.name)
    found = decoded(stored, keyset.name)
    if found and found.kid not in {next_key.kid, ""}:
        raise StoreConflictError(f"{keyset.name}: another key stands by already")
    sealing = before.sealing if before.sealing.key or found is None else found.sealing
    empty = empty_standby(keyset.name, keyset.epoch, next_key.algorithm, before.clock, sealing)
    store.save(Tree.STANDBY, keyset.name, encode_standby(empty), stored.version)


def check_standby(store: DocumentStore, keygen: KeyGenerator, before: Snapshot) -> StandbyCheck:
    """
    Compare the standby with the keyset, and put back the seal key that sealed it.

    A seal key that this process no longer knows either is replaced: the document is the one that this host saw before.
    A removal that a person began is dropped while the configuration has the keyset rotated.
    """
    keyset, sealing = before.keyset, before.sealing
    stored = store.load(Tree.STANDBY, keyset.name)
    found = decoded(stored, keyset.name)
    matches = (
        keyset.symmetric
        or keyset.next is None
        or bool(found and private_of(replace(found, epoch=keyset.epoch), keyset, keyset.next))
    )
    trouble = "" if matches else "next is withdrawn and made anew unless it comes back"
    there = found.sealing if found else NEVER_SEALED
    if accepted_later(there.thawed_at, sealing.thawed_at):
        raise FrozenError(f"{keyset.name}: `rotator thaw {keyset.name}` was cut short; run it again")
    if sealing.lost or (sealing.key and (there != sealing or found is None or found.epoch != keyset.epoch)):
        sealing = _carried(keygen, before, found)
        standby = empty_standby(keyset.name, keyset.epoch, keyset.algorithm, stored.clock, sealing)
        if found and (found.epoch == keyset.epoch or matches):
            standby = replace(found, epoch=keyset.epoch, sealing=sealing, removal=_removal(found, before))
        _save_unless_same(store, standby, stored)
        trouble = trouble or "another hand changed its seal key or epoch, which was put back"
    elif found and found.removal != _removal(found, before):
        _save_unless_same(store, replace(found, removal=_removal(found, before)), stored)
    return StandbyCheck(sealing, matches, trouble)


def _removal(found: Standby, before: Snapshot) -> Removal | None:
    return None if before.policy.rotates else found.removal


def private_key(store: DocumentStore, keyset: Keyset, next_key: NextKey) -> tuple[SecretText, ClockReading]:
    """
    Return the private key of `next`, and the store's clock in that reply; raises StandbyLostError if it is not there.
    """
    stored = store.load(Tree.STANDBY, keyset.name)
    found = decoded(stored, keyset.name)
    private = private_of(found, keyset, next_key) if found else None
    if private is None:
        raise StandbyLostError(f"{keyset.name}: the standby does not hold the private half of {next_key.kid}")
    return private, stored.clock


def standby_matches(store: DocumentStore, keyset: Keyset) -> bool:
    """
    Return whether the standby holds the private key of `next`; true if `next` needs none.
    """
    if keyset.symmetric or keyset.next is None:
        return True
    found = decoded(store.load(Tree.STANDBY, keyset.name), keyset.name)
    return found is not None and private_of(found, keyset, keyset.next) is not None


def decoded(stored: Stored, name: str) -> Standby | None:
    """
    Return the standby, None if it does not exist or is not ours.
    """
    try:
        return decode_standby(stored.fields, name) if stored.fields is not None else None
    except DocumentError:
        return None


def _unfinished(found: Standby | None, stored: Stored) -> Standby | None:
    """
    Return the standby as a creation goes on from it: only if a crash cut that short lately, else with nothing in it.

    An older one is of a former keyset. That a person accepted the loss of that one stays true.
    """
    if found is None or stored.clock.latest - found.created_at <= MAX_UNFINISHED:
        return found
    return replace(found, epoch="", private=None, sealing=Sealing(thawed_at=found.sealing.thawed_at))


def private_of(standby: Standby, keyset: Keyset, next_key: NextKey) -> SecretText | None:
    """
    Return the private key of `next` if the standby holds it.
    """
    if standby.private is None or (standby.epoch, standby.kid) != (keyset.epoch, next_key.kid):
        return None
    try:
        pair = load_pair(standby.private, next_key.algorithm, ours=True)
    except KeyMaterialError:
        return None
    return standby.private if pair.material == next_key.material else None


def _adoptable(standby: Standby | None, keyset: Keyset | None) -> GeneratedKey | None:
    """
    Return the key that stands by if it was made for this keyset and never became its `next`.
    """
    if standby is None or standby.private is None:
        return None
    if keyset and (standby.epoch != keyset.epoch or keyset.knows(standby.kid)):
        return None
    try:
        generated = load_pair(standby.private, standby.algorithm, ours=True)
    except KeyMaterialError:
        return None
    return generated if generated.kid == standby.kid else None


def _carried(keygen: KeyGenerator, before: Snapshot | None, found: Standby | None) -> Sealing:
    """
    Return what the next save of the standby says about seals: what sealed the document, what is there, or a new key.
    """
    known, there = before.sealing if before else NEVER_SEALED, found.sealing if found else NEVER_SEALED
    if known.key:
        if there.thawed_at and there.thawed_at != known.thawed_at:
            raise StoreConflictError("the seal was renewed while the keyset was looked at")
        return known
    fields = (before.unsealed or encode_keyset(before.keyset)) if before else None
    if there.key is None:
        key = keygen.seal_key()
        remade_at = before.clock.earliest if before and known.lost else None
        return replace(there, key=key, vouched=seal_of(fields, key) if fields else "", remade_at=remade_at)
    if fields and not there.fits(fields):
        raise StoreConflictError("another process has sealed the keyset by now")
    return there


def empty_standby(name: str, epoch: str, algorithm: Algorithm, clock: ClockReading, sealing: Sealing) -> Standby:
    """
    Return a standby in which no key stands by.
    """
    return Standby(name, epoch, Kid(""), algorithm, None, clock.earliest, sealing)


def _save_unless_same(store: DocumentStore, standby: Standby, stored: Stored) -> None:
    fields = encode_standby(standby)
    if fields != stored.fields:
        store.save(Tree.STANDBY, standby.keyset, fields, stored.version)
