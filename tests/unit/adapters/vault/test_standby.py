"""
A standby that answers reads itself is told from an active node, and from a standby that passes them on.
"""

import time
from contextlib import closing

import pytest

from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.probe import VaultProbe
from rotator.adapters.vault.session import VaultConnection
from rotator.adapters.vault.store import VaultStore
from rotator.model.secret import SecretText
from tests.support.peer import Answer, Peer, Request, answer
from tests.support.process import RecordingLog

HEALTH = "/v1/sys/health?standbyok=true&perfstandbyok=true"
LOOKUP = "/v1/auth/token/lookup-self"
ACTIVE = {"standby": False, "performance_standby": False}
STANDBY = {"standby": True, "performance_standby": False}


def store_at(peer: Peer, log: RecordingLog, *, watch: bool = True) -> VaultStore:
    """Return a store at *peer* that logs to *log*."""
    login = TokenLogin(SecretText("hvs.given"))
    connection = VaultConnection(peer.address, "", None, login, log, deadline=2, watch_standby=watch)
    return VaultStore(connection, "kv", "rotator")


def node(health: Answer, reads: Answer) -> "dict[str, Answer]":
    """Return the answers of a node."""
    return {HEALTH: health, LOOKUP: reads}


REDIRECTED = answer(307, {})
REFUSED = answer(403, {"errors": ["permission denied"]})
NODES = {
    "active": (node(answer(200, ACTIVE), REFUSED), False),
    "standby that passes reads on": (node(answer(200, STANDBY), REDIRECTED), False),
    "standby that answers reads": (node(answer(200, STANDBY), REFUSED), True),
    "performance standby": (node(answer(200, STANDBY | {"performance_standby": True}), REDIRECTED), True),
    "says nothing of it": (node(answer(200, {}), REFUSED), False),
}


@pytest.mark.parametrize(("answers", "found"), NODES.values(), ids=NODES)
def test_only_a_standby_that_answers_reads_is_told(answers: dict[str, Answer], found: bool) -> None:
    """The question whether it does goes out without a token, and asks not to be passed on."""

    def script(request: Request) -> Answer:
        assert "x-vault-token" not in request.headers
        if request.path == LOOKUP:
            assert request.headers["x-vault-no-request-forwarding"] == "true"
        return answers[request.path]

    with Peer(script) as peer, closing(store_at(peer, RecordingLog())) as store:
        said = VaultProbe(store.session).standby()

    assert ("point rotator and signers at the active node" in said) is found
    assert bool(said) is found


def test_the_daemon_is_warned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks about once a minute until then."""
    log, now, standby = RecordingLog(), time.monotonic(), False

    def script(request: Request) -> Answer:
        return answer(200, STANDBY if standby else ACTIVE) if request.path == HEALTH else REFUSED

    def health_asked() -> int:
        return sum(request.path == HEALTH for request in peer.requests)

    with Peer(script) as peer, closing(store_at(peer, log)) as store:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        store.maintain()
        now += 59
        store.maintain()
        assert (health_asked(), log.names()) == (1, [])

        standby = True
        now += 1
        store.maintain()
        assert log.names() == ["store_standby"]
        now += 10_000
        store.maintain()
        assert (health_asked(), log.names()) == (2, ["store_standby"])


def test_a_node_that_does_not_answer_is_asked_again_later() -> None:
    """What is wrong with it is told elsewhere; a signer's store does not ask at all."""
    log = RecordingLog()
    with Peer(lambda _: answer(503)) as peer, closing(store_at(peer, log)) as store:
        store.maintain()
        assert len(peer.requests) == 1
    with Peer(lambda _: answer(503)) as peer, closing(store_at(peer, log, watch=False)) as store:
        store.maintain()
        assert peer.requests == []
    assert log.names() == []
