"""
What Vault, or a proxy before it, answers: redirects, nonsense, odd statuses and clocks; and what we send.
"""

import json
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.errors import StoreConflictError, StoreDeniedError, StoreUnavailableError
from rotator.model.document import Tree
from tests.fault.stores import (
    CREATED,
    FIELDS,
    OPERATIONS,
    TOKEN,
    every_operation,
    mounted,
    open_store,
    read,
    saved,
    scripted,
)
from tests.support.peer import Answer, Peer, Request, answer

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


# -- what is sent ------------------------------------------------------------------------------------------------------


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


def test_secrets_are_sent_as_they_are() -> None:
    """The body of a save is JSON that any reader decodes to the same text."""
    fields = {"current": 'a"b\\c\n\u2603\U0001d11e'}
    with scripted(lambda _: answer(200, saved(1))) as (peer, store):
        store.save(Tree.KEYS, "web", fields, 0)
    assert json.loads(peer.requests[0].body)["data"] == fields
