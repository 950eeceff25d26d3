"""
What a signing document shows of itself: whether its parts can be rotator's. Pure.

The seal proves more; these say what is wrong, and guard documents from before there were seals.
"""

from collections.abc import Iterator

from rotator.documents.jwk import thumbprint
from rotator.documents.seal import SEAL, differences
from rotator.documents.signing import encode_keyset
from rotator.errors import KeyMaterialError
from rotator.model.document import Fields
from rotator.model.keys import Key, KeyPair, NextKey, public_key
from rotator.model.keyset import Keyset


def faults_of(fields: Fields, keyset: Keyset) -> Iterator[str]:
    """
    Yield what is wrong with the document *fields*, which gives *keyset*: names of fields, never a value.
    """
    if keyset.current is None and (keyset.symmetric or keyset.old or keyset.revoked or fields.get("kid")):
        yield "no key is current"
    stored = {name: value for name, value in fields.items() if name != SEAL}
    # A field that does not apply is absent or "": an older rotator may not have known it.
    given = {name: value for name, value in encode_keyset(keyset).items() if name in stored or value != ""}
    astray = tuple(differences(given, stored))
    if astray:
        yield f"{', '.join(astray)} {'is' if len(astray) == 1 else 'are'} not what keys gives"
    for number, key in enumerate(keyset.keys()):
        yield from (f"keys[{number}] {fault}" for fault in _faults_of_key(key))


def _faults_of_key(key: Key) -> Iterator[str]:
    public = public_key(key)
    if public is None:
        return
    # Imported here: a command that only reads documents is spared a tenth of its start-up.
    from rotator.documents.private_key import load_pair  # noqa: PLC0415

    try:
        if (
            isinstance(key.material, KeyPair)
            and load_pair(key.material.private, key.algorithm, ours=True).material != public
        ):
            yield "holds a public key that does not fit its private key"
        if not _imported(key) and thumbprint(public) != key.kid:
            yield "holds another key than its kid names"
    except KeyMaterialError:
        yield "holds a key that cannot be used"


def _imported(key: Key) -> bool:
    """
    Return whether *key* may have come by `rotator import`, with a kid of its own: it signed as soon as it was there.
    """
    return not isinstance(key, NextKey) and key.published_at is None and key.created_at == key.activated_at
