"""
Documents as a daemon saves them, without a daemon.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.documents.public import encode_public
from rotator.documents.seal import Sealing
from rotator.documents.signing import encode_keyset
from rotator.documents.standby import encode_standby
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, Kid, PublicKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.secret import SecretText
from rotator.ports.keygen import KeyGenerator
from rotator.ports.store import DocumentStore
from rotator.reconcile.consent import renewed_seal
from rotator.reconcile.seals import sealing_in
from tests.support.memory_store import MemoryStore
from tests.support.publications import pair, publication

TIMING = Timing(timedelta(hours=2), timedelta(hours=1), timedelta(minutes=1))

START = datetime(2026, 1, 1, tzinfo=UTC)


def keyset(sequence: int = 1, *, name: str = "web", rsa: bool = False, epoch: str = "epoch-1") -> Keyset:
    """A keyset as of one save: a secret, or a key pair, named after its sequence."""
    if rsa:
        made = pair(sequence)
        assert isinstance(made.material, PublicKey)
        assert made.private is not None
        algorithm, name_of_key, material = Algorithm.RS256, made.kid, KeyPair(made.private, made.material)
    else:
        algorithm, name_of_key = Algorithm.HS256, Kid(f"k{sequence}")
        material = HmacSecret(SecretText(f"{sequence:064x}"))  # type: ignore[assignment]
    current = CurrentKey(
        kid=name_of_key,
        algorithm=algorithm,
        material=material,
        created_at=START,
        published_at=START,
        usable_at=START,
        activated_at=START,
        activated_by=f"op-{sequence}",
        longest_token=timedelta(hours=1),
    )
    return Keyset(name=name, epoch=epoch, sequence=sequence, op_id=f"op-{sequence}", timing=TIMING, current=current)


def save(store: DocumentStore, document: Keyset) -> None:
    """Save a signing document over whatever is there."""
    version = store.load(Tree.KEYS, document.name).version
    store.save(Tree.KEYS, document.name, encode_keyset(document), version)


def sealed(store: MemoryStore, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return *fields* under the seal of the keyset, as only who reads its standby can make it."""
    return dict(sealing_in(store.history(Tree.STANDBY, name)[-1]).seal(fields))


def publish(store: DocumentStore, sequence: int = 1, *, name: str = "web", revoked: tuple[Kid, ...] = ()) -> None:
    """Save a public document with the key pair of its sequence."""
    document = publication(name, sequence, sequence=sequence, revoked=revoked).document
    store.save(Tree.JWKS, name, encode_public(document), store.load(Tree.JWKS, name).version)


def renew_seal(store: DocumentStore, keygen: KeyGenerator, document: Keyset) -> Sealing:
    """Save a new seal key for *document*, as a command does that accepts it, and return it."""
    standby, version = renewed_seal(store, keygen, document)
    store.save(Tree.STANDBY, document.name, encode_standby(standby), version)
    return standby.sealing
