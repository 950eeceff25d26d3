"""
What `rotator import` does, apart from how it is typed: an existing secret or private key becomes the first current key.
"""

from rotator.documents.private_key import load_pair
from rotator.errors import KeyMaterialError, RefusedError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import GeneratedKey, HmacSecret, Kid
from rotator.model.keyset import Keyset
from rotator.model.policy import Policy
from rotator.model.secret import SecretText
from rotator.model.strength import MIN_BITS, guessable_bits
from rotator.ports.keygen import KeyGenerator
from rotator.reconcile.operator_effects import Operator

MAX_KID = 256


def valid_kid(kid: str) -> bool:
    """
    Return whether *kid* may name a key: printable characters, 1 to MAX_KID bytes in UTF-8.
    """
    return 1 <= len(kid.encode(errors="replace")) <= MAX_KID and kid.isprintable()


def parse_key(text: SecretText, algorithm: Algorithm, kid: str | None, keygen: KeyGenerator) -> GeneratedKey:
    """
    Return the key that *text* holds: an HMAC secret as it is, or an RSA private key in PEM.

    Without a *kid* a key pair gets its RFC 7638 thumbprint, and a secret a random name from *keygen*: a kid is public
    and is never computed from a secret. Raises KeyMaterialError for a secret shorter than the hash (RFC 7518 section
    3.2), for a PEM key in place of a secret, and for anything but an RSA private key in place of one.
    """
    if not algorithm.symmetric:
        pair = load_pair(text, algorithm)
        return GeneratedKey(Kid(kid) if kid else pair.kid, pair.material, pair.private)
    size, shortest = len(text.reveal().encode()), algorithm.min_secret
    if size < shortest:
        raise KeyMaterialError(
            f"--file: holds {size} bytes, fewer than the {shortest} that {algorithm} needs: too weak to sign "
            "with; let rotator make a new one, and have the holders of tokens log in again"
        )
    if text.reveal().startswith("-----BEGIN "):
        raise KeyMaterialError(f"a PEM key is no secret for {algorithm}; set algorithm to RS256 for this keyset")
    return GeneratedKey(Kid(kid) if kid else keygen.generate(algorithm, 0).kid, HmacSecret(text), None)


def import_key(operator: Operator, name: str, policy: Policy, key: GeneratedKey) -> Keyset:
    """
    Create the keyset *name* with *key* as its current key, and return it as saved.

    Raises RefusedError if the keyset exists, or existed, in the store, or if the clock that would date the key is not
    trusted; StoreConflictError if another process creates it.
    """
    public = operator.store.load(Tree.JWKS, name)
    stored = operator.store.load(Tree.KEYS, name)
    if stored.version or public.version:
        raise RefusedError(
            f"{name}: exists already; import creates a keyset, so name a new one in the configuration and import into that"
        )
    if fault := operator.clock_trust.judge(None, name, policy, stored.clock, None).fault:
        raise RefusedError(f"{name}: {fault}")
    return operator.effects.import_key(name, policy, stored.clock, key).snapshot.keyset


def guessable(key: GeneratedKey) -> bool:
    """
    Return whether *key* is a secret made of common words, sequences or repetition, so that it should be replaced soon.
    """
    return isinstance(key.material, HmacSecret) and guessable_bits(key.material.secret.reveal()) < MIN_BITS
