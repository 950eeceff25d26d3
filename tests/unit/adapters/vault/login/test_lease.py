"""
A token is renewed in time and replaced when it died, whatever the login method.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import structlog.testing

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.lease import TokenLease
from rotator.adapters.vault.login.method import Grant
from rotator.adapters.vault.transport import Call, Transport
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.secret import SecretText
from rotator.ports.log import Log
from tests.support.peer import Answer, Peer, Request, Script, answer

DEAD = answer(403, {"errors": ["permission denied", "invalid token"]})
ALIVE = answer(200, {"data": {"ttl": 60}})


class CountedLogin:
    """
    A LoginMethod that gives tokens named by their number, with a life of *ttl* seconds.
    """

    def __init__(self, ttl: int | None = 3600, *, repeatable: bool = True, renewable: bool = False) -> None:
        self.repeatable = repeatable
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.count = 0
        self._ttl = ttl
        self._renewable = renewable

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Give the next token.
        """
        del call, attempts
        self.may_go_on.wait(10)
        if self.error:
            raise self.error
        self.count += 1
        return Grant(SecretText(f"token-{self.count}"), self._ttl, self._renewable)


@contextmanager
def leasing(
    method: CountedLogin,
    script: Script = lambda _: ALIVE,
    seen: list[tuple[str, str]] | None = None,
    log: Log | None = None,
) -> Iterator[tuple[TokenLease, Peer]]:
    """
    A lease at a peer that follows *script*; its observed results are appended to *seen*.
    """
    log, results = log or structlog.get_logger(), [] if seen is None else seen
    with Peer(script) as peer, closing(Transport(peer.address)) as transport:
        yield TokenLease(transport, method, log, LoginAttempts(None, log), lambda *r: results.append(r)), peer


class Leaping:
    """
    The clock that `lease` reads: it runs as the real one, and leaps ahead if told.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        """
        Return what `time.monotonic` would.
        """
        return time.monotonic() + self._ahead

    def leap(self, seconds: float) -> None:
        """
        Let time pass in no time.
        """
        self._ahead += seconds


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Leaping:
    """
    The clock of every lease in the test.
    """
    clock = Leaping()
    monkeypatch.setattr("rotator.adapters.vault.login.lease.time", clock)
    return clock


class Told:
    """
    A log that remembers its warnings.
    """

    def __init__(self) -> None:
        self._capture = structlog.testing.LogCapture()
        self.log: Log = structlog.wrap_logger(None, processors=[self._capture])

    def warnings(self) -> list[str]:
        """
        Return their names, in order.
        """
        return [entry["event"] for entry in self._capture.entries if entry["log_level"] == "warning"]


def renewal(ttl: int, *, renewable: bool = True) -> bytes:
    """
    Return what Vault answers to a renewal.
    """
    return answer(200, {"auth": {"client_token": "token-1", "lease_duration": ttl, "renewable": renewable}})


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


# -- renewals ----------------------------------------------------------------------------------------------------------


def test_a_token_is_renewed_at_two_thirds_of_its_life(clock: Leaping) -> None:
    """
    Not sooner, and again at two thirds of the extension; the token stays the same.
    """
    seen: list[tuple[str, str]] = []
    with leasing(CountedLogin(renewable=True), lambda _: renewal(7200), seen) as (held, peer):
        token = held.token(soon())
        clock.leap(2390)
        held.maintain(soon())
        assert peer.requests == []
        clock.leap(20)
        held.maintain(soon())
        (request,) = peer.requests
        assert (request.method, request.path) == ("POST", "/v1/auth/token/renew-self")
        assert request.headers["x-vault-token"] == "token-1"
        assert held.expires_at is not None
        assert timedelta(seconds=7190) < held.expires_at - datetime.now(UTC) <= timedelta(seconds=7200)
        clock.leap(4790)
        held.maintain(soon())
        assert len(peer.requests) == 1
        clock.leap(20)
        held.maintain(soon())
        assert len(peer.requests) == 2
        assert held.token(soon()).reveal() == token.reveal()
    assert seen == [("login", "ok"), ("renew", "ok"), ("renew", "ok")]


@pytest.mark.parametrize(("granted", "logins"), [(3600, 1), (3599, 2)])
def test_a_renewal_that_gains_too_little_ends_in_a_login(clock: Leaping, granted: int, logins: int) -> None:
    """
    Near a token's maximum life each renewal grants less than the first grant.
    """
    method = CountedLogin(renewable=True)
    with leasing(method, lambda _: renewal(granted)) as (held, _):
        held.token(soon())
        clock.leap(2410)
        held.maintain(soon())
        assert held.token(soon()).reveal() == f"token-{logins}"
    assert method.count == logins


def test_a_token_that_cannot_be_renewed_is_replaced_before_it_ends(clock: Leaping) -> None:
    """
    Vault is not even asked to renew it.
    """
    method = CountedLogin(renewable=False)
    with leasing(method) as (held, peer):
        held.token(soon())
        clock.leap(2410)
        held.maintain(soon())
        assert held.token(soon()).reveal() == "token-2"
        assert peer.requests == []


def test_a_refused_renewal_ends_in_a_login(clock: Leaping) -> None:
    """
    Whatever Vault has against that token, another one helps.
    """
    seen: list[tuple[str, str]] = []
    with leasing(CountedLogin(renewable=True), lambda _: DEAD, seen) as (held, _):
        held.token(soon())
        clock.leap(2410)
        held.maintain(soon())
        assert held.token(soon()).reveal() == "token-2"
    assert seen == [("login", "ok"), ("renew", "denied"), ("login", "ok")]


def test_a_failing_renewal_is_told_once_and_tried_again(clock: Leaping) -> None:
    """
    Every 10 s; the old token stays in use, and a renewal that works makes the next failure news again.
    """
    down, told = True, Told()
    method = CountedLogin(renewable=True)
    with leasing(method, lambda _: answer(503) if down else renewal(3600), log=told.log) as (held, peer):
        token = held.token(soon())
        clock.leap(2410)
        for tries in (1, 2, 3):
            held.maintain(soon())
            held.maintain(soon())
            assert len(peer.requests) == tries
            clock.leap(10.1)
        assert told.warnings() == ["vault_token_not_renewed"]
        assert held.token(soon()) is token
        down = False
        held.maintain(soon())
        down = True
        clock.leap(2410)
        held.maintain(soon())
        assert told.warnings() == ["vault_token_not_renewed"] * 2
    assert method.count == 1


def test_a_login_that_is_refused_while_the_token_lives_needs_a_person(clock: Leaping) -> None:
    """
    At once, and until another one succeeds; an outage does not, for it passes.
    """
    method = CountedLogin(600)
    with leasing(method) as (held, _):
        held.token(soon())
        assert held.maintain(soon()) == ""
        clock.leap(410)
        method.error = StoreUnavailableError("vault is away")
        assert held.maintain(soon()) == ""
        method.error = StoreDeniedError("the secret_id is used up")
        clock.leap(11)
        for _ in range(2):
            assert "and the secret_id is used up" in held.maintain(soon())
        method.error = None
        clock.leap(11)
        assert held.maintain(soon()) == ""
        assert method.count == 2


def test_a_short_lived_token_is_tried_again_sooner(clock: Leaping) -> None:
    """
    After a tenth of its life.
    """
    with leasing(CountedLogin(20, renewable=True), lambda _: answer(503)) as (held, peer):
        held.token(soon())
        clock.leap(14)
        held.maintain(soon())
        clock.leap(2.1)
        held.maintain(soon())
        assert len(peer.requests) == 2


# -- refused tokens ----------------------------------------------------------------------------------------------------


def test_a_young_token_is_replaced_only_if_vault_calls_it_invalid(clock: Leaping) -> None:
    """
    One that may not look itself up looks dead at each refusal, and would cost a login each time.
    """
    method = CountedLogin()
    with leasing(method, lambda _: answer(403, {"errors": ["permission denied"]})) as (held, _):
        token = held.token(soon())
        assert held.renewed(token, soon()) is None
        clock.leap(9)
        assert held.renewed(token, soon()) is None
        assert method.count == 1
        clock.leap(2)
        another = held.renewed(token, soon())
        assert another is not None
        assert another.reveal() == "token-2"
        assert held.renewed(another, soon()) is None
    assert method.count == 2


def test_a_given_token_is_never_replaced() -> None:
    """
    Only the one who made it can make another; no login is observed.
    """
    seen: list[tuple[str, str]] = []
    given = CountedLogin(None, repeatable=False)
    with leasing(given, lambda _: DEAD, seen) as (held, _):
        token = held.token(soon())
        for _ in range(2):
            with pytest.raises(StoreDeniedError, match="expired, revoked or unknown to vault; supply a new one"):
                held.renewed(token, soon())
        assert held.token(soon()) is token
    assert given.count == 1
    assert seen == []


# -- given tokens ------------------------------------------------------------------------------------------------------


def looked_up(ttl: object, *, expires: bool = True, renewable: bool = True) -> bytes:
    """
    Return what Vault answers to lookup-self.
    """
    expire_time = "2026-01-01T00:00:00Z" if expires else None
    return answer(200, {"data": {"ttl": ttl, "expire_time": expire_time, "renewable": renewable}})


def test_a_given_token_that_will_end_is_told_once(clock: Leaping) -> None:
    """
    After a renewal that gained too little it is left alone.
    """
    told = Told()

    def script(request: Request) -> Answer:
        return looked_up(600) if request.path.endswith("lookup-self") else renewal(100)

    with leasing(CountedLogin(None, repeatable=False), script, log=told.log) as (held, peer):
        held.token(soon())
        assert held.maintain(soon()) == ""
        clock.leap(410)
        for _ in range(3):
            assert "ends at" in held.maintain(soon())
            clock.leap(1000)
        assert [request.path.rpartition("/")[2] for request in peer.requests] == ["lookup-self", "renew-self"]
        assert held.token(soon()).reveal() == "token-1"
        assert held.expires_at is not None
        assert held.expires_at <= datetime.now(UTC) + timedelta(seconds=100)
    assert told.warnings() == ["vault_token_ends"]


def test_a_given_token_without_an_end_needs_no_care(clock: Leaping) -> None:
    """
    It is looked up once; one that has less than a second left is not taken for it.
    """
    with leasing(CountedLogin(None, repeatable=False), lambda _: looked_up(0, expires=False)) as (held, peer):
        held.token(soon())
        for _ in range(3):
            held.maintain(soon())
            clock.leap(10**6)
        assert held.expires_at is None
        assert len(peer.requests) == 1
    with leasing(CountedLogin(None, repeatable=False), lambda _: looked_up(0)) as (held, _):
        held.token(soon())
        held.maintain(soon())
        assert held.expires_at is not None


def test_a_given_token_that_may_not_look_itself_up_is_told_once(clock: Leaping) -> None:
    """
    It is used as long as it lives.
    """
    told = Told()
    with leasing(CountedLogin(None, repeatable=False), lambda _: answer(403, {}), log=told.log) as (held, peer):
        held.token(soon())
        for _ in range(3):
            held.maintain(soon())
            clock.leap(11)
        assert len(peer.requests) == 3
        assert held.token(soon()).reveal() == "token-1"
    assert told.warnings() == ["vault_token_not_renewed"]


# -- threads -----------------------------------------------------------------------------------------------------------


def test_many_threads_log_in_once() -> None:
    """
    Those that find no token wait for one login, and those that find it dead for one more.
    """
    method = CountedLogin()
    method.may_go_on.clear()
    with leasing(method, lambda _: DEAD) as (held, _), ThreadPoolExecutor(20) as pool:
        running = [pool.submit(held.token, soon()) for _ in range(20)]
        method.may_go_on.set()
        (first,) = {id(future.result()): future.result() for future in running}.values()
        assert method.count == 1
        running_again = [pool.submit(held.renewed, first, soon()) for _ in range(20)]
        (second,) = {id(future.result()): future.result() for future in running_again}.values()
    assert method.count == 2
    assert second is not None
    assert second.reveal() == "token-2"


def test_waiting_for_anothers_login_ends_at_the_deadline() -> None:
    """
    And maintaining does not wait at all.
    """
    method = CountedLogin()
    with leasing(method) as (held, _), ThreadPoolExecutor(1) as pool:
        with held._alone(soon()):
            with pytest.raises(StoreUnavailableError, match="another thread's login to vault did not end in time"):
                pool.submit(held.token, time.monotonic()).result()
            held.maintain(soon())
        assert method.count == 0
        assert held.token(soon()).reveal() == "token-1"
