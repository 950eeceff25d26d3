"""
What becomes of documents: replies lost on the way, versions deleted by hand, mounts and rights that are missing.
"""

from collections.abc import Callable
from typing import Any

import pytest

from rotator.adapters.vault.probe import VaultProbe
from rotator.errors import StoreConflictError, StoreDeniedError, StoreError, StoreUnavailableError
from rotator.model.document import Stored, Tree
from tests.support.peer import Answer, Request, answer, forward
from tests.support.servers.vault import VaultServer
from tests.support.vault_stores import FIELDS, OPERATIONS, open_store, root_store, saved, scripted

# -- lost replies ------------------------------------------------------------------------------------------------------

LOST: dict[str, Callable[[], Answer]] = {
    "connection dropped": lambda: b"",
    "half a reply": lambda: [answer(200, saved(1))[:60]],
    "502": lambda: answer(502),
    "500": lambda: answer(500, {"errors": ["context canceled"]}),
    "HTML": lambda: answer(200, "<html/>"),
    "no reply": lambda: [60.0],
}
DOCUMENTS = {"with op_id": {"op_id": "op-1", "n": [1, "x"]}, "without op_id": {"jwks": '{"keys":[]}', "n": [1, "x"]}}


@pytest.mark.vault
@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
@pytest.mark.parametrize("fields", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_save_whose_reply_is_lost_is_done(
    vault_server: VaultServer, mount: str, lost: Callable[[], Answer], fields: dict[str, Any]
) -> None:
    """The document is read back and recognised: one version, reported as saved."""

    def script(request: Request) -> Answer:
        reply = forward(vault_server, request)
        return lost() if request.method == "POST" else reply

    with scripted(script, token=vault_server.root_token, mount=mount, deadline=3.0) as (peer, store):
        store.load(Tree.KEYS, "web")  # a connection that was used before is the one tempting to try again
        stored = store.save(Tree.KEYS, "web", fields, 0)
        assert (stored.version, stored.fields) == (1, fields)
        assert [request.method for request in peer.requests].count("POST") == 1
    with root_store(vault_server, mount) as direct:
        assert list(direct.versions(Tree.KEYS, "web")) == [1]


@pytest.mark.vault
@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_save_that_never_arrived_is_not_done(
    vault_server: VaultServer, mount: str, lost: Callable[[], Answer]
) -> None:
    """The same replies without a commit: unavailable, nothing is written, nothing is sent twice."""

    def script(request: Request) -> Answer:
        return lost() if request.method == "POST" else forward(vault_server, request)

    with scripted(script, token=vault_server.root_token, mount=mount, deadline=3.0) as (peer, store):
        store.load(Tree.KEYS, "web")
        with pytest.raises(StoreUnavailableError):
            store.save(Tree.KEYS, "web", FIELDS, 0)
        assert [request.method for request in peer.requests].count("POST") == 1
    with root_store(vault_server, mount) as direct:
        assert direct.load(Tree.KEYS, "web").version == 0


@pytest.mark.vault
@pytest.mark.parametrize("fields", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_lost_reply_and_another_writer(vault_server: VaultServer, mount: str, fields: dict[str, Any]) -> None:
    """If another writer's save is found in place of ours, ours did not happen."""
    with root_store(vault_server, mount) as direct:

        def script(request: Request) -> Answer:
            if request.method != "POST":
                return forward(vault_server, request)
            direct.save(Tree.KEYS, "web", {"op_id": "another"}, 0)
            return b""

        with (
            scripted(script, token=vault_server.root_token, mount=mount) as (_, store),
            pytest.raises(StoreUnavailableError),
        ):
            store.save(Tree.KEYS, "web", fields, 0)
        assert direct.load(Tree.KEYS, "web").fields == {"op_id": "another"}


@pytest.mark.vault
def test_a_save_that_a_proxy_sent_twice_is_done(vault_server: VaultServer, mount: str) -> None:
    """The second copy loses the compare-and-set against the first: that is a success, not a conflict."""

    def script(request: Request) -> Answer:
        if request.method == "POST":
            forward(vault_server, request)
        return forward(vault_server, request)

    with scripted(script, token=vault_server.root_token, mount=mount) as (_, store):
        assert store.save(Tree.KEYS, "web", FIELDS, 0).version == 1
        with pytest.raises(StoreConflictError):
            store.save(Tree.KEYS, "web", {"op_id": "op-2"}, 0)


# -- what is stored ----------------------------------------------------------------------------------------------------


@pytest.mark.vault
def test_deleted_and_destroyed_are_not_absent(vault_server: VaultServer, mount: str) -> None:
    """A deleted document keeps its version: it must not be created again."""
    with root_store(vault_server, mount) as store:
        created: Stored = store.save(Tree.KEYS, "web", FIELDS, 0)
        vault_server.request("DELETE", f"{mount}/data/rotator/keys/web")
        deleted = store.load(Tree.KEYS, "web")
        assert (deleted.version, deleted.fields, deleted.created_at) == (1, None, created.created_at)
        assert list(store.versions(Tree.KEYS, "web")) == [1]
        store.destroy(Tree.KEYS, "web", [1])
        destroyed = store.load(Tree.KEYS, "web")
        assert (destroyed.version, destroyed.fields) == (1, None)
        assert list(store.versions(Tree.KEYS, "web")) == []
        with pytest.raises(StoreConflictError):
            store.save(Tree.KEYS, "web", FIELDS, 0)
        assert store.save(Tree.KEYS, "web", FIELDS, 1).version == 2
        vault_server.request("DELETE", f"{mount}/metadata/rotator/keys/web")
        assert store.load(Tree.KEYS, "web").version == 0


@pytest.mark.vault
def test_metadata_made_beforehand_is_absence(vault_server: VaultServer, mount: str) -> None:
    """An operator who requires compare-and-set on the path first has not created the document."""
    vault_server.request("POST", f"{mount}/metadata/rotator/keys/web", {"cas_required": True, "max_versions": 7})
    with root_store(vault_server, mount) as store:
        assert store.load(Tree.KEYS, "web").version == 0
        assert store.save(Tree.KEYS, "web", FIELDS, 0).version == 1
        settings = VaultProbe(store.session).read_raw(f"{mount}/metadata/rotator/keys/web")
        assert settings is not None
        assert (settings["cas_required"], settings["max_versions"]) == (True, 7)


@pytest.mark.vault
def test_versions_are_read_one_by_one(vault_server: VaultServer, mount: str) -> None:
    """A surviving version can be had back; one that never was has version 0."""
    with root_store(vault_server, mount) as store:
        store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
        store.save(Tree.KEYS, "web", {"op_id": "b"}, 1)
        assert store.load_version(Tree.KEYS, "web", 1).fields == {"op_id": "a"}
        assert store.load_version(Tree.KEYS, "web", 9).version == 0


@pytest.mark.vault
@pytest.mark.parametrize("rights", ["root", "reader"])
def test_a_missing_mount_is_not_absence(vault_server: VaultServer, rights: str) -> None:
    """Nothing mounted, or nothing we may see, is an error with a way out."""
    vault_server.policy("everywhere", 'path "*" { capabilities = ["create", "read", "update"] }')
    token = vault_server.root_token if rights == "root" else vault_server.token(["everywhere"])
    with open_store(vault_server.address, token, "nowhere") as store:
        for operation in ("load", "versions", "save", "destroy"):
            with pytest.raises(StoreError, match="nowhere"):
                OPERATIONS[operation](store)


@pytest.mark.vault
def test_a_version_1_store_is_refused(vault_server: VaultServer) -> None:
    """KV version 1 answers reads like an empty version 2, and knows no compare-and-set."""
    vault_server.request("POST", "sys/mounts/flat", {"type": "kv", "options": {"version": "1"}})
    with (
        open_store(vault_server.address, vault_server.root_token, "flat") as store,
        pytest.raises(StoreDeniedError, match="no KV version 2 store"),
    ):
        store.load(Tree.KEYS, "web")


# -- rights ------------------------------------------------------------------------------------------------------------

RIGHTS = {
    "load": ("read", "data"),
    "save": ("create", "data"),
    "versions": ("read", "metadata"),
    "destroy": ("update", "destroy"),
}


@pytest.mark.vault
@pytest.mark.parametrize("name", RIGHTS)
def test_a_missing_capability_is_named(vault_server: VaultServer, mount: str, name: str) -> None:
    """An operator reads which capability is missing on which path."""
    capability, kind = RIGHTS[name]
    with (
        open_store(vault_server.address, vault_server.token(["default"]), mount) as store,
        pytest.raises(StoreDeniedError, match=f'needs "{capability}" on {mount}/{kind}/rotator/keys/web'),
    ):
        OPERATIONS[name](store)


@pytest.mark.vault
def test_capabilities_and_raw_reads(vault_server: VaultServer, mount: str) -> None:
    """What `rotator check` asks: our rights on each path, and any path's data."""
    vault_server.policy(mount, f'path "{mount}/data/rotator/keys/+" {{ capabilities = ["create", "read", "update"] }}')
    paths = [f"{mount}/data/rotator/keys/web", f"{mount}/config"]
    with open_store(vault_server.address, vault_server.token([mount]), mount) as store:
        found = VaultProbe(store.session).capabilities(paths)
        assert found == {paths[0]: {"create", "read", "update"}, paths[1]: {"deny"}}
        with pytest.raises(StoreDeniedError, match="config"):
            VaultProbe(store.session).read_raw(paths[1])
    with root_store(vault_server, mount) as store:
        settings = VaultProbe(store.session).read_raw(paths[1])
        assert settings is not None
        assert settings["delete_version_after"] == "0s"
        assert VaultProbe(store.session).read_raw(f"{mount}/metadata/absent") is None
