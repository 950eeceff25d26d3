"""
A keyset in Vault: what is read, with no more rights than are printed, and what any failure does.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.cli import group
from rotator.client import ConfigError, KeysUnavailableError, Signer, VaultSource, Verifier
from rotator.client.log import StdlibLog
from rotator.documents.public import encode_public
from rotator.errors import KeyMaterialError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.keys import Kid
from rotator.model.secret import SecretText
from tests.support.documents import TIMING, keyset, publish, save
from tests.support.peer import Answer, Peer, Request, answer, forward
from tests.support.publications import kid, publication
from tests.support.scripted import Leaping, forked, forks, reader_of, serves, until
from tests.support.servers.vault import VaultServer

TIMEOUT = 5.0

TOKEN = "hvs.CANARY-TOKEN"


@contextmanager
def opened(server: VaultServer, mount: str) -> Iterator[VaultStore]:
    """A store of the daemon's, as root."""
    credentials = TokenLogin(SecretText(server.root_token))
    store = VaultStore(VaultConnection(server.address, "", None, credentials, StdlibLog()), mount, "rotator")
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(name="store")
def _store(vault_server: VaultServer, mount: str) -> Iterator[VaultStore]:
    """The daemon's store on the shared Vault."""
    with opened(vault_server, mount) as store:
        yield store


def printed(folder: Path, mount: str, role: str, name: str) -> str:
    """The policy that `rotator policy ROLE NAME` prints; "api" is an HMAC keyset, "web" is not."""
    config = folder / "config.toml"
    config.write_text(f'[vault]\nmount = "{mount}"\n[keysets.web]\n[keysets.api]\nalgorithm = "HS256"\n')
    empty = dict.fromkeys(("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_TOKEN", "REDIS_URL", "ROTATOR_CONFIG"), "")
    result = CliRunner().invoke(group, ["--config", str(config), "policy", role, name], env=empty)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(name="allowed")
def _allowed(vault_server: VaultServer, mount: str, tmp_path: Path) -> Callable[[str, str], str]:
    """How to get a token with what is printed for a role and a keyset, and nothing from Vault's default policy."""

    def token(role: str, name: str) -> str:
        vault_server.policy(f"{mount}-{role}-{name}", printed(tmp_path, mount, role, name))
        return vault_server.token([f"{mount}-{role}-{name}"], no_default_policy=True)

    return token


@pytest.mark.vault
@pytest.mark.parametrize(("name", "rsa"), [("web", True), ("api", False)], ids=["RS256", "HS256"])
def test_the_printed_policy_of_a_signer_is_enough(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str], name: str, rsa: bool
) -> None:
    """It signs and verifies, sees the next save, and may read nothing else."""
    save(store, keyset(1, name=name, rsa=rsa))
    token = allowed("signer", name)
    source = VaultSource(name, address=vault_server.address, mount=mount, token=token)
    with reader_of(source) as keys:
        signed = Signer(keys, issuer="i", audience="a").sign("alice")
        assert Verifier(keys, issuer="i", audience="a").verify(signed).subject == "alice"
        assert keys.verifying().timing == TIMING
        assert keys.refresh() is not None
        assert keys.status.fault == ""
        save(store, keyset(2, name=name, rsa=rsa))
        assert keys.refresh().sequence == 2
        assert keys.secrets() == (f"{2:064x}",) if not rsa else keys.signing().signing is not None
    other = VaultSource("other", address=vault_server.address, mount=mount, token=token)
    with pytest.raises(StoreDeniedError, match=rf'denied: needs "read" on {mount}/data/rotator/keys/other'):
        other.read(None, TIMEOUT, fresh=False)


@pytest.mark.vault
def test_the_printed_policy_of_a_verifier_is_enough(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str]
) -> None:
    """Of a keyset of key pairs it reads the public document, deny-list and all, and not the signing document."""
    publish(store, 1, revoked=(Kid("leaked"),))
    save(store, keyset(1, rsa=True))
    options: dict[str, Any] = {"address": vault_server.address, "mount": mount, "token": allowed("verifier", "web")}
    with reader_of(VaultSource("web", public=True, timing=TIMING, **options)) as keys:
        found = keys.verifying()
        assert set(found.verifying) == {kid(1)}
        assert found.revoked == {"leaked"}
        assert (found.timing, found.sequence, found.signing) == (TIMING, 1, None)
        assert (keys.refresh().sequence, keys.status.fault) == (1, "")
        publish(store, 2)
        assert set(keys.refresh().verifying) == {kid(2)}
    with pytest.raises(StoreDeniedError, match='denied: needs "read"'):
        VaultSource("web", **options).read(None, TIMEOUT, fresh=False)


@pytest.mark.vault
def test_the_printed_policy_of_an_hmac_verifier_is_enough(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str]
) -> None:
    """It holds the secret; with *public* the error says that there is no such document, and where."""
    save(store, keyset(1, name="api"))
    document = publication("api").document
    store.save(Tree.JWKS, "api", encode_public(document), 0)
    options: dict[str, Any] = {"address": vault_server.address, "mount": mount, "token": allowed("verifier", "api")}
    with reader_of(VaultSource("api", **options)) as keys:
        assert serves(keys, "k1")
    text = rf"{mount}/rotator/jwks/api: a JWKS without any key that can be used"
    with pytest.raises(KeyMaterialError, match=text):
        VaultSource("api", public=True, **options).read(None, TIMEOUT, fresh=False)


@pytest.mark.vault
def test_absence_is_told_apart_from_a_lack_of_rights(
    vault_server: VaultServer, mount: str, allowed: Callable[[str, str], str]
) -> None:
    """With the printed policy alone."""
    source = VaultSource("web", address=vault_server.address, mount=mount, token=allowed("signer", "web"))
    with pytest.raises(StoreUnavailableError, match=rf"{mount}/rotator/keys/web: no such document; is its name right"):
        source.read(None, TIMEOUT, fresh=False)


@pytest.mark.vault
def test_a_token_file_is_read_again(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str], tmp_path: Path
) -> None:
    """It may come late, and be replaced while the service runs."""
    save(store, keyset(1, name="api"))
    file = tmp_path / "token"
    source = VaultSource("api", address=vault_server.address, mount=mount, token_file=file)
    keys = reader_of(source).start(0)
    try:
        until(lambda: keys.status.fault == f"token_file: {file} cannot be read (FileNotFoundError)")
        file.write_text("")
        with pytest.raises(KeysUnavailableError, match="does not hold a token"):
            keys.refresh()
        first = allowed("signer", "api")
        file.write_text(first + "\n")
        assert keys.refresh().sequence == 1
        vault_server.request("POST", "auth/token/revoke", {"token": first})
        save(store, keyset(2, name="api"))
        assert keys.refresh().sequence == 1
        assert keys.status.fault.startswith("the vault token is expired, revoked or unknown to vault")
        file.write_text(allowed("signer", "api"))
        assert keys.refresh().sequence == 2
    finally:
        keys.close()


@pytest.mark.vault
@pytest.mark.slow
def test_an_approle_outlives_its_tokens(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str], tmp_path: Path
) -> None:
    """With the printed policy, which allows no renewal: it logs in again, and no fetch fails."""
    save(store, keyset(1, name="api"))
    allowed("signer", "api")
    policies = [f"{mount}-signer-api"]
    role = vault_server.approle(mount, policies, token_ttl="1s", token_max_ttl="2s", token_no_default_policy=True)
    for name, text in zip(("role_id", "secret_id"), role, strict=True):
        (tmp_path / name).write_text(text + "\n")
    source = VaultSource(
        "api",
        address=vault_server.address,
        mount=mount,
        role_id_file=tmp_path / "role_id",
        secret_id_file=tmp_path / "secret_id",
    )
    with reader_of(source) as keys:
        for sequence in range(2, 6):
            time.sleep(0.8)
            save(store, keyset(sequence, name="api"))
            assert keys.refresh().sequence == sequence
            assert keys.status.fault == ""


@pytest.mark.vault
def test_a_deleted_document_leaves_the_last_keys(
    vault_server: VaultServer, mount: str, store: VaultStore, time_: Leaping
) -> None:
    """Deleted, destroyed or gone with its metadata: the keys are served until stale; undeleted, it is read again."""
    save(store, keyset(1))
    source = VaultSource("web", address=vault_server.address, mount=mount, token=vault_server.root_token)
    with reader_of(source, time_) as keys:
        vault_server.request("DELETE", f"{mount}/data/rotator/keys/web")
        assert serves(keys, "k1")
        assert keys.refresh().sequence == 1
        assert keys.status.fault.endswith("/keys/web: no such document; it was deleted")
        vault_server.request("POST", f"{mount}/undelete/rotator/keys/web", {"versions": [1]})
        assert keys.refresh().sequence == 1
        assert keys.status.fault == ""
        vault_server.request("DELETE", f"{mount}/metadata/rotator/keys/web")
        assert keys.refresh().sequence == 1
        assert "is its name right" in keys.status.fault
        time_.leap(TIMING.retention)
        with pytest.raises(KeysUnavailableError, match="no such document"):
            keys.verifying()
        save(store, keyset(2))
        assert keys.refresh().sequence == 2


@pytest.mark.vault
@pytest.mark.slow
def test_a_vault_that_is_sealed_or_stopped(fresh_vault: VaultServer, time_: Leaping) -> None:
    """The last keys are served; signing ends at the propagation time, verifying at max_stale; then it recovers."""
    fresh_vault.enable_kv()
    with opened(fresh_vault, "secret") as store:
        save(store, keyset(1))
    source = VaultSource("web", address=fresh_vault.address, token=fresh_vault.root_token)
    with reader_of(source, time_, max_stale=timedelta(hours=3)) as keys:
        fresh_vault.seal()
        assert keys.refresh().sequence == 1
        assert "503, it is sealed" in keys.status.fault
        time_.leap(timedelta(hours=2, minutes=1))
        assert serves(keys, "k1")
        with pytest.raises(KeysUnavailableError, match=r"no keys to sign with, .* sealed"):
            keys.signing()
        fresh_vault.stop()
        time_.leap(timedelta(hours=1))
        with pytest.raises(KeysUnavailableError, match="no keys to verify with"):
            keys.verifying()
        until(lambda: "Connection refused" in keys.status.fault)
        fresh_vault.start()
        with opened(fresh_vault, "secret") as store:
            save(store, keyset(2))
        assert keys.refresh().sequence == 2
        assert keys.signing().sequence == 2


@pytest.mark.vault
def test_a_mount_that_is_none(vault_server: VaultServer) -> None:
    """The text names it."""
    source = VaultSource("web", address=vault_server.address, mount="nope", token=vault_server.root_token)
    with pytest.raises(StoreDeniedError, match="vault has nothing mounted at nope"):
        source.read(None, TIMEOUT, fresh=False)


def test_a_namespace_that_is_none() -> None:
    """It goes with each request; the text of what is missing names it."""
    mounted = {"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}}}

    def script(request: Request) -> Answer:
        return answer(200, mounted) if "internal" in request.path else answer(404, {"errors": []})

    with Peer(script) as peer:
        source = VaultSource("web", address=peer.address, mount="kv", namespace="team/a", token=TOKEN)
        with pytest.raises(
            StoreUnavailableError, match=rf"^{peer.address} team/a/kv/rotator/keys/web: no such document"
        ):
            source.read(None, TIMEOUT, fresh=False)
    assert {request.headers["x-vault-namespace"] for request in peer.requests} == {"team/a"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_of_vault_leaks_no_token(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The other host is not asked at all, and no text holds the token."""
    with (
        Peer(lambda _: answer(200, {})) as other,
        Peer(lambda request: answer(status, headers={"Location": other.address + request.path})) as peer,
    ):
        keys = reader_of(VaultSource("web", address=peer.address, token=TOKEN))
        with pytest.raises(KeysUnavailableError, match=rf"redirect refused \({status}\)") as raised:
            keys.start(0.3)
    assert other.connections == 0
    assert TOKEN not in str(raised.value) + caplog.text + repr(keys.status)


@pytest.mark.vault
@pytest.mark.slow
def test_a_token_that_may_not_look_itself_up_is_left_alone(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str]
) -> None:
    """The printed policy does not let it; it is asked once in a while, not each second."""
    save(store, keyset(1, name="api"))
    with Peer(lambda request: forward(vault_server, request)) as peer:
        source = VaultSource("api", address=peer.address, mount=mount, token=allowed("signer", "api"))
        source.read(None, TIMEOUT, fresh=False)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert not source.changed()
            time.sleep(0.1)
        paths = [request.path for request in peer.requests]
    assert paths == [f"/v1/{mount}/data/rotator/keys/api", "/v1/auth/token/lookup-self"]


def test_no_connection_outlives_a_reading() -> None:
    """Readings are minutes apart: nothing is kept open, nothing is left for a forked process to share."""
    with Peer(lambda _: answer(503)) as peer:
        source = VaultSource("web", address=peer.address, token=TOKEN)
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                source.read(None, TIMEOUT, fresh=False)
        assert peer.connections == 3
        del source
        gc.collect()  # an open socket would warn, and warnings are errors


@forks
@pytest.mark.vault
def test_a_forked_process_has_a_login_of_its_own(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Nothing of the parent's is used: not a lock that it held in that moment, not its token."""
    save(store, keyset(1, name="api"))
    allowed("signer", "api")
    for name, text in zip(("role_id", "secret_id"), vault_server.approle(mount, [f"{mount}-signer-api"]), strict=True):
        (tmp_path / name).write_text(text)
    with Peer(lambda request: forward(vault_server, request)) as peer:
        source = VaultSource(
            "api",
            address=peer.address,
            mount=mount,
            role_id_file=tmp_path / "role_id",
            secret_id_file=tmp_path / "secret_id",
        )
        with reader_of(source) as keys:
            assert source._store is not None
            with source._store.session._lease._lock:

                def work() -> object:
                    return [keys.verifying().sequence, keys.refresh().sequence, keys.status.fault]

                save(store, keyset(2, name="api"))
                assert forked(work) == [1, 2, ""]
            assert keys.refresh().sequence == 2
        logins = [request for request in peer.requests if request.path.endswith("/login")]
    assert len(logins) == 2


@forks
def test_a_forked_process_does_not_look_after_its_parents_token() -> None:
    """It renews no token before it has one of its own."""
    with Peer(lambda _: answer(503)) as peer:
        source = VaultSource("web", address=peer.address, token=TOKEN)
        with pytest.raises(StoreUnavailableError):
            source.read(None, TIMEOUT, fresh=False)
        assert forked(source.changed) is False
        assert len(peer.requests) == 1
        source.changed()
        assert [request.path for request in peer.requests[1:]] == ["/v1/auth/token/lookup-self"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"token": "t"}, "address: say where Vault is"),
        ({"address": "vault:8200", "token": "t"}, "address: must begin with https"),
        ({"address": "https://v", "token": "t", "ca_file": "/nowhere"}, r"ca_file: /nowhere"),
        ({"address": "http://v"}, "say one of token, token_file"),
        ({"address": "http://v", "token": "t", "token_file": "f"}, "say one of token, token_file"),
        ({"address": "http://v", "role_id_file": "f"}, "go together"),
        ({"address": "http://v", "token": "t", "secret_id_file": "f"}, "go together"),
    ],
    ids=["no address", "bad address", "no CA", "no login", "two logins", "half a login", "half a login more"],
)
def test_a_wrong_vault_is_refused_when_it_is_named(
    options: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after ten seconds of trying."""
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    with pytest.raises(ConfigError, match=text):
        VaultSource("web", **options)
