"""
The life of our Vault token: logins, renewals, expiry, revocation, and credentials that Vault refuses.
"""

import json
import os
import stat
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing

from rotator.adapters.vault.login.approle import AppRoleLogin
from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.secret import SecretText
from rotator.model.times import format_time, parse_time
from tests.support.peer import Answer, Peer, Request, answer
from tests.support.servers.vault import VaultServer

ALL = 'path "{mount}/*" {{ capabilities = ["create", "read", "update"] }}'


class Site:
    """
    Credential files, a log, and counters, shared by the stores ("processes") that a test opens after another.
    """

    def __init__(
        self, folder: Path, address: str, role_id: str = "role-CANARY", secret_id: str = "secret-CANARY"
    ) -> None:
        self.folder = folder
        self.address = address
        self.attempts_file = folder / "state" / "login.json"
        self.attempts_file.parent.mkdir()
        self.told = structlog.testing.LogCapture()
        self.log = structlog.wrap_logger(None, processors=[self.told])
        self.seen: Counter[tuple[str, str]] = Counter()
        self.write(role_id, secret_id)

    def write(self, role_id: str, secret_id: str) -> None:
        """Put credentials in place, as an editor does: with a newline at the end."""
        (self.folder / "role_id").write_text(role_id + "\n")
        (self.folder / "secret_id").write_text(secret_id + "\n")

    @contextmanager
    def open(self, mount: str = "kv", credentials: TokenLogin | None = None, **options: Any) -> Iterator[VaultStore]:
        """A process that starts and ends."""
        approle = AppRoleLogin(self.folder / "role_id", self.folder / "secret_id")
        given: dict[str, Any] = {"attempts_file": self.attempts_file, "observe": self.count, "deadline": 5.0} | options
        connection = VaultConnection(self.address, "", None, credentials or approle, self.log, **given)
        store = VaultStore(connection, mount, "rotator")
        try:
            yield store
        finally:
            store.close()

    def count(self, operation: str, result: str) -> None:
        """Count an operation's result."""
        self.seen[operation, result] += 1

    def warnings(self) -> list[str]:
        """The names of the warnings in the log, in order."""
        return [entry["event"] for entry in self.told.entries if entry["log_level"] == "warning"]

    def let_pass(self, seconds: float) -> None:
        """Date the last refusal back, as if that time had passed."""
        content = json.loads(self.attempts_file.read_text())
        content["last"] = format_time(parse_time(content["last"]) - timedelta(seconds=seconds))
        self.attempts_file.write_text(json.dumps(content))


def real_site(folder: Path, server: VaultServer, mount: str, **role: Any) -> Site:
    """A site with an AppRole of its own on the real server."""
    server.policy(mount, ALL.format(mount=mount))
    return Site(folder, server.address, *server.approle(mount, [mount], **role))


def login_answer(token: str, ttl: int = 3600, *, renewable: bool = True) -> bytes:
    """What Vault answers to a login or a renewal."""
    return answer(200, {"auth": {"client_token": token, "lease_duration": ttl, "renewable": renewable}})


def document() -> bytes:
    """What Vault answers to a read."""
    metadata = {"version": 1, "created_time": "2026-01-02T03:04:05Z"}
    return answer(200, {"data": {"data": {}, "metadata": metadata}})


DEAD = answer(403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]})


# -- expiry and renewal ------------------------------------------------------------------------------------------------


@pytest.mark.vault
def test_a_login_when_first_needed(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """The first operation logs in, the next ones use that token, and its end is known."""
    site = real_site(tmp_path, vault_server, mount, token_ttl="1h")
    with site.open(mount) as store:
        before = store.token_expires_at
        store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
        store.load(Tree.KEYS, "web")
        assert site.seen["login", "ok"] == 1
        assert before is None
        assert store.token_expires_at is not None
        assert timedelta(minutes=59) < store.token_expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert not site.attempts_file.exists()


@pytest.mark.vault
@pytest.mark.slow
@pytest.mark.parametrize("looked_after", [True, False])
def test_short_lived_tokens_leave_no_gap(
    vault_server: VaultServer, mount: str, tmp_path: Path, looked_after: bool
) -> None:
    """Tokens of two seconds that cannot outlive six: for twelve seconds nothing fails, with or without `maintain`."""
    site = real_site(tmp_path, vault_server, mount, token_ttl="2s", token_max_ttl="6s")
    with site.open(mount) as store:
        version, end = 0, time.monotonic() + 12
        while time.monotonic() < end:
            if looked_after:
                store.maintain()
            version = store.save(Tree.KEYS, "web", {"op_id": str(version)}, version).version
            time.sleep(0.2)
    assert site.seen["login", "denied"] == site.seen["login", "unavailable"] == 0
    if looked_after:
        # Renewed while that helps, else logged in again: about two logins in each six seconds, never one per two.
        assert site.seen["renew", "ok"] >= 4
        assert 2 <= site.seen["login", "ok"] <= 5
    else:
        assert 4 <= site.seen["login", "ok"] <= 8


@pytest.mark.vault
def test_a_revoked_token_is_replaced(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """A revoked token costs one login and no operation, be it a read or a write."""
    site = real_site(tmp_path, vault_server, mount)
    with site.open(mount) as store:
        store.save(Tree.KEYS, "web", {"op_id": "a"}, 0)
        revoke(vault_server, store)
        assert store.save(Tree.KEYS, "web", {"op_id": "b"}, 1).version == 2
        revoke(vault_server, store)
        assert store.load(Tree.KEYS, "web").version == 2
    assert site.seen["login", "ok"] == 3


def revoke(server: VaultServer, store: VaultStore) -> None:
    """Revoke the store's token as an operator would."""
    token = store.session._lease.token(time.monotonic() + 5).reveal()
    assert server.request("POST", "auth/token/revoke", {"token": token})[0] == 204


@pytest.mark.vault
@pytest.mark.slow
def test_fifty_threads_while_the_token_changes(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """However often the token dies under them, no operation fails, and the threads log in once for each death."""
    site = real_site(tmp_path, vault_server, mount)
    over = threading.Event()
    with site.open(mount, deadline=20.0) as store:

        def hammer(number: int) -> int:
            version = 0
            while not over.is_set():
                version = store.save(Tree.KEYS, f"web-{number}", {"op_id": str(version)}, version).version
                assert store.load(Tree.KEYS, f"web-{number}").version == version
            return version

        with ThreadPoolExecutor(50) as pool:
            running = [pool.submit(hammer, number) for number in range(50)]
            for _ in range(8):
                time.sleep(0.5)
                revoke(vault_server, store)
            time.sleep(0.5)
            over.set()
        assert all(future.result() > 0 for future in running)
    assert site.seen["login", "ok"] == 9
    assert not [key for key in site.seen if key[1] != "ok"]


@pytest.mark.vault
def test_a_missing_right_costs_no_login(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """A living token that may not do something is not replaced: the error names what is missing."""
    site = real_site(tmp_path, vault_server, mount)
    with site.open("elsewhere") as store:
        for _ in range(3):
            with pytest.raises(StoreDeniedError, match='needs "update" on elsewhere/data/rotator/keys/web'):
                store.save(Tree.KEYS, "web", {"op_id": "a"}, 1)
    assert site.seen["login", "ok"] == 1


@pytest.mark.vault
def test_a_missing_right_of_a_token_that_may_not_look_itself_up(
    vault_server: VaultServer, mount: str, tmp_path: Path
) -> None:
    """Without the default policy a refusal looks like a dead token: that does not end in a login for each operation."""
    site = real_site(tmp_path, vault_server, mount, token_no_default_policy=True)
    with site.open("elsewhere") as store:
        for _ in range(3):
            with pytest.raises(StoreDeniedError, match='needs "read" on elsewhere'):
                store.load(Tree.KEYS, "web")
    assert site.seen["login", "ok"] == 1


@pytest.mark.vault
def test_renewing_that_leads_nowhere_ends_in_a_login(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """A token that cannot be renewed is replaced before it ends."""
    site = real_site(tmp_path, vault_server, mount, token_ttl="6s", token_type="batch")
    with site.open(mount) as store:
        store.load(Tree.KEYS, "web")
        first = store.token_expires_at
        maintain_until(store, lambda: site.seen["login", "ok"] == 2, 5.9)
        assert store.token_expires_at is not None
        assert first is not None
        assert datetime.now(UTC) < first < store.token_expires_at


def maintain_until(store: VaultStore, condition: Callable[[], object], seconds: float) -> None:
    """Maintain *store* as the daemon's tick would, until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        store.maintain()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_maintaining_is_free_until_due(tmp_path: Path) -> None:
    """Called each second, it asks Vault nothing until two thirds of the token's life are over."""
    with Peer(lambda r: login_answer("t", 3600) if "login" in r.path else document()) as peer:
        site = Site(tmp_path, peer.address)
        with site.open() as store:
            store.maintain()
            store.load(Tree.KEYS, "web")
            for _ in range(100):
                store.maintain()
        assert len(peer.requests) == 2


def test_a_failing_renewal_is_told_once_and_tried_again(tmp_path: Path) -> None:
    """While Vault is away the old token stays in use; the log has one warning, not one a second."""
    down = True

    def script(request: Request) -> bytes:
        if "renew" in request.path:
            return answer(503) if down else login_answer("t1", 1)
        return login_answer("t1", 1) if "login" in request.path else document()

    with Peer(script) as peer:
        site = Site(tmp_path, peer.address)
        with site.open() as store:
            store.load(Tree.KEYS, "web")
            maintain_until(store, lambda: renewals(peer) >= 3, 5)
            assert site.warnings() == ["vault_token_not_renewed"]
            down = False
            maintain_until(store, lambda: site.seen["renew", "ok"], 5)
            assert site.seen["login", "ok"] == 1


def renewals(peer: Peer) -> int:
    """How often the peer was asked to renew."""
    return sum("renew" in request.path for request in peer.requests)


# -- the end -----------------------------------------------------------------------------------------------------------


def revoking(status: int) -> Callable[[Request], bytes]:
    """A server that grants a login, and answers a revocation with *status*."""
    revoked = answer(status, None if status == 204 else {"errors": ["no"]})
    answers = {"approle": login_answer("t-1"), "revoke": revoked}
    return lambda request: next((found for word, found in answers.items() if word in request.path), document())


@pytest.mark.parametrize(("status", "result"), [(204, "ok"), (403, "denied"), (503, "unavailable")])
def test_a_token_of_a_login_is_revoked_at_the_end(tmp_path: Path, status: int, result: str) -> None:
    """Only where that was asked for, and once; one that cannot be revoked lives until its own end."""
    with Peer(revoking(status)) as peer:
        site = Site(tmp_path, peer.address)
        with site.open(revoke_at_close=True) as store:
            store.load(Tree.KEYS, "web")
            store.close()
        with site.open() as store:
            store.load(Tree.KEYS, "web")
        with site.open(revoke_at_close=True):
            pass
    assert [request.path for request in peer.requests if "revoke" in request.path] == ["/v1/auth/token/revoke-self"]
    assert site.seen["revoke", result] == 1


def test_a_given_token_is_not_revoked(tmp_path: Path) -> None:
    """Another may use it."""
    with Peer(revoking(204)) as peer:
        site = Site(tmp_path, peer.address)
        with site.open(credentials=TokenLogin(SecretText("t-0")), revoke_at_close=True) as store:
            store.load(Tree.KEYS, "web")
    assert not [request for request in peer.requests if "revoke" in request.path]


# -- a given token -----------------------------------------------------------------------------------------------------


@pytest.mark.vault
def test_a_given_token_is_renewed(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """Its life is looked up, and prolonged while Vault grants that."""
    token = TokenLogin(SecretText(vault_server.token(["default"], ttl="4s", period="4s")))
    site = Site(tmp_path, vault_server.address)
    with site.open(mount, token) as store:
        with pytest.raises(StoreDeniedError):
            store.load(Tree.KEYS, "web")
        store.maintain()
        first = store.token_expires_at
        assert first is not None
        maintain_until(store, lambda: site.seen["renew", "ok"] == 2, 9)
        assert store.token_expires_at is not None
        assert store.token_expires_at > first
    assert site.warnings() == []


@pytest.mark.vault
def test_a_given_token_that_will_end_is_told_once(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """Only an operator can replace it, so the log says when it ends; after that the error says so."""
    vault_server.policy(mount, ALL.format(mount=mount))
    token = TokenLogin(SecretText(vault_server.token([mount], ttl="6s", explicit_max_ttl="8s")))
    ended = time.monotonic() + 8
    site = Site(tmp_path, vault_server.address)
    with site.open(mount, token) as store:
        store.load(Tree.KEYS, "web")
        maintain_until(store, site.warnings, 8)
        end = ended + 1
        while time.monotonic() < end:
            store.maintain()
            time.sleep(0.1)
        assert site.warnings() == ["vault_token_ends"]
        assert site.told.entries[-1]["expires_at"]
        with pytest.raises(StoreDeniedError, match="expired, revoked or unknown"):
            store.load(Tree.KEYS, "web")
    assert site.seen["login", "ok"] == 0


@pytest.mark.vault
def test_a_root_token_never_ends(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """A token without a time to live is looked up once, and left alone."""
    site = Site(tmp_path, vault_server.address)
    with site.open(mount, TokenLogin(SecretText(vault_server.root_token))) as store:
        store.load(Tree.KEYS, "web")
        store.maintain()
        assert store.token_expires_at is None
        assert site.told.entries == []


@pytest.mark.vault
def test_a_given_token_that_may_not_look_itself_up(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """It is used as long as it lives; the log says once that its end is unknown."""
    vault_server.policy(mount, ALL.format(mount=mount))
    token = TokenLogin(SecretText(vault_server.token([mount], no_default_policy=True)))
    site = Site(tmp_path, vault_server.address)
    with site.open(mount, token) as store:
        for _ in range(3):
            assert store.load(Tree.KEYS, "web").version == 0
            store.maintain()
        assert store.token_expires_at is None
    assert site.warnings() == ["vault_token_not_renewed"]


# -- refused credentials -----------------------------------------------------------------------------------------------


@pytest.mark.vault
def test_a_wrong_secret_id_does_not_lock_the_role_out(vault_server: VaultServer, mount: str, tmp_path: Path) -> None:
    """Vault sees three bad logins at most, over any number of restarts and any time; a new secret_id works at once."""
    vault_server.policy(mount, ALL.format(mount=mount))
    role_id, secret_id = vault_server.approle(mount, [mount])
    site = Site(tmp_path, vault_server.address, role_id, "wrong")
    for _ in range(20):
        with site.open(mount) as store, pytest.raises(StoreDeniedError):
            store.load(Tree.KEYS, "web")
        site.let_pass(1000)
    assert site.seen["login", "denied"] == 20
    site.write(role_id, secret_id)
    with site.open(mount) as store:
        assert store.load(Tree.KEYS, "web").version == 0


def refusing(accepted: str = "right") -> Callable[[Request], Answer]:
    """A Vault that takes one secret_id."""

    def script(request: Request) -> bytes:
        if "login" not in request.path:
            return document()
        right = request.json["secret_id"] == accepted
        return login_answer("t") if right else answer(400, {"errors": ["invalid role or secret ID"]})

    return script


def logins(peer: Peer) -> int:
    """How many logins the peer saw."""
    return sum("login" in request.path for request in peer.requests)


def test_refused_logins_back_off(tmp_path: Path) -> None:
    """The next try comes after 30 s, then 60 s, then never; the error says when, and then what to do."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)

        def attempt(text: str) -> int:
            with site.open() as store:
                for _ in range(3):
                    with pytest.raises(StoreDeniedError, match=text) as raised:
                        store.load(Tree.KEYS, "web")
                    shown = "".join(traceback.format_exception(raised.value))
                    assert "CANARY" not in shown
                    text = "next try is at|not tried again"
            return logins(peer)

        assert attempt(r"vault refused the login at auth/approle \(400\)") == 1
        site.let_pass(28)
        assert attempt("next try is at") == 1
        site.let_pass(3)
        assert attempt("refused the login") == 2
        site.let_pass(58)
        assert attempt("next try is at") == 2
        site.let_pass(3)
        assert attempt("refused the login") == 3
        site.let_pass(10**7)
        assert (
            attempt("3 times.*put a new secret_id there; to try the same again, remove .*login.json and restart") == 3
        )
        assert site.seen["login", "denied"] > 3


def test_what_is_remembered_of_a_refusal(tmp_path: Path) -> None:
    """The file is ours alone, and holds no credential."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        with site.open() as store, pytest.raises(StoreDeniedError):
            store.load(Tree.KEYS, "web")
    assert stat.S_IMODE(site.attempts_file.stat().st_mode) == 0o600
    assert "CANARY" not in site.attempts_file.read_text()
    assert "CANARY" not in repr(site.told.entries)


def test_only_a_changed_text_counts_as_new_credentials(tmp_path: Path) -> None:
    """A new date on the same file, as a service manager gives it at each start, allows no further login."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        for expected, secret_id in enumerate(("wrong", "wrong\n", "also wrong", "right")):
            site.write("role", secret_id)
            os.utime(tmp_path / "secret_id", (expected, expected))
            with site.open() as store:
                if secret_id == "right":
                    store.load(Tree.KEYS, "web")
                else:
                    with pytest.raises(StoreDeniedError):
                        store.load(Tree.KEYS, "web")
        assert logins(peer) == 3
    with Peer(refusing()) as peer:
        site.address = peer.address
        site.write("role", "wrong")
        with site.open() as store, pytest.raises(StoreDeniedError, match="refused the login"):
            store.load(Tree.KEYS, "web")


@pytest.mark.parametrize(
    "reply",
    [answer(503), answer(200, "<html/>"), answer(200, {"auth": None}), answer(403, "<html/>"), b""],
)
def test_an_outage_is_no_refusal(tmp_path: Path, reply: bytes) -> None:
    """Logins that did not reach Vault's judgement are unavailability, and do not count."""
    with Peer(lambda _: reply) as peer:
        site = Site(tmp_path, peer.address)
        for _ in range(5):
            with site.open() as store, pytest.raises(StoreUnavailableError):
                store.load(Tree.KEYS, "web")
        assert logins(peer) == 5
        assert not site.attempts_file.exists()


def test_a_login_that_is_put_off_is_no_refusal(tmp_path: Path) -> None:
    """A rate limit: it is sent again when its turn comes, and never counts."""
    answers = iter([answer(429), answer(429), login_answer("hvs.new")])
    with Peer(lambda request: next(answers) if request.path.endswith("login") else document()) as peer:
        site = Site(tmp_path, peer.address)
        with site.open() as store:
            store.load(Tree.KEYS, "web")
        assert logins(peer) == 3
    assert not site.attempts_file.exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"count": 3}', '{"count": 3, "last": "x", "salt": "", "digest": ""}', "\udcff"]
)
def test_a_damaged_memory_of_refusals(tmp_path: Path, content: str) -> None:
    """A file that says nothing is like no file: one login is tried."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        site.attempts_file.write_bytes(content.encode(errors="surrogateescape"))
        with site.open() as store:
            for _ in range(2):
                with pytest.raises(StoreDeniedError):
                    store.load(Tree.KEYS, "web")
        assert logins(peer) == 1


def test_a_memory_that_cannot_be_written(tmp_path: Path) -> None:
    """Then the process at least remembers for itself, and says that it cannot do better."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        with site.open(attempts_file=tmp_path / "missing" / "login.json") as store:
            for _ in range(3):
                with pytest.raises(StoreDeniedError):
                    store.load(Tree.KEYS, "web")
        assert logins(peer) == 1
        assert site.warnings() == ["login_attempts_not_saved"]


def test_a_command_remembers_nothing(tmp_path: Path) -> None:
    """Without a file each process starts afresh, and holds back by itself."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        for _ in range(2):
            with site.open(attempts_file=None) as store:
                for _ in range(3):
                    with pytest.raises(StoreDeniedError):
                        store.load(Tree.KEYS, "web")
        assert logins(peer) == 2


@pytest.mark.parametrize("option", ["role_id", "secret_id"])
@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_credential_file_that_is_none(tmp_path: Path, option: str, content: bytes | None) -> None:
    """A missing or broken file is named together with its option; Vault is not asked."""
    with Peer(refusing()) as peer:
        site = Site(tmp_path, peer.address)
        (tmp_path / option).unlink()
        if content is not None:
            (tmp_path / option).write_bytes(content)
        with site.open() as store, pytest.raises(StoreDeniedError, match=rf"vault\.{option}_file: .*{option}"):
            store.load(Tree.KEYS, "web")
        assert peer.requests == []


def test_many_threads_log_in_once(tmp_path: Path) -> None:
    """Thirty threads that find no token wait for one login, and for one refusal."""

    def slowly(request: Request) -> Answer:
        if "login" in request.path:
            peer.pause(0.3)
        return refusing("right")(request)

    for secret_id in ("right", "wrong"):
        with Peer(slowly) as peer:
            (tmp_path / secret_id).mkdir()
            site = Site(tmp_path / secret_id, peer.address, secret_id=secret_id)
            with site.open() as store, ThreadPoolExecutor(30) as pool:
                loads = [pool.submit(store.load, Tree.KEYS, "web") for _ in range(30)]
                failures = [load.exception() for load in loads]
            assert logins(peer) == 1
            assert all(isinstance(failure, StoreDeniedError) == (secret_id == "wrong") for failure in failures)


def test_a_login_that_hangs_blocks_no_caller_beyond_the_deadline(tmp_path: Path) -> None:
    """Threads that wait for another's login give up at their own deadline."""
    with Peer(lambda _: [60.0]) as peer:
        site = Site(tmp_path, peer.address)
        started = time.monotonic()
        with site.open(deadline=1.0) as store, ThreadPoolExecutor(5) as pool:
            loads = [pool.submit(store.load, Tree.KEYS, "web") for _ in range(5)]
            assert all(isinstance(load.exception(), StoreUnavailableError) for load in loads)
        assert time.monotonic() - started < 2


def test_a_token_that_stays_dead_is_replaced_once(tmp_path: Path) -> None:
    """When the new token is refused as well, the operation ends; it does not log in for ever."""

    def script(request: Request) -> Answer:
        return login_answer("t") if "login" in request.path else DEAD

    with Peer(script) as peer:
        site = Site(tmp_path, peer.address)
        with site.open() as store, pytest.raises(StoreDeniedError):
            store.load(Tree.KEYS, "web")
        assert logins(peer) == 2
