"""
The port DocumentStore: what every store must do, asked of each of them.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from rotator.adapters.files.store import FileStore
from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.errors import StoreConflictError
from rotator.model.document import Stored, Tree
from rotator.model.secret import SecretText
from rotator.ports.store import ArchiveStore, DocumentStore
from tests.support.fakes import ManualClock
from tests.support.memory_store import MemoryStore
from tests.support.servers.vault import VaultServer
from tests.support.vault_stores import root_store

DOCUMENT: dict[str, Any] = {
    "op_id": "c0ffee",
    "sequence": "7",
    "current": 'quotes " backslash \\ line\nend, snow \u2603, clef \U0001d11e',
    "keys": [{"kid": "k1", "unknown": {"deep": [1, 2.5, True, None]}}],
    "empty": "",
}


@pytest.fixture(params=["memory", "file", pytest.param("vault", marks=pytest.mark.vault)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArchiveStore]:
    """
    An empty store of each kind.
    """
    if request.param == "memory":
        yield MemoryStore(ManualClock())
    elif request.param == "file":
        yield FileStore(tmp_path / "store")
    else:
        server, mount = request.getfixturevalue("vault_server"), request.getfixturevalue("mount")
        credentials = TokenLogin(SecretText(server.root_token))
        vault = VaultStore(
            VaultConnection(server.address, "", None, credentials, structlog.get_logger()), mount, "rotator"
        )
        yield vault
        vault.close()


def test_what_was_never_written_is_absent(store: DocumentStore) -> None:
    """
    Absence is version 0 with nothing in it, an answer and no error.
    """
    absent = store.load(Tree.KEYS, "web")
    assert (absent.version, absent.fields, absent.created_at) == (0, None, None)
    assert list(store.versions(Tree.KEYS, "web")) == []


def test_what_was_saved_is_loaded(store: DocumentStore) -> None:
    """
    Every JSON value comes back as it was, with the version and the moment of its commit.
    """
    saved = store.save(Tree.KEYS, "web", DOCUMENT, cas=0)
    loaded = store.load(Tree.KEYS, "web")
    assert (saved.version, loaded.version) == (1, 1)
    assert saved.fields == loaded.fields == DOCUMENT
    assert saved.created_at == loaded.created_at
    assert saved.created_at is not None


def test_versions_count_the_saves(store: DocumentStore) -> None:
    """
    Each save is version cas + 1; the last one is what is loaded.
    """
    for cas in range(4):
        assert store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas).version == cas + 1
    loaded = store.load(Tree.KEYS, "web")
    assert (loaded.version, loaded.fields) == (4, {"op_id": "3"})


@pytest.mark.parametrize("cas", [0, 1, 3])
def test_a_save_on_another_version_is_a_conflict(store: DocumentStore, cas: int) -> None:
    """
    Behind or ahead of the latest, the compare-and-set is lost and changes nothing.
    """
    store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
    store.save(Tree.KEYS, "web", {"op_id": "b"}, 1)
    with pytest.raises(StoreConflictError):
        store.save(Tree.KEYS, "web", {"op_id": "c"}, cas)
    latest = store.load(Tree.KEYS, "web")
    assert (latest.version, latest.fields) == (2, {"op_id": "b"})


def test_a_save_inside_a_read_modify_write_wins(store: DocumentStore) -> None:
    """
    Of two writers that read the same version exactly one wins, though both write the same.
    """
    outer = store.load(Tree.KEYS, "web")
    inner = store.load(Tree.KEYS, "web")
    store.save(Tree.KEYS, "web", {"sequence": "1"}, inner.version)
    with pytest.raises(StoreConflictError):
        store.save(Tree.KEYS, "web", {"sequence": "1"}, outer.version)


def test_of_many_writers_exactly_one_wins(store: DocumentStore) -> None:
    """
    Sixteen threads save on the same version: one version more, by the one that was told so.
    """

    def attempt(writer: int) -> Stored | None:
        try:
            return store.save(Tree.KEYS, "web", {"op_id": str(writer)}, 0)
        except StoreConflictError:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [saved for saved in pool.map(attempt, range(16)) if saved is not None]
    assert len(won) == 1
    loaded = store.load(Tree.KEYS, "web")
    assert (loaded.version, loaded.fields) == (1, won[0].fields)


def test_documents_do_not_touch_each_other(store: DocumentStore) -> None:
    """
    Trees and keysets are apart: each document has its own versions.
    """
    places = [(tree, keyset) for tree in Tree for keyset in ("web", "web-2")]
    for tree, keyset in places:
        store.save(tree, keyset, {"here": f"{tree}/{keyset}"}, 0)
    for tree, keyset in places:
        loaded = store.load(tree, keyset)
        assert (loaded.version, loaded.fields) == (1, {"here": f"{tree}/{keyset}"})


def test_the_latest_version_exists(store: DocumentStore) -> None:
    """
    However many older ones a store keeps, the latest is among the versions.
    """
    store.save(Tree.STANDBY, "web", {"op_id": "a"}, 0)
    store.save(Tree.STANDBY, "web", {"op_id": "b"}, 1)
    assert 2 in store.versions(Tree.STANDBY, "web")


def test_destroyed_versions_are_gone(store: DocumentStore) -> None:
    """
    After destroying all that is below the latest, only that one exists, and it is loaded as before.
    """
    for cas in range(3):
        store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas)
    below = [version for version in store.versions(Tree.KEYS, "web") if version < 3]
    store.destroy(Tree.KEYS, "web", below)
    assert list(store.versions(Tree.KEYS, "web")) == [3]
    latest = store.load(Tree.KEYS, "web")
    assert (latest.version, latest.fields) == (3, {"op_id": "2"})


def test_destroying_twice_and_destroying_nothing_are_no_errors(store: DocumentStore) -> None:
    """
    A purge that crashed can be done again.
    """
    store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
    store.save(Tree.KEYS, "web", {"op_id": "b"}, 1)
    store.destroy(Tree.KEYS, "web", [1])
    store.destroy(Tree.KEYS, "web", [1])
    store.destroy(Tree.KEYS, "web", [])
    assert list(store.versions(Tree.KEYS, "web")) == [2]


def test_a_save_after_destroying_goes_on_counting(store: DocumentStore) -> None:
    """
    A version number is never used again.
    """
    store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
    store.save(Tree.KEYS, "web", {"op_id": "b"}, 1)
    store.destroy(Tree.KEYS, "web", [1])
    assert store.save(Tree.KEYS, "web", {"op_id": "c"}, 2).version == 3


def test_each_reply_shows_the_store_clock(store: DocumentStore) -> None:
    """
    The moment of a reply lies between whole seconds, not before the commit, and agrees with our clock.
    """
    saved = store.save(Tree.KEYS, "web", DOCUMENT, 0)
    for stored in (saved, store.load(Tree.KEYS, "web"), store.load(Tree.KEYS, "absent")):
        moment = stored.clock
        assert moment.earliest.microsecond == moment.latest.microsecond == 0
        assert timedelta(0) <= moment.latest - moment.earliest <= timedelta(seconds=2)
        assert moment.earliest.utcoffset() == timedelta(0)
        assert moment.trusted(timedelta(0))
        assert stored.created_at is None or stored.created_at <= moment.latest


def test_the_tree_of_signing_documents_is_listed(store: DocumentStore) -> None:
    """
    Its own names only, whether anything is there or not.
    """
    assert list(store.names()) == []
    store.save(Tree.JWKS, "public", DOCUMENT, 0)
    assert list(store.names()) == []
    for name in ("web", "internal"):
        store.save(Tree.KEYS, name, DOCUMENT, 0)
    assert sorted(store.names()) == ["internal", "web"]


# -- what operators' commands do ---------------------------------------------------------------------------------------


def test_the_latest_version_can_be_read_by_its_number(store: ArchiveStore) -> None:
    """
    Every store has that one; a number that was never written is absent, as version 0.
    """
    for cas in range(2):
        store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas)
    latest = store.load_version(Tree.KEYS, "web", 2)
    assert (latest.version, latest.fields) == (2, {"op_id": "1"})
    assert latest.created_at == store.load(Tree.KEYS, "web").created_at
    for tree, number in ((Tree.KEYS, 3), (Tree.STANDBY, 1)):
        absent = store.load_version(tree, "web", number)
        assert (absent.version, absent.fields) == (0, None)


def test_an_earlier_version_can_be_read_if_the_store_keeps_it(store: ArchiveStore) -> None:
    """
    And is gone once it is destroyed.
    """
    for cas in range(2):
        store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas)
    first = store.load_version(Tree.KEYS, "web", 1)
    assert first.fields == ({"op_id": "0"} if store.keeps_versions else None)
    assert (1 in store.versions(Tree.KEYS, "web")) is store.keeps_versions
    store.destroy(Tree.KEYS, "web", [1])
    assert store.load_version(Tree.KEYS, "web", 1).fields is None


def test_undeleting_what_is_there_or_was_destroyed_changes_nothing(store: ArchiveStore) -> None:
    """
    A command that crashed can be typed again.
    """
    for cas in range(2):
        store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas)
    store.destroy(Tree.KEYS, "web", [1])
    store.undelete(Tree.KEYS, "web", [1, 2])
    store.undelete(Tree.KEYS, "web", [])
    assert store.load(Tree.KEYS, "web").fields == {"op_id": "1"}
    assert store.load_version(Tree.KEYS, "web", 1).fields is None


def test_a_removed_document_leaves_no_trace(store: ArchiveStore) -> None:
    """
    Its versions count from one again; other documents of the keyset stay. Removing it twice is no error.
    """
    for tree in Tree:
        for cas in range(2):
            store.save(tree, "web", {"op_id": str(cas)}, cas)
    store.remove(Tree.KEYS, "web")
    store.remove(Tree.KEYS, "web")
    absent = store.load(Tree.KEYS, "web")
    assert (absent.version, absent.fields) == (0, None)
    assert list(store.versions(Tree.KEYS, "web")) == []
    assert store.load(Tree.STANDBY, "web").version == 2
    assert store.save(Tree.KEYS, "web", {"op_id": "new"}, 0).version == 1


@pytest.mark.vault
def test_what_vault_deleted_comes_back(vault_server: VaultServer, mount: str) -> None:
    """
    A soft-deleted version is among the versions, without data until it is undeleted; then it is what it was.
    """
    with root_store(vault_server, mount) as store:
        for cas in range(2):
            store.save(Tree.KEYS, "web", {"op_id": str(cas)}, cas)
        vault_server.request("DELETE", f"{mount}/data/rotator/keys/web")
        gone = store.load(Tree.KEYS, "web")
        assert (gone.version, gone.fields) == (2, None)
        assert store.load_version(Tree.KEYS, "web", 2).fields is None
        assert sorted(store.versions(Tree.KEYS, "web")) == [1, 2]
        store.undelete(Tree.KEYS, "web", [2])
        assert store.load(Tree.KEYS, "web").fields == {"op_id": "1"}
