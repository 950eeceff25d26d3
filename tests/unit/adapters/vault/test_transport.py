"""
Requests to one Vault: never redirected, each status with its meaning, the server's clock read from each answer.
"""

import time
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.adapters.vault.transport import Reply, Transport
from rotator.errors import ConfigError, LostReplyError, StoreUnavailableError
from rotator.model.document import Tree
from rotator.model.secret import SecretText
from tests.support.fakes import START, ManualClock
from tests.support.peer import Answer, Peer, Request, Script, answer
from tests.support.vault_stores import OPERATIONS, TOKEN, every_operation, open_store, read, saved, scripted


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
        writes = [request.path for request in peer.requests if request.method == "POST"]
        # After 429 it may be sent again: nothing was carried out.
        assert writes.count("/v1/kv/data/rotator/keys/web") <= 1 or status == 429


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


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nobody.invalid:8200"])
def test_no_server_there(host: str) -> None:
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


def test_connections_are_kept() -> None:
    """A hundred requests in a row need one connection."""
    with scripted(lambda _: answer(200, read({}))) as (peer, store):
        for _ in range(100):
            store.load(Tree.KEYS, "web")
        assert peer.connections == 1


def test_a_read_survives_a_connection_dropped_as_it_is_used() -> None:
    """The request that crosses with the server's hanging up is sent again when it only reads."""
    answers = iter([answer(200, read({})), b"", answer(200, read({"a": "b"}))])
    with scripted(lambda _: next(answers)) as (peer, store):
        store.load(Tree.KEYS, "web")
        assert store.load(Tree.KEYS, "web").fields == {"a": "b"}
        assert len(peer.requests) == 3


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    """A CA file that is missing or holds no certificate is a fault of the configuration."""
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(ConfigError, match=r"vault\.ca_file"), open_store("https://x", ca_file=tmp_path / name):
            pass


# -- the transport alone -----------------------------------------------------------------------------------------------


def ask(transport: Transport, method: str = "GET", content: object = None, token: str = "") -> Reply:
    """Send one request for /v1/x."""
    secret = SecretText(token) if token else None
    return transport.ask(method, "/v1/x", content, secret, time.monotonic() + 5)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 412])
def test_statuses_with_a_meaning_are_returned(status: int) -> None:
    """The caller judges them; the errors of the body can be searched."""
    body = {"errors": ["no, permission denied"], "data": {"a": {"b": 1}}}
    with Peer(lambda _: answer(status, body)) as peer, closing(Transport(peer.address)) as transport:
        reply = ask(transport)
    assert reply.status == status
    assert reply.says("permission denied")
    assert not reply.says("invalid token")
    assert reply.section("data", "a") == {"b": 1}
    assert reply.section("data", "a", "b") == reply.section("nothing", "here") == {}


def test_204_has_no_body_and_only_204() -> None:
    """A proxy's empty 200 is not Vault's answer."""
    with Peer(lambda _: answer(204)) as peer, closing(Transport(peer.address)) as transport:
        assert ask(transport, "POST", {}).body == {}
    with (
        Peer(lambda _: answer(200)) as peer,
        closing(Transport(peer.address)) as transport,
        pytest.raises(LostReplyError, match="not Vault's"),
    ):
        ask(transport, "POST", {})


@pytest.mark.parametrize(
    ("status", "lost"),
    [(status, False) for status in (301, 307, 429, 472, 473, 501)]
    + [(status, True) for status in (201, 405, 418, 500, 502, 503, 504)],
)
def test_a_write_that_was_not_done_is_told_from_a_lost_reply(status: int, lost: bool) -> None:
    """Only a status that is said before anything is carried out rules out that the write happened."""
    with (
        Peer(lambda _: answer(status, {})) as peer,
        closing(Transport(peer.address)) as transport,
        pytest.raises(StoreUnavailableError) as raised,
    ):
        ask(transport, "POST", {})
    assert isinstance(raised.value, LostReplyError) is lost


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_an_answer_without_a_date_may_be_a_write_that_happened(date: str | None) -> None:
    """Without the server's time nothing can be decided; the error says what a proxy must do."""
    with (
        Peer(lambda _: answer(200, {}, date=date)) as peer,
        closing(Transport(peer.address)) as transport,
        pytest.raises(LostReplyError, match="no Date; let the proxy pass it on"),
    ):
        ask(transport)


def test_nothing_listening_is_no_lost_reply() -> None:
    """A request that was never sent was not carried out."""
    with (
        closing(Transport("http://127.0.0.1:1")) as transport,
        pytest.raises(StoreUnavailableError, match="cannot connect") as raised,
    ):
        ask(transport, "POST", {})
    assert not isinstance(raised.value, LostReplyError)


@pytest.mark.parametrize(("took", "ahead"), [(0, 0), (4, 10), (4, -10)])
def test_the_clock_is_read_at_the_middle_of_the_request(took: int, ahead: int) -> None:
    """The offset is from the local time halfway; the tolerance is the Date's whole second and all of the way."""
    clock = ManualClock(START)
    second = timedelta(seconds=1)

    def script(_: Request) -> Answer:
        date = clock.wall() + took / 2 * second - ahead * second
        clock.advance(took * second)
        return answer(200, {}, date=date.strftime("%a, %d %b %Y %H:%M:%S GMT"))

    with Peer(script) as peer, closing(Transport(peer.address, clocks=clock)) as transport:
        reading = ask(transport).clock
    assert reading.earliest == START + (took / 2 - ahead) * second
    assert reading.latest == reading.earliest + second
    assert reading.offset == ahead * second
    assert reading.tolerance == second + took * second
    assert reading.read_at == clock.monotonic() == took


def test_headers_of_a_request() -> None:
    """The namespace and Vault's own header always; the token only if there is one, and the body as compact JSON."""
    with Peer(lambda _: answer(200, {})) as peer:
        with closing(Transport(peer.address + "/proxied/", namespace="team/a")) as transport:
            ask(transport)
            ask(transport, "POST", {"a": [1, 2]}, "hvs.mine")
        with closing(Transport(peer.address)) as transport:
            ask(transport)
    first, second, third = peer.requests
    assert [request.path for request in peer.requests] == ["/proxied/v1/x", "/proxied/v1/x", "/v1/x"]
    assert first.headers["x-vault-request"] == second.headers["x-vault-request"] == "true"
    assert first.headers["x-vault-namespace"] == second.headers["x-vault-namespace"] == "team/a"
    assert "x-vault-token" not in first.headers
    assert second.headers["x-vault-token"] == "hvs.mine"
    assert (first.body, second.body) == (b"", b'{"a":[1,2]}')
    assert "x-vault-namespace" not in third.headers


def test_an_endless_body_is_cut_off() -> None:
    """Four MiB are read at most, and that connection is not used again."""
    body = b'{"data":"' + b"x" * (4 << 20) + b'"}'
    answers = iter([answer(200, body), answer(200, {})])
    with Peer(lambda _: next(answers)) as peer, closing(Transport(peer.address)) as transport:
        with pytest.raises(LostReplyError):
            ask(transport)
        assert ask(transport).body == {}
        assert peer.connections == 2


def test_a_write_on_a_dropped_connection_is_not_sent_again() -> None:
    """It may have been carried out; a read is sent again, once, and never on a connection that is new."""
    dropping: Script = lambda request: answer(200, {}) if request.path == "/v1/x" and len(peer.requests) == 1 else b""  # noqa: E731
    for method, sent in (("POST", 2), ("GET", 3)):
        with Peer(dropping) as peer, closing(Transport(peer.address)) as transport:
            ask(transport)
            with pytest.raises(LostReplyError, match=f"no answer to {method} /v1/x"):
                ask(transport, method)
            assert len(peer.requests) == sent
    with Peer(lambda _: b"") as peer, closing(Transport(peer.address)) as transport:
        with pytest.raises(LostReplyError):
            ask(transport)
        assert len(peer.requests) == 1


def test_credentials_in_an_address_are_not_repeated() -> None:
    """Errors name the server by its host only."""
    assert Transport("https://user:pw@vault.example.org:8200/base").address == "https://vault.example.org:8200"
