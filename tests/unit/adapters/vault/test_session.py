"""
A session: one deadline for an operation, reads that wait for a standby, and a refusal told from a dead token.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rotator.adapters.vault.login.approle import AppRoleLogin
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.client.log import StdlibLog
from rotator.errors import StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from tests.support.peer import Answer, Peer, Request, answer
from tests.support.vault_stores import FIELDS, OPERATIONS, read, saved, scripted


def test_a_lagging_standby_is_asked_again() -> None:
    """412 says that the server does not yet have our last write: a read waits for it a little."""
    answers = iter(
        [answer(412, {"errors": ["required index state not present"]})] * 3 + [answer(200, read({"a": "b"}))]
    )
    with scripted(lambda _: next(answers)) as (peer, store):
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert len(peer.requests) == 4


def test_each_operation_is_counted() -> None:
    """Metrics get each operation and its result."""
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


def test_a_standby_that_lags_for_ever_ends_at_the_deadline() -> None:
    """The error says what lags; a write is not sent again."""
    lagging = answer(412, {"errors": ["required index state not present"]})
    with scripted(lambda _: lagging, deadline=0.3) as (peer, store):
        with pytest.raises(StoreUnavailableError, match=r"standby lags behind: kv/data/rotator/keys/web answers 412"):
            store.load(Tree.KEYS, "web")
        assert len(peer.requests) > 1
    with scripted(lambda _: lagging) as (peer, store):
        with pytest.raises(StoreUnavailableError, match="412"):
            store.save(Tree.KEYS, "web", FIELDS, 0)
        assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [204, 400])
def test_a_read_is_200_or_404(status: int) -> None:
    """Anything else is no answer to a read."""
    with (
        scripted(lambda _: answer(status, None if status == 204 else {})) as (_, store),
        pytest.raises(StoreUnavailableError, match=f"vault did not read kv/data/rotator/keys/web: {status}"),
    ):
        store.load(Tree.KEYS, "web")


DEAD = answer(403, {"errors": ["permission denied", "invalid token"]})


class Vault:
    """
    A Vault of AppRole logins that accepts only the token of the last one; it can revoke that, or deny everything.
    """

    def __init__(self) -> None:
        self.logins = 0
        self.alive = ""
        self.denies = False

    def __call__(self, request: Request) -> Answer:
        """
        Answer as such a Vault does.
        """
        if request.path == "/v1/auth/approle/login":
            self.logins += 1
            self.alive = f"token-{self.logins}"
            return answer(200, {"auth": {"client_token": self.alive, "lease_duration": 60, "renewable": True}})
        if request.headers["x-vault-token"] != self.alive:
            return DEAD
        if request.path == "/v1/auth/token/lookup-self":
            return answer(200, {"data": {"ttl": 60}})
        if self.denies:
            return answer(403, {"errors": ["permission denied"]})
        return answer(200, saved(1) if request.method == "POST" else read({"a": "b"}))


@contextmanager
def logged_in(vault: Vault, folder: Path, seen: list[tuple[str, str]]) -> Iterator[tuple[Peer, VaultStore]]:
    """A store that logs in at *vault*; results are appended to *seen*."""
    for name in ("role_id", "secret_id"):
        (folder / name).write_text(name)
    login = AppRoleLogin(folder / "role_id", folder / "secret_id")
    with Peer(vault) as peer:
        connection = VaultConnection(
            peer.address, "", None, login, StdlibLog(), deadline=5, observe=lambda *result: seen.append(result)
        )
        with closing(VaultStore(connection, "kv", "rotator")) as store:
            yield peer, store


@pytest.mark.parametrize("operation", ["load", "save"])
def test_a_dead_token_costs_one_login_and_no_operation(operation: str, tmp_path: Path) -> None:
    """A refused request was not carried out, so a write is sent once more as well, with the new token."""
    seen: list[tuple[str, str]] = []
    vault = Vault()
    with logged_in(vault, tmp_path, seen) as (peer, store):
        store.load(Tree.KEYS, "web")
        assert store.token_expires_at is not None
        vault.alive = "none"
        OPERATIONS[operation](store)
        sent = [request.headers.get("x-vault-token") for request in peer.requests if "/data/" in request.path]
    assert sent == ["token-1", "token-1", "token-2"]
    assert seen == [("login", "ok"), ("load", "ok"), ("login", "ok"), (operation, "ok")]


def test_a_token_that_lacks_a_right_is_not_replaced(tmp_path: Path) -> None:
    """The error names the capability and the path; the request is not sent again."""
    seen: list[tuple[str, str]] = []
    vault = Vault()
    vault.denies = True
    with logged_in(vault, tmp_path, seen) as (peer, store):
        with pytest.raises(StoreDeniedError, match='needs "read" on kv/data/rotator/keys/web'):
            store.load(Tree.KEYS, "web")
        with pytest.raises(StoreDeniedError, match='needs "create" on kv/data/rotator/keys/web'):
            store.save(Tree.KEYS, "web", FIELDS, 0)
        with pytest.raises(StoreDeniedError, match='needs "update" on kv/data/rotator/keys/web'):
            store.save(Tree.KEYS, "web", FIELDS, 1)
        assert sum("/data/" in request.path for request in peer.requests) == 3
    assert vault.logins == 1
    assert seen == [("login", "ok"), ("load", "denied"), ("save", "denied"), ("save", "denied")]


def test_a_new_token_that_is_refused_ends_the_operation(tmp_path: Path) -> None:
    """It does not log in for ever."""

    class Forgetful(Vault):
        def __call__(self, request: Request) -> Answer:
            given = super().__call__(request)
            self.alive = ""
            return given

    vault = Forgetful()
    with logged_in(vault, tmp_path, []) as (peer, store):
        with pytest.raises(StoreDeniedError, match="denied: needs"):
            store.load(Tree.KEYS, "web")
        assert sum("/data/" in request.path for request in peer.requests) == 2
    assert vault.logins == 2


def test_an_operation_that_fails_in_any_other_way_is_unavailable() -> None:
    """A fault of ours is counted too, and passed on."""
    seen: list[tuple[str, str]] = []
    with scripted(lambda _: answer(200, read({})), observe=lambda *result: seen.append(result)) as (_, store):
        with pytest.raises(ZeroDivisionError), store.session.operation("odd"):
            raise ZeroDivisionError
        with store.session.operation("even"):
            pass
        with pytest.raises(StoreDeniedError), store.session.operation("odd"):
            raise StoreDeniedError("no")
    assert seen == [("odd", "unavailable"), ("even", "ok"), ("odd", "denied")]
