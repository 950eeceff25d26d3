"""
A token is renewed in time and replaced when it died, whatever the login method.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.lease import TokenLease
from rotator.adapters.vault.login.method import Grant
from rotator.adapters.vault.transport import Call, Transport
from rotator.client.log import StdlibLog
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.secret import SecretText
from tests.support.peer import Answer, Peer, Request, Script, answer

DEAD = answer(403, {"errors": ["permission denied", "invalid token"]})
ALIVE = answer(200, {"data": {"ttl": 60}})


class CountedLogin:
    """
    A LoginMethod that gives tokens named by their number, with a life of *ttl* seconds.
    """

    def __init__(self, ttl: int | None = 3600, *, repeatable: bool = True) -> None:
        self.repeatable = repeatable
        self.error: Exception | None = None
        self.count = 0
        self._ttl = ttl

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Give the next token.
        """
        del call, attempts
        if self.error:
            raise self.error
        self.count += 1
        return Grant(SecretText(f"token-{self.count}"), self._ttl, renewable=False)


@contextmanager
def leasing(
    method: CountedLogin, script: Script = lambda _: ALIVE, seen: list[tuple[str, str]] | None = None
) -> Iterator[tuple[TokenLease, Peer]]:
    """
    A lease at a peer that follows *script*; its observed results are appended to *seen*.
    """
    log, results = StdlibLog(), [] if seen is None else seen
    with Peer(script) as peer, closing(Transport(peer.address)) as transport:
        yield TokenLease(transport, method, log, LoginAttempts(None, log), lambda *r: results.append(r)), peer


def soon() -> float:
    """
    Return a deadline.
    """
    return time.monotonic() + 5


def test_the_first_request_logs_in_once() -> None:
    """
    Later ones use that token; a granted life gives its end.
    """
    seen: list[tuple[str, str]] = []
    with leasing(CountedLogin(), seen=seen) as (held, _):
        assert held.expires_at is None
        first = held.token(soon())
        assert held.token(soon()) is first
        assert held.expires_at is not None
    assert seen == [("login", "ok")]


@pytest.mark.parametrize(
    ("error", "result"), [(StoreDeniedError("no"), "denied"), (StoreUnavailableError("away"), "unavailable")]
)
def test_a_failed_login_is_observed(error: Exception, result: str) -> None:
    """
    And tried again by the next request.
    """
    seen: list[tuple[str, str]] = []
    method = CountedLogin()
    method.error = error
    with leasing(method, seen=seen) as (held, _):
        with pytest.raises(type(error)):
            held.token(soon())
        method.error = None
        assert held.token(soon()).reveal() == "token-1"
    assert seen == [("login", result), ("login", "ok")]


def test_a_dead_token_is_replaced_only_if_a_login_can_be_repeated() -> None:
    """
    A given token that died is an error that asks for a new one.
    """
    with leasing(CountedLogin(), lambda _: DEAD) as (held, _):
        another = held.renewed(held.token(soon()), soon())
        assert another is not None
        assert another.reveal() == "token-2"
    given = CountedLogin(None, repeatable=False)
    with leasing(given, lambda _: DEAD) as (held, _), pytest.raises(StoreDeniedError, match="supply a new one"):
        held.renewed(held.token(soon()), soon())


def test_a_live_token_that_lacks_a_right_is_kept() -> None:
    """
    Another login would bring no right; callers that come late get the token that others already brought.
    """
    method = CountedLogin()
    with leasing(method) as (held, _):
        token = held.token(soon())
        assert held.renewed(token, soon()) is None
        assert held.renewed(SecretText("older"), soon()) is token
        assert method.count == 1


def test_a_given_token_is_looked_up() -> None:
    """
    Its end is not known before; a token without an end needs no more care.
    """

    def script(request: Request) -> Answer:
        assert request.headers["x-vault-token"] == "token-1"
        return answer(200, {"data": {"ttl": 600, "expire_time": "2026-01-01T00:00:00Z", "renewable": False}})

    with leasing(CountedLogin(None, repeatable=False), script) as (held, peer):
        held.token(soon())
        assert held.expires_at is None
        held.maintain(soon())
        assert held.expires_at is not None
        held.maintain(soon())
        assert [request.path for request in peer.requests] == ["/v1/auth/token/lookup-self"]


def test_maintain_asks_nothing_before_it_is_due() -> None:
    """
    Neither before the first login nor right after one.
    """
    with leasing(CountedLogin()) as (held, peer):
        held.maintain(soon())
        held.token(soon())
        held.maintain(soon())
        assert peer.requests == []
