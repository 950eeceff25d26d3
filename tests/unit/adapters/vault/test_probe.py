"""
What `rotator check` asks Vault: one request each, in the session of the store.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.probe import VaultProbe
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.client.log import StdlibLog
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.secret import SecretText
from rotator.ports.probe import StoreProbe
from tests.support.peer import Answer, Peer, Request, answer

CAPABILITIES = "/v1/sys/capabilities-self"


@contextmanager
def probing(peer: Peer) -> Iterator[StoreProbe]:
    """Return the probe of a store at *peer*."""
    login = TokenLogin(SecretText("hvs.given"))
    store = VaultStore(VaultConnection(peer.address, "", None, login, StdlibLog(), deadline=2), "kv", "rotator")
    with closing(store):
        yield VaultProbe(store.session)


def test_capabilities_are_asked_for_all_paths_at_once() -> None:
    """In order, with the store's token; each path has its own answer."""

    def script(request: Request) -> Answer:
        assert request.headers["x-vault-token"] == "hvs.given"
        return answer(200, {"data": {path: ["read", "list"] for path in request.json["paths"]}})

    with Peer(script) as peer, probing(peer) as probe:
        found = probe.capabilities(["kv/b", "kv/a"])
        (request,) = peer.requests
    assert found == {"kv/a": {"read", "list"}, "kv/b": {"read", "list"}}
    assert (request.method, request.path, request.json) == ("POST", CAPABILITIES, {"paths": ["kv/a", "kv/b"]})


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": {"kv/a": None}}])
def test_an_answer_that_leaves_out_a_path_proves_nothing(body: dict[str, object]) -> None:
    """No capability is made up."""
    with (
        Peer(lambda _: answer(200, body)) as peer,
        probing(peer) as probe,
        pytest.raises(StoreUnavailableError, match="proves nothing"),
    ):
        probe.capabilities(["kv/a"])


def test_a_raw_read_returns_the_data_or_none() -> None:
    """A 404 is an answer, other statuses are errors."""
    given = {"/v1/kv/config": answer(200, {"data": {"max_versions": 7}}), "/v1/kv/none": answer(404, {"errors": []})}
    with Peer(lambda request: given.get(request.path, answer(400, {}))) as peer, probing(peer) as probe:
        assert probe.read_raw("kv/config") == {"max_versions": 7}
        assert probe.read_raw("kv/none") is None
        with pytest.raises(StoreUnavailableError, match="did not read kv/odd: 400"):
            probe.read_raw("kv/odd")


def test_a_refusal_names_capability_and_path() -> None:
    """So that a policy can be mended."""

    def script(request: Request) -> Answer:
        return answer(200, {"data": {}}) if request.path.endswith("lookup-self") else answer(403, {"errors": []})

    with Peer(script) as peer, probing(peer) as probe:
        with pytest.raises(StoreDeniedError, match='needs "read" on kv/config'):
            probe.read_raw("kv/config")
        with pytest.raises(StoreDeniedError, match='needs "update" on sys/capabilities-self'):
            probe.capabilities(["kv/a"])
