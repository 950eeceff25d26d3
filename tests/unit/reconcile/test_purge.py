"""
Destruction of what was dropped: never the version that is current, never what is not ours, and proved.
"""

from collections.abc import Collection
from dataclasses import replace

import pytest

from rotator.documents.signing import encode_keyset
from rotator.documents.standby import Standby, encode_standby
from rotator.errors import StoreConflictError, StoreUnavailableError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import Kid
from rotator.model.keyset import Keyset
from rotator.reconcile.purge import purge_keyset, purge_standby
from tests.support.fakes import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.world import World, at, policy


def made(purge_below: int = 0) -> Keyset:
    """Return a keyset that wants everything below that version destroyed."""
    world = World(policy("HS256"))
    world.run(20)
    return replace(world.keyset, purge_below=purge_below)


def store_of(keyset: Keyset, versions: int, kind: type[MemoryStore] = MemoryStore) -> MemoryStore:
    """Return a store that holds so many versions of *keyset*."""
    store = kind(ManualClock())
    for _ in range(versions):
        store.put(Tree.KEYS, "web", dict(encode_keyset(keyset)))
    return store


class Immortal(MemoryStore):
    """
    A store that destroys nothing, and says nothing of it.
    """

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """Do nothing."""


class Unasked(MemoryStore):
    """
    A store that must not be asked to destroy.
    """

    def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
        """Fail the test."""
        raise AssertionError(f"{tree}/{keyset}: {versions} destroyed")


def test_every_version_below_is_destroyed_and_none_above() -> None:
    """Versions 1 to 3 of 5."""
    keyset = made(4)
    store = store_of(keyset, 5)
    purge_keyset(store, keyset)

    assert store.versions(Tree.KEYS, "web") == (4, 5)


@pytest.mark.parametrize("purge_below", [3, 4, 99])
def test_the_current_version_is_never_destroyed(purge_below: int) -> None:
    """Not even if the document asks for it: it may be a restored one, under lower numbers."""
    keyset = made(purge_below)
    store = store_of(keyset, 3)
    purge_keyset(store, keyset)

    assert store.versions(Tree.KEYS, "web") == (3,)


def test_a_keyset_that_dropped_nothing_is_not_even_read() -> None:
    """Nor is what is destroyed already destroyed again."""
    store = MemoryStore(ManualClock())
    store.away = True
    purge_keyset(store, made(0))

    keyset = made(2)
    unasked = store_of(keyset, 2, Unasked)
    unasked._documents[Tree.KEYS, "web"][0].text = None
    purge_keyset(unasked, keyset)
    assert unasked.versions(Tree.KEYS, "web") == (2,)


@pytest.mark.parametrize("strike", ["another epoch", "deleted"])
def test_what_is_no_longer_ours_is_not_destroyed(strike: str) -> None:
    """Destroying has no compare-and-set, so the latest version must bear our epoch."""
    keyset = made(3)
    store = store_of(keyset, 3, Unasked)
    if strike == "deleted":
        store.delete(Tree.KEYS, "web")
    else:
        store.put(Tree.KEYS, "web", dict(encode_keyset(replace(keyset, epoch="another"))))

    with pytest.raises(StoreConflictError, match="changed hands"):
        purge_keyset(store, keyset)


def test_what_outlives_its_destruction_is_named() -> None:
    """The proof is what the store lists afterwards, not that it answered."""
    keyset = made(3)

    with pytest.raises(StoreUnavailableError, match=r"versions \[1, 2\] of keys/web outlived"):
        purge_keyset(store_of(keyset, 3, Immortal), keyset)


def test_soft_deleted_versions_are_destroyed_too() -> None:
    """Their data can be brought back."""
    keyset = made(3)
    store = store_of(keyset, 2)
    store.delete(Tree.KEYS, "web")
    store.put(Tree.KEYS, "web", dict(encode_keyset(keyset)))
    purge_keyset(store, keyset)

    assert store.versions(Tree.KEYS, "web") == (3,)


# -- the standby -------------------------------------------------------------------------------------------------------


def standbys(count: int, epoch: str = "epoch", kind: type[MemoryStore] = MemoryStore) -> MemoryStore:
    """Return a store with so many versions of a standby."""
    store = kind(ManualClock())
    for number in range(count):
        standby = Standby("web", epoch, Kid(f"k{number}"), Algorithm.RS256, None, at(0))
        store.put(Tree.STANDBY, "web", dict(encode_standby(standby)))
    return store


def test_of_the_standby_only_the_latest_version_stays() -> None:
    """It holds the private key of next."""
    store = standbys(3)
    purge_standby(store, made())

    assert store.versions(Tree.STANDBY, "web") == (3,)


@pytest.mark.parametrize("count", [0, 1])
def test_a_standby_without_a_past_needs_no_purge(count: int) -> None:
    """Nothing is destroyed."""
    purge_standby(standbys(count, kind=Unasked), made())


@pytest.mark.parametrize("strike", ["another epoch", "deleted", "foreign"])
def test_a_standby_that_is_not_ours_is_kept(strike: str) -> None:
    """Another life of the keyset, or a hand, wrote it."""
    store = standbys(2, "another" if strike == "another epoch" else "epoch", Unasked)
    if strike == "deleted":
        store.delete(Tree.STANDBY, "web")
    elif strike == "foreign":
        store.put(Tree.STANDBY, "web", {"by": "hand"})

    with pytest.raises(StoreConflictError, match="the standby changed hands"):
        purge_standby(store, made())


def test_the_purge_of_a_standby_is_proved_too() -> None:
    """By what the store lists afterwards."""
    with pytest.raises(StoreUnavailableError, match=r"versions \[1\] of standby/web outlived"):
        purge_standby(standbys(2, kind=Immortal), made())
