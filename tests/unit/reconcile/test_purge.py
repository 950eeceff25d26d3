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
from rotator.model.keyset import Keyset, Revocation
from rotator.model.secret import SecretText
from rotator.reconcile.purge import dropped_keys, purge_keyset, purge_standby
from tests.support.fakes import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.past_store import PastStore
from tests.support.world import World, at, policy


def made(purge_below: int = 0, algorithm: str = "HS256") -> Keyset:
    """Return a keyset that wants everything below that version destroyed."""
    world = World(policy(algorithm))
    world.run(20)
    return replace(world.keyset, purge_below=purge_below)


def store_of(keyset: Keyset, versions: int, kind: type[MemoryStore] = MemoryStore) -> MemoryStore:
    """Return a store that holds so many versions of *keyset*."""
    store = kind(ManualClock())
    for _ in range(versions):
        store.put(Tree.KEYS, "web", dict(encode_keyset(keyset)))
    return store


def behind(versions: int, lags: int, *, lists_late: bool = False) -> PastStore:
    """Return a standby of the store a store, with versions of a keyset that wants all but the latest destroyed."""
    store = store_of(made(versions), versions, PastStore)
    assert isinstance(store, PastStore)
    store.lags, store.lists_late = lags, lists_late
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
    purge_keyset(store, keyset, 5)

    assert store.versions(Tree.KEYS, "web") == (4, 5)


@pytest.mark.parametrize("purge_below", [3, 4, 99])
def test_the_current_version_is_never_destroyed(purge_below: int) -> None:
    """Not even if the document asks for it: the store's counter restarted, and all below its latest is to go."""
    keyset = made(purge_below)
    store = store_of(keyset, 3)
    purge_keyset(store, keyset, 3)

    assert store.versions(Tree.KEYS, "web") == (3,)


def test_a_keyset_that_dropped_nothing_is_not_even_read() -> None:
    """Nor is what is destroyed already destroyed again."""
    store = MemoryStore(ManualClock())
    store.away = True
    purge_keyset(store, made(0), 3)

    keyset = made(2)
    unasked = store_of(keyset, 2, Unasked)
    unasked._documents[Tree.KEYS, "web"][0].text = None
    purge_keyset(unasked, keyset, 2)
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
        purge_keyset(store, keyset, 3)


def test_what_outlives_its_destruction_is_named() -> None:
    """The proof is what the store lists afterwards, not that it answered."""
    keyset = made(3)

    with pytest.raises(StoreUnavailableError, match=r"versions \[1, 2\] of keys/web outlived"):
        purge_keyset(store_of(keyset, 3, Immortal), keyset, 3)


def test_soft_deleted_versions_are_destroyed_too() -> None:
    """Their data can be brought back."""
    keyset = made(3)
    store = store_of(keyset, 2)
    store.delete(Tree.KEYS, "web")
    store.put(Tree.KEYS, "web", dict(encode_keyset(keyset)))
    purge_keyset(store, keyset, 3)

    assert store.versions(Tree.KEYS, "web") == (3,)


@pytest.mark.parametrize("lists_late", [False, True])
@pytest.mark.parametrize("lags", [1, 2])
def test_a_store_that_shows_the_past_proves_nothing(lags: int, lists_late: bool) -> None:
    """Its latest version is none, or is not listed; once it has caught up the purge succeeds."""
    store, keyset = behind(3, lags, lists_late=lists_late), made(3)
    with pytest.raises(StoreUnavailableError, match="the store shows the past: keys/web has"):
        purge_keyset(store, keyset, 3)
    assert len([version for version in store.history(Tree.KEYS, "web") if version]) == 3

    store.lags = 0
    purge_keyset(store, keyset, 3)
    assert store.versions(Tree.KEYS, "web") == (3,)


def test_a_list_that_falls_behind_after_the_destruction_proves_nothing_either() -> None:
    """Each request may reach another node."""

    class Late(PastStore):
        def destroy(self, tree: Tree, keyset: str, versions: Collection[int]) -> None:
            super().destroy(tree, keyset, versions)
            self.lags, self.lists_late = 1, True

    with pytest.raises(StoreUnavailableError, match="no version from 3 on, which exists"):
        purge_keyset(store_of(made(3), 3, Late), made(3), 3)


# -- what a former process left ----------------------------------------------------------------------------------------


def test_keys_that_only_doomed_versions_hold_were_dropped() -> None:
    """Those that signed once and are not on the deny-list: revoked ones were announced when they were revoked."""
    world = World(policy())
    world.run(115)
    past = world.keyset
    world.run(150, begin=116)
    keyset = world.keyset
    assert [key.kid for key in (*past.keys(), *keyset.keys())] == ["k2", "k3", "k1", "k2", "k3"]
    store = store_of(past, 1)
    store.put(Tree.KEYS, "web", {"by": "hand"})
    store.put(Tree.KEYS, "web", dict(encode_keyset(replace(past, epoch="another"))))
    store.put(Tree.KEYS, "web", dict(encode_keyset(keyset)))

    assert dropped_keys(store, replace(keyset, purge_below=4), 4) == ("k1",)
    assert dropped_keys(store, replace(keyset, purge_below=1), 4) == ()
    revoked = Revocation(Kid("k1"), at(0), "stolen", at(900))
    assert dropped_keys(store, replace(keyset, purge_below=4, revoked=(revoked,)), 4) == ()


# -- the standby -------------------------------------------------------------------------------------------------------


PAIRS = made(algorithm="RS256")
assert PAIRS.next is not None
NEXT = PAIRS.next.kid


def standbys(*kids: str, epoch: str = "epoch", kind: type[MemoryStore] = MemoryStore) -> MemoryStore:
    """Return a store with a version of a standby for each of *kids*."""
    store = kind(ManualClock())
    for kid in kids:
        private = SecretText("private") if kid else None
        standby = Standby("web", epoch, Kid(kid), Algorithm.RS256, private, at(0))
        store.put(Tree.STANDBY, "web", dict(encode_standby(standby)))
    return store


def test_of_the_standby_only_the_latest_version_stays() -> None:
    """It holds the private key of next."""
    store = standbys("k0", "k1", NEXT)
    purge_standby(store, PAIRS)

    assert store.versions(Tree.STANDBY, "web") == (3,)


def test_a_standby_without_a_past_needs_no_purge() -> None:
    """Nothing is destroyed; an imported key needs no standby."""
    purge_standby(standbys(NEXT, kind=Unasked), PAIRS)
    purge_standby(standbys(kind=Unasked), replace(PAIRS, next=None))


@pytest.mark.parametrize("kids", [(), ("k1",), ("k0", "k1"), (NEXT, "")])
def test_a_standby_of_the_past_is_left_alone(kids: tuple[str, ...]) -> None:
    """It does not hold the key of next: what was saved for it is not visible here yet."""
    with pytest.raises(StoreUnavailableError, match="the store shows the past: standby/web"):
        purge_standby(standbys(*kids, kind=Unasked), PAIRS)


@pytest.mark.parametrize("kid", ["current", "", "a new one"])
def test_without_a_next_the_standby_holds_what_was_last(kid: str) -> None:
    """The key that became current, nothing after a revocation, or the one that is just being made."""
    assert PAIRS.current is not None
    store = standbys("k0", PAIRS.current.kid if kid == "current" else kid)
    purge_standby(store, replace(PAIRS, next=None))

    assert store.versions(Tree.STANDBY, "web") == (2,)


def test_without_a_next_a_standby_of_an_old_or_revoked_key_is_the_past() -> None:
    """Two keys later it would have been overwritten."""
    revoked = Revocation(Kid("k0"), at(0), "stolen", at(900))
    with pytest.raises(StoreUnavailableError, match="the store shows the past"):
        purge_standby(standbys("k9", "k0", kind=Unasked), replace(PAIRS, next=None, revoked=(revoked,)))


@pytest.mark.parametrize("strike", ["another epoch", "deleted", "foreign"])
def test_a_standby_that_is_not_ours_is_kept(strike: str) -> None:
    """Another life of the keyset, or a hand, wrote it."""
    store = standbys("k0", NEXT, epoch="another" if strike == "another epoch" else "epoch", kind=Unasked)
    if strike == "deleted":
        store.delete(Tree.STANDBY, "web")
    elif strike == "foreign":
        store.put(Tree.STANDBY, "web", {"by": "hand"})

    with pytest.raises(StoreConflictError, match="the standby changed hands"):
        purge_standby(store, PAIRS)


def test_the_purge_of_a_standby_is_proved_too() -> None:
    """By what the store lists afterwards."""
    with pytest.raises(StoreUnavailableError, match=r"versions \[1\] of standby/web outlived"):
        purge_standby(standbys("k0", NEXT, kind=Immortal), PAIRS)
