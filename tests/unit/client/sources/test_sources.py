"""
Where a service reads its keyset: what is read, with no more rights than are printed, and what any failure of it does.
"""

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotator.adapters.files.store import FileStore
from rotator.adapters.vault.store import TokenLogin, VaultConnection, VaultStore
from rotator.cli import group
from rotator.client import (
    ConfigError,
    FileSource,
    JwksSource,
    KeysetReader,
    KeysUnavailableError,
    RotatorError,
    Signer,
    VaultSource,
    Verifier,
    clock,
    reader,
)
from rotator.client import refresh as schedule
from rotator.client.jose.keys import MAX_JWKS
from rotator.client.log import StdlibLog
from rotator.documents.public import encode_public
from rotator.documents.signing import encode_keyset
from rotator.errors import KeyMaterialError, PublicationError, StoreDeniedError, StoreUnavailableError
from rotator.model.algorithms import Algorithm
from rotator.model.document import Tree
from rotator.model.keys import CurrentKey, HmacSecret, KeyPair, Kid, PublicKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.secret import SecretText
from rotator.ports.store import DocumentStore
from tests.support.certificates import certificate
from tests.support.peer import Answer, Hole, Peer, Request, answer, elapsed, forward
from tests.support.publications import jwks, kid, pair, publication
from tests.support.scripted import HandMadeHints, Leaping, forked, forks, readers_threads, serves, until, within
from tests.support.servers.vault import VaultServer

TIMING = Timing(timedelta(hours=2), timedelta(hours=1), timedelta(minutes=1))
START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = 5.0
TOKEN = "hvs.CANARY-TOKEN"


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


def publish(store: DocumentStore, sequence: int = 1, *, name: str = "web", revoked: tuple[Kid, ...] = ()) -> None:
    """Save a public document with the key pair of its sequence."""
    document = publication(name, sequence, sequence=sequence, revoked=revoked).document
    store.save(Tree.JWKS, name, encode_public(document), store.load(Tree.JWKS, name).version)


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


@pytest.fixture(name="time_")
def _leaping(monkeypatch: pytest.MonkeyPatch) -> Leaping:
    """A clock that leaps, and readers that notice at once, not within a second."""
    leaping = Leaping()
    monkeypatch.setattr(clock, "now", leaping.now)
    monkeypatch.setattr(reader, "_LOOK", 0.01)
    return leaping


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings may follow one another sooner than in earnest."""
    monkeypatch.setattr(schedule, "MIN_GAP", 0.02)


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


# -- Vault -------------------------------------------------------------------------------------------------------------


@pytest.mark.vault
@pytest.mark.parametrize(("name", "rsa"), [("web", True), ("api", False)], ids=["RS256", "HS256"])
def test_the_printed_policy_of_a_signer_is_enough(
    vault_server: VaultServer, mount: str, store: VaultStore, allowed: Callable[[str, str], str], name: str, rsa: bool
) -> None:
    """It signs and verifies, sees the next save, and may read nothing else."""
    save(store, keyset(1, name=name, rsa=rsa))
    token = allowed("signer", name)
    source = VaultSource(name, address=vault_server.address, mount=mount, token=token)
    with KeysetReader(source) as keys:
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
    with KeysetReader(VaultSource("web", public=True, timing=TIMING, **options)) as keys:
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
    """It holds the secret; who asks for public keys is told that there are none, and where."""
    save(store, keyset(1, name="api"))
    document = publication("api").document
    store.save(Tree.JWKS, "api", encode_public(document), 0)
    options: dict[str, Any] = {"address": vault_server.address, "mount": mount, "token": allowed("verifier", "api")}
    with KeysetReader(VaultSource("api", **options)) as keys:
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
    """It may come late, and be replaced while running: nobody restarts a service for a new token."""
    save(store, keyset(1, name="api"))
    file = tmp_path / "token"
    source = VaultSource("api", address=vault_server.address, mount=mount, token_file=file)
    keys = KeysetReader(source).start(0)
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
    """With the printed policy, which lets no token be renewed: it logs in again, and misses no reading."""
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
    with KeysetReader(source) as keys:
        for sequence in range(2, 6):
            time.sleep(0.8)
            save(store, keyset(sequence, name="api"))
            assert keys.refresh().sequence == sequence
            assert keys.status.fault == ""


@pytest.mark.vault
def test_a_deleted_document_leaves_the_last_keys(
    vault_server: VaultServer, mount: str, store: VaultStore, time_: Leaping
) -> None:
    """Deleted, destroyed or gone with its metadata: served until stale, and told; brought back, it is read again."""
    save(store, keyset(1))
    source = VaultSource("web", address=vault_server.address, mount=mount, token=vault_server.root_token)
    with KeysetReader(source) as keys:
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
    with KeysetReader(source, max_stale=timedelta(hours=3)) as keys:
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
        keys = KeysetReader(VaultSource("web", address=peer.address, token=TOKEN))
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
            assert not source.look()
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
        with KeysetReader(source) as keys:
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
    """Before it has one of its own it looks after none."""
    with Peer(lambda _: answer(503)) as peer:
        source = VaultSource("web", address=peer.address, token=TOKEN)
        with pytest.raises(StoreUnavailableError):
            source.read(None, TIMEOUT, fresh=False)
        assert forked(source.look) is False
        assert len(peer.requests) == 1
        source.look()
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


# -- JWKS --------------------------------------------------------------------------------------------------------------


class Jwks:
    """
    A web server with a JWKS; `answer` is what it says, or a function of the request.
    """

    def __init__(self, *numbers: int, headers: dict[str, str] | None = None) -> None:
        self.headers = headers or {}
        self.answer: Callable[[Request], Answer] = self.plain
        self.show(*numbers or (1,))

    def show(self, *numbers: int) -> None:
        """Serve the key pairs with these numbers."""
        self.text, self.etag = jwks(*numbers), f'"{numbers}"'

    def plain(self, request: Request) -> Answer:
        """Answer as a good server does."""
        headers = {"ETag": self.etag, **self.headers}
        if request.headers.get("if-none-match") == self.etag:
            return answer(304, headers=headers)
        return answer(200, self.text.encode(), headers=headers)

    def __call__(self, request: Request) -> Answer:
        """Answer."""
        return self.answer(request)


@contextmanager
def serving(script: Callable[[Request], Answer], **options: Any) -> Iterator[tuple[Peer, JwksSource]]:
    """A server, and a source that reads from it."""
    with Peer(script) as peer:
        yield peer, JwksSource(f"{peer.address}/keysets/web/jwks.json", timing=TIMING, **options)


def test_an_unchanged_set_is_not_sent_again() -> None:
    """The second reading is conditional, and brings the same keys; a changed set is read."""
    server = Jwks(1, headers={"Cache-Control": "public, max-age=60"})
    with serving(server) as (peer, source):
        first, may_keep = source.read(None, TIMEOUT, fresh=False)
        assert (set(first.verifying), may_keep) == ({kid(1)}, timedelta(seconds=60))
        assert source.read(first, TIMEOUT, fresh=False) == (first, timedelta(seconds=60))
        server.show(1, 2)
        second, _ = source.read(first, TIMEOUT, fresh=False)
        assert set(second.verifying) == {kid(1), kid(2)}
        assert source.read(None, TIMEOUT, fresh=False)[0].verifying.keys() == second.verifying.keys()
    sent = [request.headers.get("if-none-match") for request in peer.requests]
    assert sent == [None, '"(1,)"', '"(1,)"', None]
    assert (first.timing, first.keyset, first.signing) == (TIMING, "web", None)


def test_the_same_bytes_are_the_same_keys() -> None:
    """A server without ETags: nothing is parsed, told or verified anew."""
    with serving(lambda _: answer(200, jwks(1).encode())) as (_, source):
        first, _ = source.read(None, TIMEOUT, fresh=False)
        assert source.read(first, TIMEOUT, fresh=False)[0] is first


def test_a_set_that_was_not_taken_is_asked_for_again() -> None:
    """An answer that its reader dropped (it was closed meanwhile) is not what "unchanged" later speaks of."""
    server = Jwks(1)
    with serving(server) as (_, source):
        known, _ = source.read(None, TIMEOUT, fresh=False)
        server.show(2)
        dropped, _ = source.read(known, TIMEOUT, fresh=False)
        assert set(dropped.verifying) == {kid(2)}
        found, _ = source.read(known, TIMEOUT, fresh=False)
        assert set(found.verifying) == {kid(2)}


def test_a_304_that_nobody_asked_for_is_refused() -> None:
    """It brings no keys."""
    with serving(lambda _: answer(304)) as (_, source), pytest.raises(PublicationError, match=r"\(304\)"):
        source.read(None, TIMEOUT, fresh=False)


def member(number: int, **changes: object) -> dict[str, object]:
    """The JWK of a key pair, with changes."""
    return {**json.loads(jwks(number))["keys"][0], **changes}


def key_set(*members: object) -> bytes:
    """An answer with these members."""
    return answer(200, {"keys": members})


def drip(data: bytes) -> Iterator[bytes | float]:
    """The bytes one by one, each in time for a timeout that counts anew for each read."""
    for byte in data:
        yield bytes([byte])
        yield 0.2


BAD: dict[str, tuple[Callable[[], Answer], str]] = {
    "404": (lambda: answer(404, "<html>"), r"is not there; is the keyset's name right\?.* \(404\)"),
    "410": (lambda: answer(410), r"answered \(410\)"),
    "500": (lambda: answer(500, jwks(2).encode()), r"answered \(500\)"),
    "503": (lambda: answer(503), r"answered \(503\)"),
    "204": (lambda: answer(204), r"answered \(204\)"),
    "206": (lambda: answer(206, jwks(2).encode()), r"answered \(206\)"),
    "HTML": (lambda: answer(200, "<html>welcome to the portal</html>"), "no JWKS"),
    "nothing": (lambda: answer(200), "no JWKS"),
    "a list": (lambda: answer(200, []), "no JWKS"),
    "no keys": (lambda: answer(200, {"error": "none"}), "no JWKS"),
    "keys that are no list": (lambda: answer(200, {"keys": {"a": 1}}), "no JWKS"),
    "deep": (lambda: answer(200, b'{"keys":' + b"[" * 100_000), "no JWKS"),
    "empty": (lambda: key_set(), "without any key"),
    "only others": (lambda: key_set({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"}), "without any key"),
    "private": (lambda: key_set(member(1), member(2, d="AQAB")), "not public"),
    "symmetric": (lambda: key_set(member(1), {"kty": "oct", "k": "AA", "kid": "s"}), "not public"),
    "a kid twice": (lambda: key_set(member(1), member(2, kid=kid(1))), "a kid twice"),
    "no kid": (lambda: key_set(member(1), member(2, kid="")), "without a kid"),
    "a weak key": (lambda: key_set(member(2, n="AQAB")), "is no RSA key"),
    "truncated": (lambda: [answer(200, jwks(2).encode())[:-9]], "no JWKS"),
    "hanging up": (lambda: b"", "cannot be read: (RemoteDisconnected|Connection reset)"),
    "no HTTP": (lambda: b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be read: BadStatusLine"),
    "2 MB": (lambda: answer(200, jwks(2).encode() + b" " * (2 << 20)), f"more than {MAX_JWKS} bytes"),
    "6 MB": (lambda: answer(200, b" " * (6 << 20)), "cannot be read: HTTPException"),
    "an endless head": (
        lambda: [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 60_000 + b"\r\n"] * 200],
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("bad", "text"), BAD.values(), ids=BAD)
def test_what_is_no_good_set_leaves_the_last_one(bad: Callable[[], Answer], text: str) -> None:
    """The keys stay, the fault names the place and what was wrong there, and the next good set is taken."""
    server = Jwks(1)
    with serving(server) as (peer, source), KeysetReader(source) as keys:
        server.answer = lambda _: bad()
        with pytest.raises(RotatorError, match=text) as raised:
            source.read(keys.verifying(), TIMEOUT, fresh=False)
        assert str(raised.value).startswith(f"{peer.address}/keysets/web/jwks.json")
        assert set(keys.refresh().verifying) == {kid(1)}
        assert keys.status.fault == str(raised.value)
        server.answer = server.plain
        server.show(2)
        assert set(keys.refresh().verifying) == {kid(2)}


def test_a_bad_set_does_not_become_an_unchanged_one() -> None:
    """Its ETag is not taken, so that the server cannot say that it is still the same and hide what is wrong."""
    server = Jwks(1)
    with serving(server) as (_, source):
        good, _ = source.read(None, TIMEOUT, fresh=False)
        server.text, server.etag = "{}", '"bad"'
        for _ in range(2):
            with pytest.raises(KeyMaterialError, match="no JWKS"):
                source.read(good, TIMEOUT, fresh=False)
        server.show(1)
        assert source.read(good, TIMEOUT, fresh=False)[0] is good


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_jwks_is_refused(status: int) -> None:
    """Whoever can redirect could else make everybody trust another host's keys."""
    with Peer(Jwks(2)) as other:
        redirect = {"Location": f"{other.address}/jwks.json"}
        refused = pytest.raises(PublicationError, match=rf"redirects; name the address it redirects to \({status}\)")
        with serving(lambda _: answer(status, headers=redirect)) as (_, source), refused:
            source.read(None, TIMEOUT, fresh=False)
        assert other.connections == 0


def test_keys_of_other_kinds_are_ignored() -> None:
    """Post-quantum, elliptic, for encryption, of another algorithm, or no keys at all: beside ours they break nothing."""
    others = [
        {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"},
        {"kty": "EC", "kid": "ec", "alg": "ES256", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519", "x": "AA"},
        {"kty": "new"},
        member(2, use="enc"),
        member(3, alg="RS512"),
        member(4, key_ops=["encrypt"]),
        "a text",
        None,
    ]
    with serving(lambda _: key_set(*others, member(1), *others)) as (_, source):
        assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}


@pytest.mark.parametrize("what", ["head", "body", "silence"])
def test_a_slow_jwks_ends_at_the_deadline(what: str) -> None:
    """However steadily bytes arrive."""
    data = answer(200, jwks(1).encode())
    pieces: dict[str, Callable[[], Answer]] = {
        "head": lambda: drip(data),
        "body": lambda: [data[:200], *drip(data[200:])],
        "silence": lambda: [60.0],
    }

    def attempt() -> None:
        with pytest.raises(PublicationError, match=r"jwks\.json cannot be read: no answer in time$"):
            source.read(None, 0.5, fresh=False)

    with serving(lambda _: pieces[what]()) as (_, source):
        assert elapsed(attempt) < 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_listener_ends_at_the_deadline(scheme: str) -> None:
    """Also in the midst of a TLS handshake."""
    with Hole() as hole:
        source = JwksSource(f"{scheme}://127.0.0.1:{hole.port}/jwks.json")

        def attempt() -> None:
            with pytest.raises(PublicationError, match="no answer in time"):
                source.read(None, 0.5, fresh=False)

        assert elapsed(attempt) < 1


@pytest.mark.parametrize(
    ("host", "text"),
    [("127.0.0.1:1", "Connection refused"), ("nobody.invalid", "cannot be read: ")],
    ids=["port", "name"],
)
def test_nobody_there(host: str, text: str) -> None:
    """The text says what the operating system says."""
    with pytest.raises(PublicationError, match=text):
        JwksSource(f"http://{host}/jwks.json").read(None, TIMEOUT, fresh=False)


@pytest.mark.parametrize(
    ("name", "trusted"),
    [("127.0.0.1", True), ("127.0.0.1", False), ("other.example", True)],
    ids=["good", "unknown CA", "other host"],
)
def test_tls_fails_closed(tmp_path: Path, name: str, trusted: bool) -> None:
    """A certificate of an unknown CA, or for another host, ends the reading before anything is asked."""
    ca_file, context = certificate(tmp_path, name)
    with Peer(Jwks(1), context) as peer:
        source = JwksSource(f"{peer.address}/jwks.json", ca_file=ca_file if trusted else None)
        if name == "127.0.0.1" and trusted:
            assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}
        else:
            with pytest.raises(PublicationError, match=r"its certificate is not accepted: .*; see ca_file"):
                source.read(None, TIMEOUT, fresh=False)
            assert peer.requests == []


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may set it must not choose the keys that are trusted."""
    with Peer(Jwks(2)) as proxy, serving(Jwks(1)) as (_, source):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        assert set(source.read(None, TIMEOUT, fresh=False)[0].verifying) == {kid(1)}
        assert proxy.connections == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=300", 300),
        ("public, max-age=60, must-revalidate", 60),
        ("PUBLIC,MAX-AGE=5", 5),
        ("max-age=0", 0),
        ("max-age=" + "9" * 5000, 10**6),
        ("no-store", None),
        ("s-maxage=5", None),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("max-age=²", None),
        ("max-age", None),
        ("", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_set_says_how_long_it_may_be_kept(header: str, seconds: int | None) -> None:
    """As Cache-Control has it; nonsense there says nothing, and harms nothing."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(jwks(1))}\r\nCache-Control: {header}\r\n\r\n"
    with serving(lambda _: head.encode("latin-1") + jwks(1).encode()) as (_, source):
        may_keep = source.read(None, TIMEOUT, fresh=False)[1]
    assert may_keep == (None if seconds is None else timedelta(seconds=seconds))


def test_a_set_is_polled_when_it_may_no_longer_be_kept(time_: Leaping) -> None:
    """Not before, and past no cache; hints and unknown kids ask caches to look again."""
    server, hints = Jwks(1, headers={"Cache-Control": "max-age=100"}), HandMadeHints()
    with serving(server) as (peer, source), KeysetReader(source, hints=hints) as keys:
        time_.leap(79)
        time.sleep(0.1)
        assert len(peer.requests) == 1
        server.show(1, 2)
        time_.leap(21)
        until(lambda: serves(keys, kid(2)))
        hints.hint("web", "any", 1)
        until(lambda: len(peer.requests) > 2)
        server.show(1, 2, 3)
        found = keys.search(kid(3))
        assert found is not None
        assert kid(3) in found.verifying
    asked = [request.headers.get("cache-control") for request in peer.requests]
    assert asked[:2] == [None, None]
    assert {*asked[2:]} == {"no-cache"}


def test_a_jwks_host_that_goes_away(time_: Leaping) -> None:
    """The last set verifies until it is stale, then nothing does, and again when the host is back."""
    server = Jwks(1)
    with serving(server) as (_, source), KeysetReader(source, max_stale=timedelta(hours=1)) as keys:
        server.answer = lambda _: answer(502)
        time_.leap(timedelta(minutes=59))
        assert serves(keys, kid(1))
        time_.leap(timedelta(minutes=2))
        with pytest.raises(KeysUnavailableError, match=r"answered \(502\)"):
            keys.verifying()
        server.answer = server.plain
        time_.leap(30)
        until(lambda: not keys.status.stale)
        assert serves(keys, kid(1))


def test_no_text_holds_what_a_url_may_hide() -> None:
    """A key to an API in the query is sent, and not told."""
    with Peer(lambda _: answer(500)) as peer:
        source = JwksSource(f"{peer.address}/jwks.json?key=CANARY")
        keys = KeysetReader(source)
        with pytest.raises(KeysUnavailableError, match=r"/jwks\.json answered \(500\)") as raised:
            keys.start(0.2)
    assert peer.requests[0].path == "/jwks.json?key=CANARY"
    assert "CANARY" not in str(raised.value) + repr(keys.status)


def test_the_name_of_a_keyset_is_in_its_url() -> None:
    """Where the daemon serves it; elsewhere it is said, or hints of all keysets are followed."""
    assert JwksSource("https://a/keysets/web/jwks.json").keyset == "web"
    assert JwksSource("https://a/auth/keysets/web/jwks.json").keyset == "web"
    assert JwksSource("https://a/.well-known/jwks.json").keyset == ""
    assert JwksSource("https://a/.well-known/jwks.json", keyset="web").keyset == "web"


@pytest.mark.parametrize(
    "url",
    ["", "a", "ftp://a/b", "file:///etc/passwd", "http://", "https://u:CANARY@a/", "http://a:port/", "http://[::1/"],
)
def test_a_url_that_is_none(url: str) -> None:
    """A fault of the configuration, and not repeated: it may hold a password."""
    with pytest.raises(ConfigError, match=r"^url: ") as raised:
        JwksSource(url)
    assert "CANARY" not in str(raised.value)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    """A fault of the configuration."""
    with pytest.raises(ConfigError, match="ca_file"):
        JwksSource("https://a/jwks.json", ca_file=tmp_path / "none")


# -- the file store ----------------------------------------------------------------------------------------------------


def test_a_save_in_the_file_store_is_noticed_within_about_a_second(tmp_path: Path) -> None:
    """Without a poll, which is minutes away, and without a hint."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    with KeysetReader(FileSource(tmp_path, "web")) as keys:
        assert keys.secrets() == (f"{1:064x}",)
        save(store, keyset(2))
        with within(1.5):
            until(lambda: serves(keys, "k2"))


def test_only_the_document_itself_is_watched(tmp_path: Path, time_: Leaping) -> None:
    """A thousand other keysets cost their readers nothing, and the public document is not the signing one."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    publish(store, 1)
    signing, public = FileSource(tmp_path, "web"), FileSource(tmp_path, "web", public=True)
    with KeysetReader(signing) as keys, KeysetReader(public) as public_keys:
        assert not signing.look()
        save(store, keyset(5, name="other"))
        publish(store, 3, name="other")
        assert (signing.look(), public.look()) == (False, False)
        publish(store, 2)
        assert (signing.look(), public.look()) == (False, True)
        time_.leap(1)
        until(lambda: serves(public_keys, kid(2)))
        assert (public.look(), keys.status.sequence) == (False, 1)


def test_a_file_store_without_the_document(tmp_path: Path) -> None:
    """It may come later; once gone again, the last keys stay."""
    keys = KeysetReader(FileSource(tmp_path / "store", "web"))
    with pytest.raises(KeysUnavailableError, match="store/keys/web: no such document; is its name right"):
        keys.start(0.2)
    store = FileStore(tmp_path / "store")
    save(store, keyset(1))
    with keys:
        (tmp_path / "store" / "keys" / "web.json").unlink()
        assert keys.refresh().sequence == 1
        assert "no such document" in keys.status.fault


def test_a_file_that_cannot_be_read_is_not_read_again_and_again(tmp_path: Path, time_: Leaping) -> None:
    """A damaged one neither: not at each look, but when it is due."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    source = FileSource(tmp_path, "web")
    with KeysetReader(source) as keys:
        (tmp_path / "keys" / "web.json").write_text("{")
        time_.leap(1)
        until(lambda: "damaged" in keys.status.fault)
        assert not source.look()
        assert serves(keys, "k1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is not ours")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who owns it could make everybody trust other keys."""
    store = FileStore(tmp_path)
    save(store, keyset(1))
    os.chown(tmp_path / "keys", 12345, 12345)
    with pytest.raises(StoreDeniedError, match="keys"):
        FileSource(tmp_path, "web").read(None, TIMEOUT, fresh=False)


def test_sources_are_read_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """A hundred callers of a reader on a real store: one thread."""
    save(FileStore(tmp_path), keyset(1))
    with KeysetReader(FileSource(tmp_path, "web")) as keys:
        threads = [threading.Thread(target=keys.refresh) for _ in range(100)]
        for thread in threads:
            thread.start()
        assert len(readers_threads()) == 1
        for thread in threads:
            thread.join()
