"""
Vault as it should not be: hung, half dead, behind a bad proxy, unmounted, emptied by hand.
"""

import json
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rotator.adapters.vault.probe import VaultProbe
from rotator.adapters.vault.store import TokenLogin, VaultConnection, VaultStore
from rotator.errors import ConfigError, StoreConflictError, StoreDeniedError, StoreError, StoreUnavailableError
from rotator.model.document import Stored, Tree
from rotator.model.secret import SecretText
from tests.support.peer import Answer, Hole, Peer, Request, answer, elapsed, forward
from tests.support.servers.vault import VaultServer

TOKEN = "hvs.CANARY-TOKEN"
CREATED = "2026-01-02T03:04:05.123456789Z"
FIELDS = {"op_id": "op-1", "current": "CANARY-SECRET"}
OPERATIONS: dict[str, Callable[[VaultStore], object]] = {
    "load": lambda store: store.load(Tree.KEYS, "web"),
    "save": lambda store: store.save(Tree.KEYS, "web", FIELDS, 0),
    "versions": lambda store: store.versions(Tree.KEYS, "web"),
    "destroy": lambda store: store.destroy(Tree.KEYS, "web", [1]),
    "capabilities": lambda store: VaultProbe(store.session).capabilities(["kv/data/x"]),
    "read_raw": lambda store: VaultProbe(store.session).read_raw("kv/config"),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS)


@contextmanager
def open_store(address: str, token: str = TOKEN, mount: str = "kv", **options: Any) -> Iterator[VaultStore]:
    """A store with a token of its own, its idle connections closed at the end."""
    arguments: dict[str, Any] = {
        "namespace": "",
        "ca_file": None,
        "log": structlog.get_logger(),
        "deadline": 5.0,
    } | options
    store = VaultStore(VaultConnection(address, login=TokenLogin(SecretText(token)), **arguments), mount, "rotator")
    try:
        yield store
    finally:
        store.close()


@contextmanager
def scripted(script: Callable[[Request], Answer], **options: Any) -> Iterator[tuple[Peer, VaultStore]]:
    """A peer and a store that talks to it."""
    with Peer(script) as peer, open_store(peer.address, **options) as store:
        yield peer, store


def saved(version: int) -> dict[str, Any]:
    """What KV version 2 answers to a save."""
    return {"data": {"version": version, "created_time": CREATED, "deletion_time": "", "destroyed": False}}


def read(fields: dict[str, Any] | None, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """What KV version 2 answers to a read."""
    return {"data": {"data": fields, "metadata": {"version": version, "created_time": CREATED} | metadata}}


def mounted(version: str = "2") -> dict[str, Any]:
    """What Vault tells about the mount `kv`."""
    return {"data": {"type": "kv", "path": "kv/", "options": {"version": version}}}


def root_store(server: VaultServer, mount: str, **options: Any) -> Any:
    """A store on the real server."""
    return open_store(server.address, server.root_token, mount, **options)


# -- redirects and the environment -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@every_operation
def test_a_redirect_is_refused(status: int, operation: str) -> None:
    """Neither the token nor a document goes to another host, and nothing is taken for done."""
    with Peer(lambda _: answer(200, saved(1))) as other:
        script = lambda request: answer(status, headers={"Location": other.address + request.path})  # noqa: E731
        with scripted(script) as (peer, store):
            with pytest.raises(StoreUnavailableError, match=r"redirect refused.*set vault\.address to the active node"):
                OPERATIONS[operation](store)
            assert len(peer.requests) == 1
        assert other.connections == 0


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxies, addresses, tokens, namespaces and CA files that the environment or the home folder name do not count."""
    (tmp_path / ".vault-token").write_text("hvs.FROM-HOME")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    with Peer(lambda _: answer(500)) as proxy, Peer(lambda _: answer(200, read({"a": "b"}))) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "VAULT_ADDR"):
            monkeypatch.setenv(name, proxy.address)
        for name in ("VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_CACERT", "REQUESTS_CA_BUNDLE", "VAULT_CLIENT_CERT"):
            monkeypatch.setenv(name, "from-the-environment")
        monkeypatch.setenv("HOME", str(tmp_path))
        with open_store(server.address) as store:
            store.load(Tree.KEYS, "web")
        assert proxy.connections == 0
    headers = server.requests[0].headers
    assert headers["x-vault-token"] == TOKEN
    assert headers["x-vault-request"] == "true"
    assert "x-vault-namespace" not in headers
    assert "authorization" not in headers


def test_the_namespace_is_sent() -> None:
    """A configured namespace goes with every request."""
    with scripted(lambda _: answer(200, read({})), namespace="team/a") as (peer, store):
        store.load(Tree.KEYS, "web")
    assert peer.requests[0].headers["x-vault-namespace"] == "team/a"


# -- answers that prove nothing ----------------------------------------------------------------------------------------

NONSENSE: dict[str, Answer] = {
    "HTML": answer(200, "<html>welcome to the portal CANARY-SECRET</html>"),
    "truncated JSON": answer(200, '{"data": {"version": 1, "created_time": "2026-'),
    "a body cut off": [answer(200, saved(1))[:-9]],
    "nothing": answer(200),
    "a list": answer(200, [saved(1)]),
    "no content": answer(204),
    "JSON nested too deeply": answer(200, "[" * 200_000),
    "no Date": answer(200, saved(1), date=None),
    "a Date that is none": answer(200, saved(1), date="yesterday"),
    "another version": answer(200, saved(3)),
    "a version that is no number": answer(200, {"data": {"version": True, "created_time": CREATED}}),
    "no time of commit": answer(200, {"data": {"version": 1}}),
    "a time that is none": answer(200, {"data": {"version": 1, "created_time": "soon"}}),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "too much": answer(200, b'{"data":"' + b"x" * (5 << 20) + b'"}'),
    "hanging up": b"",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_a_save_needs_proof(body: Answer) -> None:
    """A 200 that is not KV version 2's answer to this save is a failure, and the save is not sent again."""
    with scripted(lambda _: body) as (peer, store):
        with pytest.raises(StoreUnavailableError) as raised:
            store.save(Tree.KEYS, "web", FIELDS, 0)
        assert [request.method for request in peer.requests].count("POST") == 1
    text = "".join(traceback.format_exception(raised.value))
    assert "CANARY" not in text
    assert "portal" not in text


def test_a_read_is_not_taken_for_a_save() -> None:
    """What a redirected write once brought back, the old document as a success, is a failure."""
    with (
        scripted(lambda _: answer(200, read({"op_id": "of another"}))) as (_, store),
        pytest.raises(StoreUnavailableError),
    ):
        store.save(Tree.KEYS, "web", FIELDS, 0)


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("operation", ["load", "versions", "capabilities"])
def test_a_read_needs_proof(body: Answer, operation: str) -> None:
    """A 200 with anything else in it is not a document, and not the absence of one."""
    with scripted(lambda _: body) as (_, store), pytest.raises(StoreUnavailableError):
        OPERATIONS[operation](store)


@pytest.mark.parametrize(
    "body",
    ["<html>not found</html>", {}, {"errors": ["what?"]}, {"errors": []}],
    ids=["html", "empty", "odd", "version 1"],
)
def test_a_foreign_404_is_not_absence(body: object) -> None:
    """A proxy's 404, and that of a KV version 1 store, must not look like a document that was never written."""

    def script(request: Request) -> bytes:
        return answer(200, mounted("1")) if "internal" in request.path else answer(404, body)

    for name in ("load", "versions"):
        with scripted(script) as (_, store), pytest.raises((StoreUnavailableError, StoreDeniedError)):
            OPERATIONS[name](store)


def test_absence_is_proved_once() -> None:
    """Asking for the mount's version costs a process one request, and none until something is absent."""

    def script(request: Request) -> bytes:
        return answer(200, mounted()) if "internal" in request.path else answer(404, {"errors": []})

    with scripted(script) as (peer, store):
        assert store.load(Tree.KEYS, "web").version == 0
        assert store.load(Tree.KEYS, "web").version == 0
        assert list(store.versions(Tree.KEYS, "web")) == []
        assert len(peer.requests) == 4


STATUSES = {
    405: "405",
    412: "412",
    418: "418",
    429: "429, it limits the rate",
    472: "472, it is a disaster-recovery secondary",
    473: "473, it is a performance standby",
    500: "500",
    501: "501, it is not initialised",
    502: "502, its proxy cannot reach it",
    503: "503, it is sealed",
    504: "504, its proxy had no answer",
}


@pytest.mark.parametrize(("status", "text"), STATUSES.items())
@every_operation
def test_other_statuses_mean_unavailable(status: int, text: str, operation: str) -> None:
    """Each status is named in the error, and ends in time."""
    with scripted(lambda _: answer(status, {"errors": ["CANARY-SECRET"]}), deadline=1.0) as (peer, store):
        with pytest.raises(StoreUnavailableError, match=text) as raised:
            OPERATIONS[operation](store)
        assert "CANARY" not in "".join(traceback.format_exception(raised.value))
        assert [request.path for request in peer.requests if request.method == "POST"].count(
            "/v1/kv/data/rotator/keys/web"
        ) <= 1


def test_a_lagging_standby_is_asked_again() -> None:
    """412 says that the server does not yet have our last write: a read waits for it a little."""
    answers = iter(
        [answer(412, {"errors": ["required index state not present"]})] * 3 + [answer(200, read({"a": "b"}))]
    )
    with scripted(lambda _: next(answers)) as (peer, store):
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert len(peer.requests) == 4


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_the_drift_of_the_local_clock_is_measured() -> None:
    """An hour between the Date of the reply and our clock shows; what whole seconds explain does not."""
    ago = datetime.now(UTC) - timedelta(hours=1)
    date = ago.strftime("%a, %d %b %Y %H:%M:%S GMT")
    with scripted(lambda _: answer(200, read({}), date=date)) as (_, store):
        moment = store.load(Tree.KEYS, "web").clock
    assert moment.earliest == ago.replace(microsecond=0)
    assert moment.latest == moment.earliest + timedelta(seconds=1)
    assert timedelta(hours=1) <= moment.offset <= timedelta(hours=1, seconds=3)
    assert not moment.trusted(timedelta(minutes=1))


def test_nanoseconds_are_cut() -> None:
    """Vault's times have nine digits after the point; six are kept."""
    with scripted(lambda _: answer(200, read({}))) as (_, store):
        assert store.load(Tree.KEYS, "web").created_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


# -- time --------------------------------------------------------------------------------------------------------------

DEADLINE = 1.0


def drip(data: bytes) -> Iterator[bytes | float]:
    """*data* byte by byte, each in time for a timeout that counts anew for each read."""
    for byte in data:
        yield bytes([byte])
        yield 0.2


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


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nobody.invalid:8200"])
def test_nobody_there(host: str) -> None:
    """A refused connection and an unknown name are unavailability."""
    with open_store(f"http://{host}") as store, pytest.raises(StoreUnavailableError, match="cannot connect"):
        store.load(Tree.KEYS, "web")


@pytest.mark.parametrize(
    "address", ["", "vault:8200", "ftp://vault", "https://", "https://vault:port", "https://.vault"]
)
def test_an_address_that_is_none(address: str) -> None:
    """A wrong address is a fault of the configuration."""
    with pytest.raises(ConfigError, match=r"vault\.address"), open_store(address):
        pass


# -- connections -------------------------------------------------------------------------------------------------------


def test_connections_are_kept() -> None:
    """A hundred requests in a row need one connection."""
    with scripted(lambda _: answer(200, read({}))) as (peer, store):
        for _ in range(100):
            store.load(Tree.KEYS, "web")
        assert peer.connections == 1


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


def test_a_read_survives_a_connection_dropped_as_it_is_used() -> None:
    """The request that crosses with the server's hanging up is sent again when it only reads."""
    answers: Iterator[Answer] = iter([answer(200, read({})), b"", answer(200, read({"a": "b"}))])
    with scripted(lambda _: next(answers)) as (peer, store):
        store.load(Tree.KEYS, "web")
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert len(peer.requests) == 3


@pytest.mark.vault
@pytest.mark.slow
def test_a_restarted_and_a_sealed_vault(fresh_vault: VaultServer) -> None:
    """Sealed and stopped are unavailable, and nothing needs to be told to the store when it is over."""
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


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for *name*: the file to trust, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    alternative: x509.GeneralName = x509.DNSName(name)
    if name[0].isdigit():
        alternative = x509.IPAddress(ip_address(name))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / f"{name}.pem", folder / f"{name}.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*formats))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return file, context


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
    """SSLKEYLOGFILE would let whoever reads that file decrypt every secret; it is ignored."""
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


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    """A CA file that is missing or holds no certificate is a fault of the configuration."""
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(ConfigError, match=r"vault\.ca_file"), open_store("https://x", ca_file=tmp_path / name):
            pass


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
    """When somebody else's save is found in place of ours, ours did not happen."""
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
    """A document that somebody deleted keeps its version: it must not be created again."""
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


def test_only_what_is_needed_is_sent() -> None:
    """Every save carries its compare-and-set; nothing ever deletes, or touches settings."""

    def script(request: Request) -> bytes:
        if "destroy" in request.path:
            return answer(204)
        if "metadata" in request.path:
            return answer(200, {"data": {"versions": {"1": {"destroyed": False}, "2": {"destroyed": True}}}})
        return answer(200, saved(1) if request.method == "POST" else read({}))

    with scripted(script) as (peer, store):
        for name in ("load", "save", "destroy", "versions"):
            OPERATIONS[name](store)
        assert list(store.versions(Tree.KEYS, "web")) == [1]
    asked = [(request.method, request.path, request.json) for request in peer.requests]
    assert asked[:4] == [
        ("GET", "/v1/kv/data/rotator/keys/web", None),
        ("POST", "/v1/kv/data/rotator/keys/web", {"options": {"cas": 0}, "data": FIELDS}),
        ("POST", "/v1/kv/destroy/rotator/keys/web", {"versions": [1]}),
        ("GET", "/v1/kv/metadata/rotator/keys/web", None),
    ]


def test_each_operation_is_counted() -> None:
    """Metrics are told each operation and what became of it."""
    told: list[tuple[str, str]] = []
    answers = iter(
        [
            answer(200, read({})),
            answer(400, {"errors": ["check-and-set parameter did not match the current version"]}),
            answer(200, read({"op_id": "another"})),
            answer(503),
        ]
    )
    with scripted(lambda _: next(answers), observe=lambda *seen: told.append(seen)) as (_, store):
        store.load(Tree.KEYS, "web")
        with pytest.raises(StoreConflictError):
            store.save(Tree.KEYS, "web", FIELDS, 0)
        with pytest.raises(StoreUnavailableError):
            store.load(Tree.KEYS, "web")
    assert told == [("load", "ok"), ("save", "conflict"), ("load", "unavailable")]


def test_secrets_are_sent_as_they_are() -> None:
    """The body of a save is JSON that any reader decodes to the same text."""
    fields = {"current": 'a"b\\c\n\u2603\U0001d11e'}
    with scripted(lambda _: answer(200, saved(1))) as (peer, store):
        store.save(Tree.KEYS, "web", fields, 0)
    assert json.loads(peer.requests[0].body)["data"] == fields
