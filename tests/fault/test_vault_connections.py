"""
Vault hung, dripping, dropping connections, or behind a certificate that is not to be trusted.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.errors import StoreUnavailableError
from rotator.model.document import Tree
from tests.support.certificates import certificate
from tests.support.peer import Answer, Hole, Peer, Request, answer, elapsed
from tests.support.servers.vault import VaultServer
from tests.support.vault_stores import DEADLINE, FIELDS, OPERATIONS, drip, open_store, read, root_store, saved, scripted

DRIPPING = {
    "head": lambda: drip(answer(200, saved(1))),
    "body": lambda: [answer(200, saved(1))[:130], *drip(answer(200, saved(1))[130:])],
    "100 Continue": lambda: drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "never": lambda: [60.0],
}


@pytest.mark.parametrize("pieces", DRIPPING.values(), ids=DRIPPING)
@pytest.mark.parametrize("name", ["load", "save"])
def test_a_slow_answer_ends_at_the_deadline(pieces: Callable[[], Answer], name: str) -> None:
    """The deadline is for the whole operation, reading back included, however steadily bytes arrive."""

    def attempt() -> None:
        with pytest.raises(StoreUnavailableError, match="no answer in time"):
            OPERATIONS[name](store)

    with scripted(lambda _: pieces(), deadline=DEADLINE) as (_, store):
        assert elapsed(attempt) < DEADLINE + 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_listener_ends_at_the_deadline(scheme: str) -> None:
    """A server that takes connections and says nothing, in the midst of a TLS handshake too, is unavailable."""
    with Hole() as hole, open_store(f"{scheme}://127.0.0.1:{hole.port}", deadline=DEADLINE) as store:

        def attempt() -> None:
            with pytest.raises(StoreUnavailableError, match="no answer in time"):
                store.load(Tree.KEYS, "web")

        assert elapsed(attempt) < DEADLINE + 1


# -- connections -------------------------------------------------------------------------------------------------------


def test_a_dropped_idle_connection_is_not_noticed() -> None:
    """A server that hangs up between two requests, without saying so before, costs neither a read nor a write."""

    def script(request: Request) -> Answer:
        return [answer(200, saved(1) if request.method == "POST" else read({}))]

    with scripted(script) as (peer, store):
        for _ in range(5):
            store.load(Tree.KEYS, "web")
            peer.pause(0.05)
            store.save(Tree.KEYS, "web", FIELDS, 0)
            peer.pause(0.05)
        assert len(peer.requests) == 10


@pytest.mark.vault
@pytest.mark.slow
def test_a_restarted_and_a_sealed_vault(fresh_vault: VaultServer) -> None:
    """Sealed and stopped are unavailable; afterwards the store works again by itself."""
    fresh_vault.enable_kv("kv")
    with root_store(fresh_vault, "kv") as store:
        store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
        fresh_vault.seal()
        with pytest.raises(StoreUnavailableError, match="sealed"):
            store.load(Tree.KEYS, "web")
        fresh_vault.unseal()
        assert store.save(Tree.KEYS, "web", {"op_id": "b"}, 1).version == 2
        fresh_vault.stop()
        with pytest.raises(StoreUnavailableError, match="cannot connect"):
            store.save(Tree.KEYS, "web", {"op_id": "c"}, 2)
        fresh_vault.start()
        assert store.save(Tree.KEYS, "web", {"op_id": "c"}, 2).version == 3


@pytest.mark.vault
def test_a_frozen_vault_ends_at_the_deadline(fresh_vault: VaultServer) -> None:
    """A server stopped in the midst of its work, its connections open, is unavailable within the deadline."""
    fresh_vault.enable_kv("kv")
    with root_store(fresh_vault, "kv", deadline=DEADLINE) as store:
        store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
        fresh_vault.pause()
        state = Path(f"/proc/{fresh_vault.pid}/stat")
        fresh_vault.wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "stop")

        def attempt() -> None:
            with pytest.raises(StoreUnavailableError):
                store.save(Tree.KEYS, "web", {"op_id": "b"}, 1)

        assert elapsed(attempt) < DEADLINE + 1
        fresh_vault.resume()


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_tls_with_the_right_ca(tmp_path: Path) -> None:
    """A certificate of the configured CA for this host is accepted; the connection is kept."""
    ca_file, context = certificate(tmp_path, "127.0.0.1")
    with (
        Peer(lambda _: answer(200, read({"a": "b"})), context) as peer,
        open_store(peer.address, ca_file=ca_file) as store,
    ):
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert peer.connections == 1


def test_tls_writes_no_session_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of SSLKEYLOGFILE could decrypt every secret; it is ignored."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    ca_file, context = certificate(tmp_path, "127.0.0.1")
    with Peer(lambda _: answer(200, read({})), context) as peer, open_store(peer.address, ca_file=ca_file) as store:
        store.load(Tree.KEYS, "web")
    assert not (tmp_path / "keys.log").exists()


@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("vault.example.org", True)])
def test_tls_fails_closed(tmp_path: Path, name: str, trusted: bool) -> None:
    """An unknown CA and a certificate for another host end in an error with a way out, before a token is sent."""
    ca_file, context = certificate(tmp_path, name)
    with Peer(lambda _: answer(200, read({})), context) as peer:
        with (
            open_store(peer.address, ca_file=ca_file if trusted else None) as store,
            pytest.raises(StoreUnavailableError, match=r"certificate is not accepted: .*vault\.ca_file"),
        ):
            store.load(Tree.KEYS, "web")
        assert peer.requests == []


def test_tls_slow_answer(tmp_path: Path) -> None:
    """The deadline holds inside TLS."""
    ca_file, context = certificate(tmp_path, "127.0.0.1")
    with (
        Peer(lambda _: drip(answer(200, read({}))), context) as peer,
        open_store(peer.address, ca_file=ca_file, deadline=DEADLINE) as store,
    ):

        def attempt() -> None:
            with pytest.raises(StoreUnavailableError, match="no answer in time"):
                store.load(Tree.KEYS, "web")

        assert elapsed(attempt) < DEADLINE + 1
