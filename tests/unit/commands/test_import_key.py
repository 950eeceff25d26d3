"""
What becomes of a text that an operator imports.
"""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rotator.commands.import_key import MAX_KID, guessable, import_key, parse_key, valid_kid
from rotator.errors import KeyMaterialError, RefusedError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import HmacSecret, KeyPair, Kid
from rotator.model.secret import SecretText
from tests.support.fakes import PooledKeyGenerator
from tests.support.process import Place
from tests.support.publications import pair
from tests.support.world import policy

RANDOM = SecretText("9f1c" * 3 + "e07b52d8a4613f9c8d20b7e5a1f4c6d3907e2b18")
LIMITS = {Algorithm.HS256: 32, Algorithm.HS384: 48, Algorithm.HS512: 64}


def pem() -> SecretText:
    """The private key of a pair."""
    private = pair(1).private
    assert private is not None
    return private


@pytest.mark.parametrize(("algorithm", "shortest"), LIMITS.items())
def test_a_secret_has_as_many_bytes_as_its_hash(algorithm: Algorithm, shortest: int) -> None:
    """RFC 7518 section 3.2, counted in UTF-8: one byte fewer is refused, and the message says both numbers."""
    fits, short = SecretText("x" * (shortest - 2) + "é"), SecretText("x" * (shortest - 1))

    assert parse_key(fits, algorithm, None, PooledKeyGenerator()).material == HmacSecret(fits)
    with pytest.raises(
        KeyMaterialError, match=rf"holds {shortest - 1} bytes, fewer than the {shortest} that {algorithm}"
    ):
        parse_key(short, algorithm, None, PooledKeyGenerator())


def test_a_private_key_is_no_shared_secret() -> None:
    """The algorithm in the configuration is the mistake, and the message says which one to set."""
    with pytest.raises(KeyMaterialError, match="a PEM key is no secret for HS256"):
        parse_key(pem(), Algorithm.HS256, None, PooledKeyGenerator())


def test_a_pair_is_named_by_its_thumbprint_and_a_secret_by_chance() -> None:
    """A kid is public: computed from a secret it would let anyone try guesses offline."""
    keygen = PooledKeyGenerator()
    assert parse_key(pem(), Algorithm.RS256, None, keygen).kid == pair(1).kid
    assert keygen.made == []

    kid = parse_key(RANDOM, Algorithm.HS256, None, keygen).kid

    assert [made.kid for made in keygen.made] == [kid]


@pytest.mark.parametrize(("text", "algorithm"), [(pem(), Algorithm.RS256), (RANDOM, Algorithm.HS256)])
def test_a_kid_that_tokens_bear_is_kept(text: SecretText, algorithm: Algorithm) -> None:
    """Tokens that are out name it."""
    assert parse_key(text, algorithm, "legacy-1", PooledKeyGenerator()).kid == "legacy-1"


def test_a_pair_comes_apart_into_its_private_and_its_public_key() -> None:
    """The same as when it was generated."""
    assert parse_key(pem(), Algorithm.RS256, None, PooledKeyGenerator()) == pair(1)


@pytest.mark.parametrize("text", ["no key at all " * 5, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_what_is_no_rsa_key_is_refused_without_repeating_it(text: str) -> None:
    """An RS256 keyset takes nothing else."""
    with pytest.raises(KeyMaterialError) as caught:
        parse_key(SecretText(text), Algorithm.RS256, None, PooledKeyGenerator())
    assert "AAAA" not in str(caught.value)
    assert "no key at all" not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    """An EC key cannot sign RS256."""
    private = ec.generate_private_key(ec.SECP256R1())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(KeyMaterialError):
        parse_key(SecretText(text), Algorithm.RS256, None, PooledKeyGenerator())


def test_which_kids_are_taken() -> None:
    """Printable, and as short as a header can carry; the limit counts bytes."""
    assert valid_kid("a" * MAX_KID)
    assert valid_kid("é" * (MAX_KID // 2))
    assert not valid_kid("é" * (MAX_KID // 2) + "a")
    assert not valid_kid("")
    assert not valid_kid("a\nb")


def test_only_a_guessable_secret_is_warned_of() -> None:
    """A typed sentence is; a random text and a key pair are not."""
    keygen = PooledKeyGenerator()
    typed = SecretText("correct horse battery staple, my very long secret")
    assert guessable(parse_key(typed, Algorithm.HS256, None, keygen))
    assert not guessable(parse_key(RANDOM, Algorithm.HS256, None, keygen))
    assert not guessable(pair(1))


@pytest.mark.parametrize(("text", "algorithm"), [(pem(), "RS256"), (RANDOM, "HS256")])
def test_an_imported_key_is_the_current_key_of_a_new_keyset(text: SecretText, algorithm: str) -> None:
    """It signs from the first save on: its tokens are out already."""
    rules = policy(algorithm, period=1000)
    place = Place(rules)
    key = parse_key(text, rules.algorithm, "legacy-1", place.keygen)

    saved = import_key(place.process.operator, "web", rules, key)

    assert saved == place.keyset
    assert saved.sequence == 1
    assert place.current.kid == Kid("legacy-1")
    material = place.current.material
    assert (material.private if isinstance(material, KeyPair) else material.secret) == text


@pytest.mark.parametrize("tree", [Tree.KEYS, Tree.JWKS])
def test_a_keyset_that_exists_is_never_overwritten(tree: Tree) -> None:
    """Nor one that only its JWKS tells of: its signing document was deleted, and its tokens may be alive."""
    rules = policy("HS256", period=1000)
    place = Place(rules)
    place.store.save(tree, "web", {"any": "document"}, 0)

    with pytest.raises(RefusedError, match="web: exists already"):
        import_key(place.process.operator, "web", rules, parse_key(RANDOM, rules.algorithm, None, place.keygen))

    assert place.store.load(tree, "web").version == 1


def test_a_key_is_not_imported_by_a_clock_that_is_wrong() -> None:
    """It would bear that date for life, and deadlines only move later."""
    place = Place(policy("HS256"))
    place.store.offset = timedelta(seconds=-40)
    key = parse_key(RANDOM, Algorithm.HS256, None, PooledKeyGenerator())
    with pytest.raises(RefusedError, match="40 s behind the store's"):
        import_key(place.process.operator, "web", place.policy, key)
    assert place.store.history(Tree.KEYS, "web") == []
